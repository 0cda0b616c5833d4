"""Tunnel addresses: different wherever they meet, and the same for ever."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.errors import UsageError
from infra.plan import tunnels
from infra.plan.tunnels import POOL, check, inside

RESERVED = [
    IPv4Network(f"169.254.{third}/30")
    for third in ("0.0", "1.0", "2.0", "3.0", "4.0", "5.0", "169.252")
]
asns = st.integers(64513, 65534)
labs = st.text("abcdefgh-", min_size=1, max_size=16)


@given(asns, labs)
def test_a_connection_has_two_30_that_aws_allows(asn: int, lab: str):
    one, two = (IPv4Network(cidr) for cidr in inside(asn, lab))
    assert not one.overlaps(two)
    for network in (one, two):
        assert network.prefixlen == 30
        assert network.subnet_of(POOL)
        assert not any(network.overlaps(kept) for kept in RESERVED)


@given(st.lists(asns, min_size=2, max_size=8, unique=True), labs)
def test_a_lab_s_tunnels_to_different_sites_never_meet(numbers: list[int], lab: str):
    cidrs = [IPv4Network(cidr) for number in numbers for cidr in inside(number, lab)]
    assert not [pair for pair in combinations(cidrs, 2) if pair[0].overlaps(pair[1])]


def test_addresses_are_pinned():
    """A lab's device has them in its settings."""
    assert inside(64821, "alpha") == ("169.254.86.152/30", "169.254.86.156/30")


def test_labs_of_one_site_that_would_meet_are_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    check({"oregon": ["alpha", "beta", "gamma"]})
    monkeypatch.setattr(tunnels, "PAIRS", 1)
    with pytest.raises(UsageError, match="labs alpha, beta: both get the same tunnel addresses"):
        check({"oregon": ["alpha", "beta"]})
    check({"oregon": ["alpha"], "ireland": ["beta"]})
