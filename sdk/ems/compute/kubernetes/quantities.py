"""Amounts as the API writes them (`500m`, `2Gi`, `1e3`) and what is free of them. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ (2025-11)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from ems.compute.backend import Room
from ems.compute.kubernetes.api import Object
from ems.compute.kubernetes.manifests import GPU

_TIMES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0,
    "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkKMGTPE]?i?)")
_CPUS = frozenset({"requests.cpu", "cpu"})
_GPUS = f"requests.{GPU}"
_COUNTED = frozenset({*_CPUS, _GPUS, "pods", "count/jobs.batch"})
"""What of a quota is looked at."""


def amount(text: str) -> float:
    """Return a quantity as a number; raises ValueError."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[2] not in _TIMES:
        raise ValueError(f"{text!r} is not a quantity")
    return float(found[1]) * _TIMES[found[2]]


def amounts(text: str) -> dict[str, float]:
    """Return amounts that stand as `cpu=2,memory=4Gi`."""
    pairs = (each.partition("=") for each in text.split(",") if "=" in each)
    return {key.strip(): amount(value) for key, _, value in pairs}


def usable(node: Object) -> bool:
    """Whether a node takes new pods: ready, not cordoned, and tainted for GPUs at most."""
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", ())}
    taints = node["spec"].get("taints") or ()
    closed = any(each["effect"] != "PreferNoSchedule" and each["key"] != GPU for each in taints)
    return (
        conditions.get("Ready") == "True" and not node["spec"].get("unschedulable") and not closed
    )


def room(nodes: Iterable[Object], pods: Iterable[Object]) -> Room:
    """Return what is free on nodes that take pods."""
    there = {node["metadata"]["name"]: node for node in nodes if usable(node)}
    if not there:
        return Room(0.0, 0.0, 0, "no node is ready")
    total = {key: _total(there, key) for key in ("cpu", GPU)}
    used: defaultdict[str, float] = defaultdict(float)
    for pod in pods:
        if pod["spec"].get("nodeName") in there:
            for key, value in requested(pod).items():
                used[key] += value
    return Room(
        max(0.0, round(total["cpu"] - used["cpu"], 3)),
        round(total["cpu"], 3),
        max(0, int(total[GPU] - used[GPU])),
    )


def _total(nodes: Mapping[str, Object], key: str) -> float:
    return sum(amount(node["status"]["allocatable"].get(key, "0")) for node in nodes.values())


def requested(pod: Object) -> dict[str, float]:
    """Return the CPUs and GPUs that a pod holds (without what only its start needs)."""
    held: defaultdict[str, float] = defaultdict(float)
    for container in pod["spec"]["containers"]:
        asked: Mapping[str, str] = container.get("resources", {}).get("requests") or {}
        for key in ("cpu", GPU):
            held[key] += amount(asked.get(key, "0"))
    return held


def within(found: Room, quotas: Iterable[Object]) -> Room:
    """Return what the namespace's quotas leave of it."""
    for quota in quotas:
        status: Object = quota.get("status", {})
        hard: Mapping[str, str] = status.get("hard") or {}
        used: Mapping[str, str] = status.get("used") or {}
        for key in sorted(_COUNTED.intersection(hard)):
            most = amount(hard[key])
            left = max(0.0, most - amount(used.get(key, "0")))
            found = _least(found, key, left, most, quota["metadata"]["name"])
    return found


def _least(found: Room, key: str, left: float, most: float, quota: str) -> Room:
    if key == _GPUS:
        return found._replace(gpus=int(left if found.gpus is None else min(left, found.gpus)))
    if not left:
        why = found.why or f"quota {quota} is used up ({key})"
        found = found._replace(free=0.0, why=why)
    if key in _CPUS:
        free = left if found.free is None else min(left, found.free)
        total = most if found.total is None else min(most, found.total)
        return found._replace(free=free, total=total)
    return found
