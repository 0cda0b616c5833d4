"""Which Batch queues a site has: one for each instance type and market listed, and a general one.

Pure. Knows what a family's name says of its instances (architecture, GPU, which image runs there,
whether it is ever sold as spot) and Batch's limits. Does not know Pulumi, prices, vCPUs of a type,
nor what a zone offers: `infra/preflight` asks AWS for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ems.errors import UsageError
from infra.settings.types import Architecture, Batch, GeneralQueue, InstanceQueue, Market

LIMIT = 20
"""Pairs of queue and compute environment at a site. AWS lets a region of an account have 50 of
each, so two environments fit beside each other."""

ImageType = Literal["ECS_AL2023", "ECS_AL2023_NVIDIA"]
Strategy = Literal["BEST_FIT_PROGRESSIVE", "SPOT_PRICE_CAPACITY_OPTIMIZED"]

STRATEGIES: Mapping[Market, Strategy] = {
    "on-demand": "BEST_FIT_PROGRESSIVE",
    "spot": "SPOT_PRICE_CAPACITY_OPTIMIZED",
}
"""The allocation strategies under which Batch changes a compute environment in place. `BEST_FIT`,
the default, would replace it."""

_FAMILY = re.compile(r"^(?P<class>[a-z]+?)(?P<generation>\d+)(?P<traits>[a-z]*)(-[a-z0-9]+)*$")
_HIGH_MEMORY = re.compile(r"^u-\d+tb1$")

_REFUSED: Mapping[str, str] = {
    "a1": "Amazon Linux 2023, the only image that Batch still gives, does not run there",
    "g2": "its GPUs are too old for the NVIDIA driver of Amazon Linux 2023",
    "g3": "Amazon Linux 2023 with NVIDIA's driver does not run there",
    "g3s": "Amazon Linux 2023 with NVIDIA's driver does not run there",
    "g4ad": "its GPUs are AMD's, and the image has NVIDIA's driver alone",
    "g5g": "there is no image of Amazon Linux 2023 with NVIDIA's driver for Graviton",
    "p2": "its GPUs are too old for the NVIDIA driver of Amazon Linux 2023",
    "p3": "Amazon Linux 2023 with NVIDIA's driver does not run there",
    "p3dn": "Amazon Linux 2023 with NVIDIA's driver does not run there",
}
_REFUSED_CLASSES: Mapping[str, str] = {
    "mac": "it needs a dedicated host and runs macOS",
    **dict.fromkeys(("inf", "trn"), "its accelerators need an image with AWS's Neuron driver"),
    **dict.fromkeys(("dl", "f", "vt"), "its accelerators need a driver that the image lacks"),
}
_GPU_CLASSES = ("g", "gr", "p")
_NEVER_SPOT = ("hpc", "u")


@dataclass(frozen=True)
class Family:
    """What an instance family's name says."""

    name: str
    architecture: Architecture
    gpu: bool
    spot: bool
    """Whether its instances are ever sold as spot."""
    refused: str = ""
    """Why no job of EMS can run there; empty where one can."""

    @property
    def image_type(self) -> ImageType:
        return "ECS_AL2023_NVIDIA" if self.gpu else "ECS_AL2023"


def family(name: str) -> Family | None:
    """Return what the family's name says (`c7gd`: Graviton, no GPU); None if it is no such name."""
    if _HIGH_MEMORY.match(name):
        return Family(name, "x86_64", gpu=False, spot=False)
    parts = _FAMILY.match(name) or re.match(r"^(?P<class>mac)-(?P<generation>)(?P<traits>)", name)
    if not parts:
        return None
    kind = parts["class"]
    return Family(
        name,
        "arm64" if "g" in parts["traits"] or name == "a1" else "x86_64",
        gpu=kind in _GPU_CLASSES,
        spot=kind not in _NEVER_SPOT,
        refused=_REFUSED.get(name) or _REFUSED_CLASSES.get(kind, ""),
    )


@dataclass(frozen=True)
class QueuePlan:
    """One queue with its compute environment."""

    key: str
    """Its name for ever (`c7i-4xlarge-spot`, `general`): made of what it is, not of its place."""
    kind: Literal["type", "general"]
    instance_types: tuple[str, ...]
    """The one type, or the families from which AWS picks."""
    market: Market
    architecture: Architecture
    gpu: bool
    max_vcpus: int
    strategy: Strategy
    image_type: ImageType

    @property
    def resource_type(self) -> Literal["SPOT", "EC2"]:
        """What Batch calls the market."""
        return "SPOT" if self.market == "spot" else "EC2"


