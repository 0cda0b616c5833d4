"""Which quotas an environment needs, and where one is too small for a job ever to start.

AWS counts running vCPUs by class of instance family, market and region, and starts new accounts at
zero for GPUs; a Batch job that waits for a quota only stays RUNNABLE. The codes are those of AWS's
page "Amazon EC2 instance type quotas" (docs.aws.amazon.com/ec2/latest/instancetypes/
ec2-instance-quotas.html); those of VPCs and addresses, which `up` itself needs, of the pages
docs.aws.amazon.com/general/latest/gr/vpc-service.html and ec2-service.html. Pure: does not know how
a quota's value is asked for (`looking.py`), nor how many VPCs there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ems.stack.outputs import StackOutputs

Market = Literal["spot", "on-demand"]
Key = tuple[str, str]
"""Region and quota code."""


@dataclass(frozen=True, slots=True)
class _Class:
    """A class of families that share a quota: its name, codes and its smallest usual instance."""

    name: str
    on_demand: str
    spot: str | None
    least_vcpus: int


_STANDARD = _Class("standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A", "L-34B43A08", 1)
_G = _Class("G and VT", "L-DB2E81BA", "L-3819A6DF", 2)
_CLASSES: Mapping[str, _Class] = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), _STANDARD),
    **dict.fromkeys(("g", "gr", "vt"), _G),
    "dl": _Class("DL", "L-6E869C2A", "L-85EED4F7", 96),
    "f": _Class("F", "L-74FC7D96", "L-88CF9481", 8),
    "hpc": _Class("HPC", "L-F7808C92", None, 1),
    "inf": _Class("Inf", "L-1945791B", "L-B5D1601B", 4),
    "trn": _Class("Trn", "L-2C3B7624", "L-6B0D517C", 8),
    "u": _Class("High Memory", "L-43DA4232", None, 1),
    "x": _Class("X", "L-7295265B", "L-E3A00192", 1),
}
VPCS = "L-F678F1CE"
"""VPCs of a region, the default one included."""
ADDRESSES = "L-0263D0A3"
"""Elastic IP addresses of a region."""
_OF_VPC = (VPCS,)
_P_ON_DEMAND = "L-417A185B"
_P_SPOT = {2: "L-7212CCBC", 3: "L-7212CCBC", 4: "L-7212CCBC", 5: "L-C4BD4855"}


def _names() -> Iterator[tuple[str, str]]:
    """Yield each quota's code and what it counts."""
    yield VPCS, "VPCs of a region"
    yield ADDRESSES, "elastic IP addresses"
    yield _P_ON_DEMAND, "vCPUs of P instances, on demand"
    yield _P_SPOT[4], "vCPUs of P2, P3 and P4 instances, spot"
    yield _P_SPOT[5], "vCPUs of P5 instances, spot"
    for each in _CLASSES.values():
        name = each.name.partition(" (")[0]
        yield each.on_demand, f"vCPUs of {name} instances, on demand"
        if each.spot is not None:
            yield each.spot, f"vCPUs of {name} instances, spot"


_NAMES = dict(_names())


@dataclass(frozen=True, slots=True)
class Demand:
    """What a queue or a node pool may start in a region, in vCPUs under one quota."""

    region: str
    code: str
    """The quota's: `L-DB2E81BA`."""
    kind: str
    """What it counts, as a person reads it: `G and VT instances on demand`."""
    least_vcpus: int
    """What one instance takes: under less than that, nothing starts at all."""
    most_vcpus: int
    who: str
    """`the queue g5-2xlarge-spot`, `the node pool gpu`."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A quota that is too small: an error if something can never start, else a warning."""

    where: str
    what: str
    next_step: str
    level: Literal["error", "warning"]


def demands(
    region: str,
    types: Iterable[str],
    market: Market,
    most_vcpus: int,
    who: str,
    least_vcpus: int | None = None,
) -> tuple[Demand, ...]:
    """Return what instance types or families (`g5.2xlarge`, `g5`) demand, one for each quota.

    `least_vcpus` is what the smallest of them takes, where it is known better than by its name. A
    family whose quota is not known (spot instances of P6) demands nothing.
    """
    found: dict[str, Demand] = {}
    for each in types:
        quota = _quota(each, market)
        if quota is None:
            continue
        code, kind, least_of_class = quota
        least = least_vcpus or vcpus_of(each) or least_of_class
        before = found.get(code)
        if before is None or least < before.least_vcpus:
            found[code] = Demand(region, code, kind, least, most_vcpus, who)
    return tuple(found.values())


