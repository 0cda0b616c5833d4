"""Amounts of the API, and what is free."""

from __future__ import annotations

from typing import Any

import pytest

from ems.compute.backend import Room
from ems.compute.kubernetes.quantities import amount, room, within


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", 2), ("1500m", 1.5), ("2Gi", 2**31), ("1e3", 1000), ("3M", 3e6), ("0", 0), ("5E", 5e18)],
)
def test_amounts(text: str, number: float) -> None:
    assert amount(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "two", "2 GiB", "1i", "4Kii"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        amount(text)


def node(name: str, cpus: str = "4", gpus: str = "2", **more: Any) -> dict[str, Any]:
    ready = {"type": "Ready", "status": more.pop("ready", "True")}
    allocatable = {"cpu": cpus, "nvidia.com/gpu": gpus}
    status = {"conditions": [ready], "allocatable": allocatable}
    return {"metadata": {"name": name}, "spec": more, "status": status}


def pod(where: str, cpus: str, gpus: str = "0") -> dict[str, Any]:
    asked = {"requests": {"cpu": cpus, "nvidia.com/gpu": gpus}}
    sidecar: dict[str, Any] = {"resources": {}}
    return {"spec": {"nodeName": where, "containers": [{"resources": asked}, sidecar]}}


def quota(hard: dict[str, str], used: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": "ems"}, "status": {"hard": hard, "used": used}}


def test_what_is_free_on_nodes_that_take_pods() -> None:
    def tainted(key: str, effect: str = "NoSchedule") -> dict[str, Any]:
        return {"taints": [{"key": key, "effect": effect}]}

    nodes = [
        node("a"),
        node("b", unschedulable=True),
        node("c", ready="False"),
        node("d", **tainted("node-role.kubernetes.io/control-plane")),
        node("e", **tainted("nvidia.com/gpu")),
        node("f", "1", "0", **tainted("slow", "PreferNoSchedule")),
    ]
    pods = [pod("a", "500m", "1"), pod("b", "4", "2"), {"spec": {"containers": []}}]
    assert room(nodes, pods) == Room(8.5, 9, 3)
    assert room(nodes[1:4], pods) == Room(0, 0, 0, "no node is ready")


def test_a_quota_is_less_than_the_nodes() -> None:
    hard = {"requests.cpu": "3", "requests.nvidia.com/gpu": "1", "requests.memory": "1Gi"}
    used = {"requests.cpu": "1", "requests.nvidia.com/gpu": "1"}
    small = quota(hard, used)
    assert within(Room(4, 4, 2), [small]) == Room(2, 3, 0)
    full = quota({"pods": "5"}, {"pods": "5"})
    assert within(Room(4, 4, 2), [full]) == Room(0, 4, 2, "quota ems is used up (pods)")
    # where nodes come and go, or can't be seen, a quota is all that is known
    assert within(Room(), [small]) == Room(2, 3, 0)
    assert within(Room(), []) == Room()
