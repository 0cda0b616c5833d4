"""Names and labels of the objects in a cluster, each once.

Knows no object. A name here is how a job, a person or another object refers to it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Object: TypeAlias = Any
"""An object of Kubernetes or a part of one, as plain data; the API server checks its form."""

OPERATOR_NAMESPACE = "kuberay"
TAKEN_NAMESPACES = frozenset({"default", OPERATOR_NAMESPACE})
"""Namespaces that are there already; so are those that begin with `kube-`."""
BUILT_IN_POOLS = ("general-purpose", "system")
"""The pools that Auto Mode brings."""
NODE_CLASS = "ems"
STORAGE_CLASS = "ems-efs"
CLAIM = "ems-data"
RAY = "ray"
"""The standing RayCluster; KubeRay gives the Secret of its token the same name."""
RAY_SERVICE = "ray-lab"

GPU = "nvidia.com/gpu"
POOL_LABEL = "karpenter.sh/nodepool"
"""The label of a node that says which pool it is of; a pod selects a pool by it."""
MARKET_LABEL = "karpenter.sh/capacity-type"
KEEP = {"karpenter.sh/do-not-disrupt": "true"}
"""The annotation of pods whose nodes are not consolidated or renewed under them."""
GPU_TOLERATION = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}
"""What a pod needs beside its GPUs to get onto a node that has them."""


def meta(name: str, namespace: str = "", annotations: Object = None) -> Object:
    """Return an object's metadata: name, label, and where it has one its namespace."""
    made: dict[str, Object] = {"name": name, "labels": {"app.kubernetes.io/part-of": "ems"}}
    if namespace:
        made["namespace"] = namespace
    if annotations is not None:
        made["annotations"] = annotations
    return made


def gibibytes(amount: int) -> str:
    """Return an amount of memory as Kubernetes writes it, so that nothing seems to differ."""
    unit = "Gi"
    for larger in ("Ti", "Pi"):
        if amount % 1024:
            break
        amount, unit = amount // 1024, larger
    return f"{amount}{unit}"
