"""What nodes of a Ray cluster have, and whether a job can ever fit one of them.

Pure: reads what the dashboard told. Does not know jobs, nor the dashboard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ems.compute.backend import Room
from ems.compute.job import Resources

_GIB = 2**30
_WORDS = {"CPU": "CPUs", "GPU": "GPUs", "memory": "bytes of memory"}


class Needs(NamedTuple):
    """What a job takes of one node, in Ray's words; zeros are left out of requests."""

    cpus: float
    gpus: int = 0
    memory: int = 0
    custom: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, resources: Resources, custom: Mapping[str, float]) -> Needs:
        """Return the needs of a job; a kind of GPU is a resource that Ray names itself (`A100`)."""
        more = dict(custom)
        if resources.gpu_kind:
            more[f"accelerator_type:{resources.gpu_kind.upper()}"] = 0.001
        memory = math.ceil(resources.memory_gib * _GIB)
        return cls(resources.cpus, resources.gpus, memory, tuple(sorted(more.items())))

    def amounts(self) -> dict[str, float]:
        """Return what is taken, by Ray's names of resources."""
        plain = {"CPU": self.cpus, "GPU": float(self.gpus), "memory": float(self.memory)}
        return {name: much for name, much in {**plain, **dict(self.custom)}.items() if much}

    def entrypoint(self) -> dict[str, Any]:
        """Return it as the Jobs API wants it."""
        return {
            "entrypoint_num_cpus": self.cpus, "entrypoint_num_gpus": self.gpus,
            "entrypoint_memory": self.memory, "entrypoint_resources": dict(self.custom),
        }  # fmt: skip

    def task(self) -> dict[str, Any]:
        """Return it as options of a Ray task."""
        made: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        if self.memory:
            made["memory"] = self.memory
        return {**made, "resources": dict(self.custom)} if self.custom else made

    def text(self) -> str:
        """Return it for people: `2 CPUs, 1 rollout`."""
        return ", ".join(
            f"{much:g} {_WORDS.get(name, name)}" for name, much in self.amounts().items()
        )


class Fit(NamedTuple):
    """Whether a job may start some day: now, later, or `never`, and why not now."""

    never: bool = False
    why: str = ""


def fit(needs: Needs, nodes: Sequence[Mapping[str, Any]], grows: bool) -> Fit:
    """Return whether any node could have a job to itself.

    A node that died may come back, and an autoscaler may know kinds of nodes that are not there:
    then nothing is said to be impossible.
    """
    alive = [each for each in nodes if each["state"] == "ALIVE"]
    if any(_holds(each, needs) for each in alive):
        return Fit()
    lacks = f"no node of {len(alive)} has {needs.text()}"
    if any(_holds(each, needs) for each in nodes):
        return Fit(why=f"{lacks}; one that did is dead")
    if grows:
        return Fit(why=f"{lacks}; the autoscaler may add one")
    return Fit(never=True, why=lacks)


def _holds(node: Mapping[str, Any], needs: Needs) -> bool:
    total: Mapping[str, float] = node.get("resources_total") or {}
    return all(total.get(name, 0.0) >= much for name, much in needs.amounts().items())


def grows(status: Mapping[str, Any]) -> bool:
    """Whether an autoscaler adds nodes; without one the report names each node as its own type."""
    report: Mapping[str, Any] = status.get("autoscalerReport") or {}
    types: Mapping[str, str] = report.get("nodeTypeMapping") or {}
    own = all(name == f"node_{node}" for node, name in types.items())
    return not own or bool(report.get("pendingNodes") or report.get("pendingLaunches"))


def room(status: Mapping[str, Any]) -> Room:
    """Return what is free, as of the autoscaler's last look (every five seconds)."""
    report: Mapping[str, Any] = status.get("loadMetricsReport") or {}
    usage: Mapping[str, Sequence[float]] = report.get("usage") or {}
    if "CPU" not in usage:
        return Room()
    used, total = usage["CPU"]
    gpus = usage.get("GPU")
    return Room(total - used, total, int(gpus[1] - gpus[0]) if gpus else 0)
