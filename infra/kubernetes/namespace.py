"""The namespace where jobs run, what all of them may ask for, and what they get unasked.

Knows amounts. Does not know who submits, nor what runs.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from infra.kubernetes.naming import GPU, Object, gibibytes, meta
from infra.settings.types import Kubernetes


def quota(settings: Kubernetes) -> Object:
    """Return the most that pods of the namespace may ask for together."""
    return {
        "requests.cpu": str(settings.quota_cpus),
        "requests.memory": gibibytes(settings.quota_memory_gib),
        f"requests.{GPU}": str(settings.quota_gpus),
    }


def unasked() -> Object:
    """Return what a container has that asks for nothing: a quota refuses it otherwise.

    No limit is set unasked: one below what a container asks for would refuse it.
    """
    return [{"type": "Container", "defaultRequest": {"cpu": "1", "memory": "2Gi"}}]


def namespace(
    name: str, settings: Kubernetes, opts: pulumi.ResourceOptions, after: list[pulumi.Resource]
) -> kubernetes.core.v1.Namespace:
    """Make the namespace with its quota.

    It stands on `after` (node pools, KubeRay), so that it goes before them: what people left in it
    needs nodes to end on, and KubeRay to let go of its RayJobs.
    """
    metadata = meta(settings.namespace)
    metadata["labels"] |= {"pod-security.kubernetes.io/enforce": "baseline"}
    made = kubernetes.core.v1.Namespace(
        f"{name}-namespace",
        metadata=metadata,
        opts=opts.merge(pulumi.ResourceOptions(depends_on=after)),
    )
    inside = opts.merge(pulumi.ResourceOptions(depends_on=[made]))
    kubernetes.core.v1.ResourceQuota(
        f"{name}-quota",
        metadata=meta("ems", settings.namespace),
        spec={"hard": quota(settings)},
        opts=inside,
    )
    kubernetes.core.v1.LimitRange(
        f"{name}-unasked",
        metadata=meta("ems", settings.namespace),
        spec={"limits": unasked()},
        opts=inside,
    )
    return made
