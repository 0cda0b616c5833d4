"""The addresses inside VPN tunnels: a /30 for each tunnel, two for each connection.

Addresses must differ among the connections of one gateway and among those of one lab's device. They
come from the site's BGP number and the lab's name alone, so that a connection that is added never
moves another's. Knows no AWS API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from itertools import combinations

from ems.errors import UsageError

POOL = IPv4Network("169.254.64.0/18")
"""Clear of what AWS reserves for itself (169.254.0.0/30 to .5.0/30, .169.252/30), of its metadata,
time and credential services (.169 to .172), and of node-local DNS (below .64)."""
PAIRS = POOL.num_addresses // 8


def inside(site_asn: int, lab: str) -> tuple[str, str]:
    """Return the inside networks of the two tunnels between a site and a lab.

    For one lab the site's number decides, and those differ; at one site the lab's name does.
    """
    place = (site_asn + _slot(lab)) % PAIRS
    first = POOL.network_address + 8 * place
    return f"{first}/30", f"{first + 4}/30"


def check(sites: Mapping[str, Iterable[str]]) -> None:
    """Refuse labs that would get the same inside addresses at a site; `sites` → its labs."""
    for site, labs in sites.items():
        for one, other in combinations(sorted(set(labs)), 2):
            if _slot(one) == _slot(other):
                raise UsageError(
                    f"labs {one}, {other}",
                    f"both get the same tunnel addresses at {site} "
                    f"(allowed: a pair of 1 in {PAIRS} of its own for each)",
                    f"give {other} another name",
                )


def _slot(lab: str) -> int:
    return int.from_bytes(hashlib.sha256(lab.encode()).digest()[:8], "big") % PAIRS
