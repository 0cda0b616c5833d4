"""Who reaches whom: sites each other, labs their sites, and nobody anybody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.plan.routes import (
    JOB_ENDPOINTS,
    LabLinks,
    Topology,
    Way,
    clients,
    connections,
    jobs_public,
    peerings,
    reaches,
    ways,
)

SITES = {"oregon": "10.16.0.0/16", "ireland": "10.17.0.0/16", "tokyo": "10.18.0.0/16"}
LABS = {
    "alpha": LabLinks(("10.1.0.0/16", "10.2.0.0/24"), ("oregon",)),
    "beta": LabLinks(("192.168.5.0/24",), ("oregon", "ireland")),
}
BOTH = Topology(SITES, LABS)


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Up to five sites and three labs, each with some of the sites."""
    names = draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=5, unique=True))
    sites = {name: f"10.{16 + ord(name) - 97}.0.0/16" for name in names}
    some = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
    labs = {
        lab: LabLinks((f"10.{number}.0.0/16",), draw(some))
        for number, lab in enumerate(draw(st.sets(st.sampled_from(["x", "y", "z"]))))
    }
    return Topology(sites, labs, draw(st.booleans()))


@given(topologies())
def test_what_is_reached_is_reached_both_ways_and_everybody_reaches_itself(topology: Topology):
    everybody = [*topology.sites, *topology.labs]
    for one in everybody:
        assert reaches(topology, one, one)
        for other in everybody:
            assert reaches(topology, one, other) == reaches(topology, other, one)


@given(topologies())
def test_labs_never_reach_each_other_nor_a_site_that_they_do_not_use(topology: Topology):
    for lab, links in topology.labs.items():
        for site in topology.sites:
            assert reaches(topology, lab, site) == (site in links.sites)
        assert not any(reaches(topology, lab, other) for other in topology.labs if other != lab)


@given(topologies())
def test_routes_lead_exactly_to_what_is_reached(topology: Topology):
    found = {(way.site, way.other) for way in ways(topology)}
    everybody = {*topology.sites, *topology.labs}
    wanted = {
        (site, other)
        for site in topology.sites
        for other in everybody
        if other != site and reaches(topology, site, other)
    }
    assert found == wanted


@given(topologies(), st.sampled_from("abcde"))
def test_a_site_that_is_added_turns_no_peering_round(topology: Topology, name: str):
    more = Topology({**topology.sites, name: "10.99.0.0/16"}, topology.labs, topology.join_sites)
    assert set(peerings(topology)) <= set(peerings(more))


def test_every_pair_of_sites_is_joined_once_the_first_by_name_asks():
    assert peerings(BOTH) == [("ireland", "oregon"), ("ireland", "tokyo"), ("oregon", "tokyo")]
    assert peerings(Topology(SITES, join_sites=False)) == []


def test_a_lab_is_connected_to_each_site_that_it_uses():
    assert connections(BOTH) == [("oregon", "alpha"), ("oregon", "beta"), ("ireland", "beta")]


def test_ways_name_destination_and_what_they_go_through():
    found = [way for way in ways(BOTH) if way.site == "ireland"]
    assert found == [
        Way("ireland", "10.16.0.0/16", "peering", "oregon"),
        Way("ireland", "10.18.0.0/16", "peering", "tokyo"),
        Way("ireland", "192.168.5.0/24", "vpn", "beta"),
    ]


def test_clients_of_a_site_are_itself_its_peers_and_its_labs_by_names_that_stay():
    assert clients(BOTH, "oregon") == {
        "oregon": "10.16.0.0/16",
        "ireland": "10.17.0.0/16",
        "tokyo": "10.18.0.0/16",
        "alpha-10.1.0.0-16": "10.1.0.0/16",
        "alpha-10.2.0.0-24": "10.2.0.0/24",
        "beta-192.168.5.0-24": "192.168.5.0/24",
    }


def test_a_name_that_is_not_there_is_a_mistake():
    with pytest.raises(LookupError, match="gamma"):
        reaches(BOTH, "alpha", "gamma")


def test_jobs_go_into_private_subnets_only_where_those_reach_aws():
    assert jobs_public("none", ())
    assert jobs_public("none", JOB_ENDPOINTS[:-1])
    assert not jobs_public("none", (*JOB_ENDPOINTS, "sagemaker.api"))
    assert not jobs_public("one", ())
    assert not jobs_public("zone", ())
