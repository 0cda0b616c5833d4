"""KubeRay, which makes Ray clusters of RayCluster and RayJob objects.

Knows the chart. Its definitions (CRDs) come with the first installation and are left alone then:
Helm never upgrades them, so before a new version they are replaced by hand (docs/adr/0017).
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from infra.kubernetes.naming import OPERATOR_NAMESPACE, Object, meta

CHART = "kuberay-operator"
REPOSITORY = "https://ray-project.github.io/kuberay-helm/"
VERSION = "1.5.1"
"""The first that has token authentication."""


def values(namespace: str) -> Object:
    """Return the chart's values: it minds one namespace, and asks for what it needs."""
    amount = {"cpu": "100m", "memory": "512Mi"}
    return {
        "watchNamespace": [namespace],
        "resources": {"requests": amount, "limits": amount},
    }


def operator(name: str, namespace: str, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Install KubeRay, in a namespace of its own: it has to outlive the one that it minds."""
    own = kubernetes.core.v1.Namespace(
        f"{name}-kuberay", metadata=meta(OPERATOR_NAMESPACE), opts=opts
    )
    return kubernetes.helm.v3.Release(
        f"{name}-kuberay",
        name=CHART,
        namespace=OPERATOR_NAMESPACE,
        chart=CHART,
        version=VERSION,
        repository_opts=kubernetes.helm.v3.RepositoryOptsArgs(repo=REPOSITORY),
        values=values(namespace),
        skip_crds=False,
        opts=opts.merge(pulumi.ResourceOptions(depends_on=[own])),
    )
