"""What costs while nothing runs: the promises of the issue, counted from settings."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ems.errors import EmsError
from ems.stack.idle import idle_costs
from infra.money.idle import (
    Idle,
    by_transit_gateways,
    idle_usd_per_month,
    peered,
    total_usd,
    usd,
)
from infra.settings.reading import read_file
from infra.settings.types import Environment, ExistingVpc, Kubernetes, Lab, Ray, Site

STACKS = Path(__file__).resolve().parents[3] / "stacks"
LAB = Lab(address="203.0.113.10", networks=("10.200.0.0/16",), sites=("oregon",))


def site(region: str = "us-west-2", **settings: object) -> Site:
    zones = ("usw2-az1", "usw2-az2", "usw2-az3")
    return Site(**{"region": region, "cidr": "10.16.0.0/16", "zones": zones, **settings})  # type: ignore[arg-type]


def environment(sites: dict[str, Site], **settings: object) -> Environment:
    return Environment(accounts=("123456789012",), sites=sites, **settings)  # type: ignore[arg-type]


def counts(env: Environment) -> dict[str, int]:
    return {line.what: line.count for line in idle_usd_per_month(env)}


def test_a_site_alone_costs_one_key() -> None:
    dev = environment({"oregon": site()})
    assert idle_usd_per_month(dev) == [Idle("kms-key", 1, 1.0)]


def test_dev_keeps_below_ten_dollars_and_below_fifty_with_one_lab() -> None:
    dev = read_file(STACKS / "Pulumi.dev.yaml")
    assert not dev.labs and total_usd(dev) <= 10
    with_lab = total_usd(structs.replace(dev, labs={"usc": LAB}))
    assert with_lab <= 50
    # 36.50 for the connection, 7.30 for its tunnels' addresses, a secret, an alarm, the key
    assert with_lab == pytest.approx(36.50 + 7.30 + 0.40 + 0.10 + 1.00)


def test_four_sites_and_one_lab_cost_175_dollars_by_peering_and_664_by_transit_gateways() -> None:
    # 146 and 657 without the tunnels' addresses
    assert usd(peered(sites=4, labs=1)) == pytest.approx(146.00 + 29.20)
    assert usd(by_transit_gateways(sites=4, labs=1)) == pytest.approx(657.00 + 7.30)
    assert usd(peered(sites=1, labs=1)) == pytest.approx(43.80)


@given(st.integers(1, 30))
def test_for_one_lab_peering_costs_less_than_transit_gateways(sites: int) -> None:
    assert usd(peered(sites, 1)) < usd(by_transit_gateways(sites, 1))


def test_from_seven_labs_on_that_use_all_of_four_sites_transit_gateways_cost_less() -> None:
    dearer = [
        labs for labs in range(20) if usd(peered(4, labs)) > usd(by_transit_gateways(4, labs))
    ]
    assert dearer == list(range(7, 20))


def test_paper_costs_what_its_connections_and_clusters_cost() -> None:
    paper = read_file(STACKS / "Pulumi.paper.yaml")
    assert (len(paper.sites), len(paper.labs)) == (4, 1)
    assert counts(paper) == {
        "vpn-connection": 4,
        "public-ipv4": 8,
        "secret": 4,
        "alarm": 4,
        "kms-key": 1,  # its four sites lie in one region
        "eks-cluster": 2,
        "network-load-balancer": 1,
    }
    by_vpn = 146.00 + 29.20 + 1.60 + 0.40
    assert total_usd(paper) == pytest.approx(by_vpn + 1.00 + 146.00 + 16.425)


def test_sites_in_two_regions_have_a_key_in_each() -> None:
    assert counts(environment({"a": site(), "b": site("us-east-2")})) == {"kms-key": 2}


def test_every_setting_that_costs_is_counted() -> None:
    env = environment(
        {
            "oregon": site(
                nat="zone", endpoints=("ecr.api", "logs"), kubernetes=Kubernetes(ray=Ray())
            )
        }
    )
    assert counts(env) == {
        "nat-gateway": 3,
        "public-ipv4": 3,
        "interface-endpoint": 6,
        "eks-cluster": 1,
        "kms-key": 1,
    }
    standing = environment({"oregon": site(kubernetes=Kubernetes(ray=Ray(cluster=True)))})
    assert counts(standing)["network-load-balancer"] == 1


def test_sites_of_one_region_share_their_alarms() -> None:
    assert counts(environment({"a": site(), "b": site()})) == {"kms-key": 1}


def test_nothing_is_counted_for_a_lab_s_own_vpc_but_its_endpoints() -> None:
    vpc = ExistingVpc(id="vpc-1", private_subnets={"usw2-az1": "subnet-1"})
    env = environment({"oregon": site(vpc=vpc, nat="one", endpoints=("logs",))})
    assert counts(env) == {"interface-endpoint": 1, "kms-key": 1}


@given(
    st.lists(st.sampled_from(["none", "one", "zone"]), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_more_never_costs_less(nats: list[str], labs: int) -> None:
    """Adding a site or a lab never lowers the sum, and the lines add up to it."""
    sites = {f"s{n}": site(nat=nat) for n, nat in enumerate(nats)}
    joined = {
        f"l{n}": Lab(address="203.0.113.10", networks=("10.200.0.0/16",), sites=tuple(sites))
        for n in range(labs)
    }
    whole = environment(sites, labs=joined)
    assert math.isclose(total_usd(whole), sum(line.usd for line in idle_usd_per_month(whole)))
    without_labs = environment(sites)
    first = environment(dict(list(sites.items())[:1]))
    assert total_usd(first) <= total_usd(without_labs) <= total_usd(whole)


def test_each_price_names_its_page_and_unit() -> None:
    table = idle_costs()
    assert table.region == "us-east-1" and table.hours_per_month == 730
    for key, item in table.items.items():
        assert item.source.startswith("https://aws.amazon.com/"), key
        assert item.usd >= 0 and item.what, key


def test_an_unknown_item_is_named_with_the_nearest() -> None:
    with pytest.raises(EmsError, match=r"nat-gatway.*did you mean 'nat-gateway'"):
        idle_costs().usd_per_month("nat-gatway")