def demands_of(outputs: StackOutputs) -> tuple[Demand, ...]:
    """Return what the queues of an environment demand.

    Node pools are not among it: outputs hold their names alone.
    """
    return tuple(
        demand
        for site in outputs.sites.values()
        if site.batch is not None
        for name, queue in site.batch.queues.items()
        for demand in demands(
            site.region, queue.instance_types, queue.market, queue.max_vcpus, f"the queue {name}"
        )
    )


def service(code: str) -> str:
    """Return the service whose quota it is, as Service Quotas calls it."""
    return "vpc" if code in _OF_VPC else "ec2"


def named(code: str) -> str:
    """Return a quota as a person reads it: `vCPUs of G and VT instances, spot (L-3819A6DF)`."""
    return f"{_NAMES[code]} ({code})" if code in _NAMES else code


def request(region: str, code: str, value: int) -> str:
    """Return the command that asks AWS for a larger quota."""
    return (
        f"aws service-quotas request-service-quota-increase --service-code {service(code)} "
        f"--quota-code {code} --desired-value {value} --region {region}"
    )


def wanted(found: Iterable[Demand]) -> tuple[Key, ...]:
    """Return which quotas have to be known, each once."""
    return tuple(dict.fromkeys((each.region, each.code) for each in found))


def shortages(found: Sequence[Demand], values: Mapping[Key, float | None]) -> tuple[Shortage, ...]:
    """Return where quotas are too small; one whose value is not known (None) is passed by."""
    short: list[Shortage] = []
    for key in wanted(found):
        value = values.get(key)
        if value is None:
            continue
        same = [each for each in found if (each.region, each.code) == key]
        stuck = [each for each in same if each.least_vcpus > value]
        if stuck:
            short.append(_never(stuck, value, same))
        elif sum(each.most_vcpus for each in same) > value:
            short.append(_slow(same, value))
    return tuple(short)


def vcpus_of(instance_type: str) -> int | None:
    """Return an instance type's vCPUs as its size says; None for a family or an odd size.

    Sizes below `large` count as one: some have two, and none is to be refused wrongly.
    """
    family, dot, size = instance_type.partition(".")
    if not dot or family.startswith("hpc"):
        return None
    if size in ("nano", "micro", "small", "medium"):
        return 1
    if size == "large":
        return 2
    times = re.fullmatch(r"(\d*)xlarge", size)
    return 4 * int(times[1] or 1) if times else None


def _quota(instance_type: str, market: Market) -> tuple[str, str, int] | None:
    """Return the code, what it counts, and the least vCPUs of the class."""
    parts = re.match(r"([a-z]+)-?(\d+)", instance_type)
    if parts is None:
        return None
    letters, generation = parts[1], int(parts[2])
    if letters == "p":
        name, least = "P", {2: 4, 3: 8, 4: 96}.get(generation, 16)
        code = _P_ON_DEMAND if market == "on-demand" else _P_SPOT.get(generation)
    elif letters in _CLASSES:
        kind = _CLASSES[letters]
        name, least = kind.name, kind.least_vcpus
        code = kind.on_demand if market == "on-demand" else kind.spot
    else:
        return None
    if code is None:
        return None
    how = "on demand" if market == "on-demand" else "on the spot market"
    return code, f"{name} instances {how}", least


def _never(stuck: Sequence[Demand], value: float, same: Sequence[Demand]) -> Shortage:
    least = max(each.least_vcpus for each in stuck)
    needs = ", ".join(f"{each.who} needs {each.least_vcpus}" for each in _first(stuck))
    what = (
        f"{_vcpus(value)} for {_place(stuck[0])}, {needs}{_more(stuck)}; jobs would wait for ever"
    )
    most = sum(each.most_vcpus for each in same)
    next_step = request(stuck[0].region, stuck[0].code, max(least, most))
    return Shortage(named(stuck[0].code), what, next_step, "error")


def _slow(same: Sequence[Demand], value: float) -> Shortage:
    most = sum(each.most_vcpus for each in same)
    who = ", ".join(each.who for each in _first(same)) + _more(same)
    what = f"{_vcpus(value)} for {_place(same[0])}, of which {who} may take {most}; jobs would wait"
    next_step = request(same[0].region, same[0].code, most)
    return Shortage(named(same[0].code), what, next_step, "warning")


def _first(found: Sequence[Demand]) -> Sequence[Demand]:
    return found[:3]


def _more(found: Sequence[Demand]) -> str:
    return f" and {len(found) - 3} more" if len(found) > 3 else ""


def _vcpus(value: float) -> str:
    return f"{value:g} {'vCPU' if value == 1 else 'vCPUs'}"


def _place(demand: Demand) -> str:
    return f"{demand.kind} in {demand.region}"
