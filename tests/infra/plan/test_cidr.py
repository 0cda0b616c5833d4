"""Subnets: they fit, don't overlap, and stay where they are when zones are added."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.errors import UsageError
from infra.plan.cidr import Clash, SubnetPlan, clashes, forbidden, plan, usable

ZONES = ("usw2-az1", "usw2-az2", "usw2-az3")


@st.composite
def networks(draw: st.DrawFn, longest: int = 20) -> str:
    """A site's network somewhere in 10.0.0.0/8."""
    prefix = draw(st.integers(16, longest))
    place = draw(st.integers(0, 2 ** (prefix - 8) - 1))
    return f"{IPv4Network('10.0.0.0/8').network_address + place * 2 ** (32 - prefix)}/{prefix}"


zone_lists = st.integers(1, 3).flatmap(
    lambda count: st.lists(st.sampled_from(ZONES), min_size=count, max_size=count, unique=True)
)


def parts(planned: SubnetPlan) -> list[IPv4Network]:
    """All that a plan gives away or keeps."""
    cidrs = (*planned.public.values(), *planned.private.values(), *planned.room)
    return [IPv4Network(cidr) for cidr in cidrs]


@given(networks(), zone_lists)
def test_subnets_and_room_fill_the_network_and_overlap_nowhere(cidr: str, zones: list[str]):
    found = parts(plan(cidr, zones))
    assert not [(a, b) for a, b in combinations(found, 2) if a.overlaps(b)]
    assert all(part.subnet_of(IPv4Network(cidr)) for part in found)
    assert sum(part.num_addresses for part in found) == IPv4Network(cidr).num_addresses


@given(networks(), zone_lists)
def test_each_zone_has_a_public_and_a_larger_private_subnet(cidr: str, zones: list[str]):
    planned = plan(cidr, zones)
    assert list(planned.public) == list(planned.private) == zones == list(planned.zones)
    for zone in zones:
        assert usable(planned.private[zone]) > usable(planned.public[zone]) >= 2**8 - 5


@given(networks(), zone_lists)
def test_zones_added_at_the_end_move_nothing(cidr: str, zones: list[str]):
    more = [*zones, *(zone for zone in ZONES if zone not in zones)]
    before, after = plan(cidr, zones), plan(cidr, more)
    assert before.public.items() <= after.public.items()
    assert before.private.items() <= after.private.items()


@given(networks(), zone_lists)
def test_the_same_settings_give_the_same_plan(cidr: str, zones: list[str]):
    assert plan(cidr, zones) == plan(cidr, tuple(zones))


@given(networks(), zone_lists)
def test_room_is_kept_for_what_comes_later(cidr: str, zones: list[str]):
    whole, room = IPv4Network(cidr), [IPv4Network(cidr) for cidr in plan(cidr, zones).room]
    assert sum(part.num_addresses for part in room) >= whole.num_addresses * 7 // 16


def test_the_plan_of_a_16_is_pinned():
    """Existing sites would be torn down if this changed."""
    planned = plan("10.16.0.0/16", ZONES)
    assert planned.private == {
        "usw2-az1": "10.16.0.0/19",
        "usw2-az2": "10.16.64.0/19",
        "usw2-az3": "10.16.128.0/19",
    }
    assert planned.public == {
        "usw2-az1": "10.16.32.0/20",
        "usw2-az2": "10.16.96.0/20",
        "usw2-az3": "10.16.160.0/20",
    }
    assert planned.room == ("10.16.48.0/20", "10.16.112.0/20", "10.16.176.0/20", "10.16.192.0/18")


def test_public_subnets_of_a_16_hold_thousands_of_jobs():
    planned = plan("10.16.0.0/16", ZONES[:2])
    assert [usable(cidr) for cidr in planned.public.values()] == [4091, 4091]


@pytest.mark.parametrize(
    ("cidr", "says"),
    [
        ("10.0.0.0/8", "/8 (allowed: /16 to /20)"),
        ("10.16.0.0/24", "/24 (allowed: /16 to /20)"),
        ("10.16.1.0/16", "host bits set"),
        ("10.300.0.0/16", "not a network"),
    ],
)
def test_a_network_that_can_not_be_cut_is_refused(cidr: str, says: str):
    with pytest.raises(UsageError) as refused:
        plan(cidr, ZONES)
    assert says in str(refused.value)
    assert "Try: " in str(refused.value)


@pytest.mark.parametrize("zones", [(), (*ZONES, "usw2-az4"), ("usw2-az1", "usw2-az1")])
def test_none_too_many_or_the_same_zone_twice_is_refused(zones: tuple[str, ...]):
    with pytest.raises(UsageError, match="one to 3, each once"):
        plan("10.16.0.0/16", zones)


def test_clashes_name_both_and_their_networks():
    found = clashes(
        {
            "site oregon": ["10.16.0.0/16"],
            "site ireland": ["10.17.0.0/16"],
            "lab alpha": ["192.168.0.0/24", "10.16.128.0/20"],
        }
    )
    assert found == [Clash("site oregon", "10.16.0.0/16", "lab alpha", "10.16.128.0/20")]
    assert str(found[0]) == ("site oregon (10.16.0.0/16) and lab alpha (10.16.128.0/20) overlap")


def test_networks_of_one_name_may_lie_in_each_other():
    assert clashes({"lab alpha": ["10.1.0.0/16", "10.1.2.0/24"]}) == []


@given(st.lists(networks(), min_size=2, max_size=6))
def test_clashes_are_exactly_the_overlaps(cidrs: list[str]):
    named = {f"site {number}": [cidr] for number, cidr in enumerate(cidrs)}
    pairs = combinations([IPv4Network(cidr) for cidr in cidrs], 2)
    assert len(clashes(named)) == sum(a.overlaps(b) for a, b in pairs)


@pytest.mark.parametrize(
    "cidr", ["172.17.0.0/16", "172.16.0.0/12", "169.254.8.0/24", "240.0.0.0/8"]
)
def test_networks_that_nobody_can_have_say_why(cidr: str):
    assert " is " in forbidden(cidr)


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "172.16.0.0/16", "192.168.0.0/24"])
def test_ordinary_private_networks_are_fine(cidr: str):
    assert forbidden(cidr) == ""
