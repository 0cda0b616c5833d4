"""Where a site's subnets lie in its network, and which networks overlap.

A site's network is cut into four quarters. The first three belong to the first, second and third
zone of the site's list, whether they are there or not: a zone added at the end moves nothing.

    a zone's quarter    first half           the private subnet
                        half of the second   the public subnet
                        the rest             room
    the last quarter                         room

Of a /16, private subnets have 8,187 addresses to give and public ones 4,091, as jobs run in those
where there is no NAT. Knows no AWS API and no settings file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations

from ems.errors import UsageError

LARGEST, SMALLEST = 16, 20
"""Prefix lengths of a site's network: the largest that AWS makes, the smallest that is useful."""
MOST_ZONES = 3
RESERVED = 5
"""Addresses of each subnet that AWS keeps: the first four and the last."""

FORBIDDEN: Mapping[str, str] = {
    "172.17.0.0/16": "Docker's own network on Batch's instances",
    "169.254.0.0/16": "link-local addresses",
    "127.0.0.0/8": "this machine itself",
    "224.0.0.0/3": "multicast and reserved addresses",
    "0.0.0.0/8": "no network's addresses",
    "198.19.0.0/16": "a network that AWS uses itself",
}


@dataclass(frozen=True)
class SubnetPlan:
    """A site's subnets by zone id, and what is left for later."""

    cidr: str
    zones: tuple[str, ...]
    public: Mapping[str, str]
    private: Mapping[str, str]
    room: tuple[str, ...]


@dataclass(frozen=True)
class Clash:
    """Two networks, of two names, that share addresses."""

    one: str
    one_cidr: str
    other: str
    other_cidr: str

    def __str__(self) -> str:
        return f"{self.one} ({self.one_cidr}) and {self.other} ({self.other_cidr}) overlap"


def plan(cidr: str, zones: Sequence[str]) -> SubnetPlan:
    """Return a public and a private subnet in each zone, by the zone's place in the list."""
    whole = _site(cidr)
    if not 1 <= len(zones) <= MOST_ZONES or len(set(zones)) != len(zones):
        raise UsageError(
            f"zones of {cidr}",
            f"{', '.join(zones) or 'none'} (allowed: one to {MOST_ZONES}, each once)",
            "name zones by id, such as usw2-az1",
        )
    *quarters, last = whole.subnets(prefixlen_diff=2)
    public: dict[str, str] = {}
    private: dict[str, str] = {}
    room: list[str] = []
    for quarter, zone in zip(quarters, zones, strict=False):
        inner, outer = quarter.subnets(prefixlen_diff=1)
        facing, spare = outer.subnets(prefixlen_diff=1)
        private[zone], public[zone] = str(inner), str(facing)
        room.append(str(spare))
    room += [str(quarter) for quarter in quarters[len(zones) :]]
    return SubnetPlan(str(whole), tuple(zones), public, private, (*room, str(last)))


def clashes(named: Mapping[str, Sequence[str]]) -> list[Clash]:
    """Return every pair of networks of different names that overlap, in the order given."""
    all_networks = [(name, IPv4Network(cidr)) for name, cidrs in named.items() for cidr in cidrs]
    return [
        Clash(one, str(a), other, str(b))
        for (one, a), (other, b) in combinations(all_networks, 2)
        if one != other and a.overlaps(b)
    ]


def forbidden(cidr: str) -> str:
    """Say why no site or lab can have this network, or return an empty string."""
    network = IPv4Network(cidr)
    for taken, why in FORBIDDEN.items():
        if network.overlaps(IPv4Network(taken)):
            return f"{taken} is {why}"
    return ""


def usable(cidr: str) -> int:
    """Return how many addresses AWS has to give in a subnet."""
    return IPv4Network(cidr).num_addresses - RESERVED


def _site(cidr: str) -> IPv4Network:
    try:
        network = IPv4Network(cidr)
    except ValueError as error:
        raise UsageError(
            cidr, f"not a network: {error} (allowed: such as 10.16.0.0/16)", "mend `cidr`"
        ) from None
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise UsageError(
            cidr,
            f"a site's network is /{network.prefixlen} (allowed: /{LARGEST} to /{SMALLEST})",
            "choose another `cidr`; it stays the same for ever, so leave room",
        )
    return network
