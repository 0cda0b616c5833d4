"""The BGP number of each site's virtual private gateway, and the numbers that nobody can have.

A gateway's number can't be changed once it is made, so it comes from the site's own network and
from nothing else: a site that is added later never moves another's. Knows no AWS API.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from itertools import combinations

from ems.errors import UsageError

FIRST, COUNT = 64513, 487
"""Numbers that sites get by themselves: 64513 to 64999, private, and below 65000, which labs have
by default. COUNT is prime: networks lie at multiples of powers of two, and then don't fall on each
other. All /16 of 10.0.0.0/8 get different ones."""
AWS_DEFAULT = 64512
"""What AWS gives a gateway that asks for nothing: many have it, so no site and no lab may."""
AWS_OWN = frozenset({7224, 9059, 10124, 17943, AWS_DEFAULT})
"""Numbers that AWS keeps for itself or gives by default: no lab's router can have one."""


def site_asn(cidr: str) -> int:
    """Return the number that a site with this network gets by itself."""
    return FIRST + (int(IPv4Network(cidr).network_address) >> 12) % COUNT


def site_asns(
    cidrs: Mapping[str, str],
    given: Mapping[str, int | None] | None = None,
    labs: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Return each site's number: the one given, else the one of its network; all are different.

    `labs` are the labs' numbers. A lab's router drops routes that carry its own number as loops, so
    no site has one of theirs. Two sites with one number, or a site with a lab's, are an error that
    names both.
    """
    chosen = {site: (given or {}).get(site) or site_asn(cidr) for site, cidr in cidrs.items()}
    for site, number in chosen.items():
        if number in AWS_OWN:
            raise UsageError(
                f"sites.{site}.asn",
                f"{number} is AWS's own (allowed: 64513 to 65534)",
                f"set another `asn:` for {site}",
            )
        for lab, theirs in (labs or {}).items():
            if number == theirs:
                raise _same(f"site {site}", f"lab {lab}", number, site)
    for (one, a), (other, b) in combinations(chosen.items(), 2):
        if a == b:
            raise _same(f"site {one}", f"site {other}", a, other)
    return chosen


def _same(one: str, other: str, number: int, site: str) -> UsageError:
    return UsageError(
        f"{one}, {other}",
        f"both have the BGP number {number} (allowed: a number of its own for each)",
        f"set `asn:` of site {site}, 64513 to 65534, before its gateway is made",
    )