@dataclass(frozen=True)
class Problem:
    """What is wrong with the settings, and where: `queues[2].type`."""

    path: str
    text: str


def plan(settings: Batch) -> tuple[QueuePlan, ...]:
    """Return the site's queues, by key; raises UsageError with all that is wrong with them."""
    if found := problems(settings):
        text = "; ".join(f"{each.path}: {each.text}" for each in found)
        raise UsageError("batch", text)
    made = [_typed(queue, market) for queue in settings.queues for market in queue.markets]
    if settings.general:
        made.append(_general(settings.general))
    return tuple(sorted(made, key=lambda each: each.key))


def problems(settings: Batch) -> list[Problem]:
    """Return all that is wrong with a site's queues; empty where they can be made."""
    return [*_of_types(settings.queues), *_of_general(settings.general), *_of_number(settings)]


def key_of(instance_type: str, market: Market) -> str:
    """Return the name of the queue of one instance type in one market."""
    return f"{instance_type.replace('.', '-')}-{market}"


def _of_types(queues: Iterable[InstanceQueue]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, queue in enumerate(queues):
        path = f"queues[{index}]"
        for market in queue.markets:
            yield from _of_family(queue.type.split(".")[0], market, f"{path}.type", queue.type)
            key = key_of(queue.type, market)
            if key in seen:
                yield Problem(path, f"{queue.type} {market} stands at {seen[key]} already")
            seen[key] = path
        if not queue.markets:
            yield Problem(f"{path}.markets", "is empty (allowed: spot, on-demand)")


def _of_general(queue: GeneralQueue | None) -> Iterator[Problem]:
    if not queue:
        return
    path = "general.families"
    if not queue.families:
        yield Problem(path, "is empty (allowed: families such as c7i)")
    known = [each for name in queue.families if (each := family(name))]
    for name in queue.families:
        yield from _of_family(name, queue.market, path, name)
    for each in known:
        if each.architecture != queue.architecture:
            text = f"{each.name} is {each.architecture}, and the queue's architecture is"
            yield Problem(path, f"{text} {queue.architecture}")
    if len({each.gpu for each in known}) > 1:
        with_gpu = ", ".join(each.name for each in known if each.gpu)
        text = "has a GPU and others have none: jobs without one would pay for it"
        yield Problem(path, f"{with_gpu} {text} (allowed: one kind in a queue)")


def _of_family(name: str, market: Market, path: str, said: str) -> Iterator[Problem]:
    found = family(name)
    if not found:
        yield Problem(path, f"{said!r} names no instance family (allowed: such as c7i, g5, m8g)")
    elif found.refused:
        yield Problem(path, f"no job runs on {said}: {found.refused}")
    elif market == "spot" and not found.spot:
        yield Problem(path, f"{said} is never sold as spot (allowed: on-demand)")


def _of_number(settings: Batch) -> Iterator[Problem]:
    count = sum(len(queue.markets) for queue in settings.queues) + bool(settings.general)
    if count > LIMIT:
        yield Problem(
            "queues", f"{count} pairs of queue and compute environment (allowed: {LIMIT})"
        )
    if not count:
        yield Problem("queues", "there is none, and no general queue (allowed: at least one)")


def _typed(queue: InstanceQueue, market: Market) -> QueuePlan:
    named = family(queue.type.split(".")[0])
    assert named, queue.type
    key = key_of(queue.type, market)
    return _queue(key, "type", (queue.type,), market, named, queue.max_vcpus)


def _general(queue: GeneralQueue) -> QueuePlan:
    named = family(queue.families[0])
    assert named, queue.families
    families = tuple(sorted(set(queue.families)))
    return _queue("general", "general", families, queue.market, named, queue.max_vcpus)


def _queue(
    key: str,
    kind: Literal["type", "general"],
    instance_types: tuple[str, ...],
    market: Market,
    named: Family,
    max_vcpus: int,
) -> QueuePlan:
    return QueuePlan(
        key,
        kind,
        instance_types,
        market,
        named.architecture,
        named.gpu,
        max_vcpus,
        STRATEGIES[market],
        named.image_type,
    )
