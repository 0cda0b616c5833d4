"""Whether a region of the account has room for an environment's VPCs and addresses. Pure.

Knows what an environment makes of what AWS counts, and that what it has made already is not wanted
anew. Does not know how anything is asked for (`facts.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ems.stack.quotas import ADDRESSES, VPCS, Key, named, request
from infra.settings.fault import Fault
from infra.settings.types import Environment, Site

_NAMES = {VPCS: "VPCs", ADDRESSES: "Elastic IP addresses"}
_FOR = {VPCS: "one for each site", ADDRESSES: "one for each NAT gateway"}


@dataclass(frozen=True)
class Used:
    """How many of a thing a region has."""

    by_all: int
    ours: int
    """Of these, what the environment has made."""


def wanted(settings: Environment) -> dict[Key, int]:
    """Return how much of each quota the environment takes, where it takes any."""
    found: dict[Key, int] = {}
    for site in settings.sites.values():
        for code, count in _of_site(site).items():
            if count:
                found[site.region, code] = found.get((site.region, code), 0) + count
    return found


def shortages(
    settings: Environment, used: Mapping[Key, Used], quotas: Mapping[Key, float | None]
) -> Iterator[Fault]:
    """Return where there is no room; what could not be asked for is passed by."""
    for key, count in wanted(settings).items():
        there, most = used.get(key), quotas.get(key)
        if there is None or most is None:
            continue
        others = there.by_all - there.ours
        if others + count > most:
            region, code = key
            yield Fault(
                f"quota of {named(code)}",
                f"{most:g} {_NAMES[code]} in {region}, where others have {others} and the "
                f"environment needs {count}, {_FOR[code]}: up would fail in the middle",
                request(region, code, others + count),
            )


def _of_site(site: Site) -> dict[str, int]:
    if site.vpc:  # a lab's own VPC has its own ways out
        return {}
    return {VPCS: 1, ADDRESSES: {"none": 0, "one": 1, "zone": len(site.zones)}[site.nat]}
