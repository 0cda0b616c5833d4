"""How the program reaches a cluster: a kubeconfig, and a provider that is told which cluster it is.

Knows AWS's way to a token. Does not know what is made through the provider.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes

from ems.stack.outputs import Kubernetes

INSTEAD = "EMS_KUBECONFIG"
"""The environment variable with a kubeconfig to use instead: where AWS is stood in for, the cluster
that stands for EKS is reached in another way."""


@dataclass(frozen=True)
class Connection:
    """Which cluster, and where."""

    cluster: Kubernetes
    region: str


def kubeconfig(connection: Connection) -> str:
    """Return a kubeconfig that asks the AWS CLI for a token each time: one lasts 15 minutes."""
    cluster = connection.cluster
    token = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": [
            *("eks", "get-token", "--output", "json"),
            *("--cluster-name", cluster.cluster, "--region", connection.region),
        ],
        "interactiveMode": "Never",
    }
    server = {"server": cluster.endpoint, "certificate-authority-data": cluster.certificate}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "eks", "cluster": server}],
            "users": [{"name": "eks", "user": {"exec": token}}],
            "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "eks"}}],
            "current-context": "eks",
        },
        indent=1,
    )


def provider(name: str, connection: pulumi.Output[Connection]) -> kubernetes.Provider:
    """Return the provider of a cluster.

    Only another cluster (its ARN) replaces the provider and all that was made through it; by the
    kubeconfig alone, a new endpoint or certificate might. Fields that somebody else wrote into an
    object of the program (a hand, Ray's autoscaler) don't stop it: what the settings say prevails.
    An object that it did not make is never taken over.
    """
    instead = os.environ.get(INSTEAD)
    if instead:
        pulumi.log.warn(f"{name}: the cluster of {INSTEAD} ({instead}) is used, not the one in AWS")
    text = Path(instead).read_text() if instead else None
    return kubernetes.Provider(
        name,
        kubeconfig=connection.apply(lambda one: text or kubeconfig(one)),
        cluster_identifier=connection.apply(lambda one: one.cluster.arn),
        enable_patch_force=True,
    )
