"""Who reaches whom, and which routes that takes. Pure: names and networks, no AWS API.

Sites are peered with each other; a lab has a VPN connection to each site that it uses. Neither
carries on: a lab doesn't reach a site through another, and labs never reach each other through AWS.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal


@dataclass(frozen=True)
class LabLinks:
    """A lab as the network sees it: its networks, and the sites that it uses."""

    networks: tuple[str, ...]
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Topology:
    """All sites and labs of an environment."""

    sites: Mapping[str, str]
    """Site → its network."""
    labs: Mapping[str, LabLinks] = field(default_factory=dict)
    join_sites: bool = True


@dataclass(frozen=True)
class Way:
    """A route that every route table of `site` has: a destination, and what it goes through."""

    site: str
    destination: str
    through: Literal["peering", "vpn"]
    other: str
    """The peered site, or the lab."""


def peerings(topology: Topology) -> list[tuple[str, str]]:
    """Return the pairs of sites to join, requester first.

    Names decide who asks, so that a site that is added never turns a connection round.
    """
    return list(combinations(sorted(topology.sites), 2)) if topology.join_sites else []


def connections(topology: Topology) -> list[tuple[str, str]]:
    """Return the VPN connections to make, as site and lab."""
    return [(site, lab) for lab, links in topology.labs.items() for site in links.sites]


def ways(topology: Topology) -> list[Way]:
    """Return every route that sites need for what they reach outside of themselves."""
    sites = topology.sites
    joined = [pair for a, b in peerings(topology) for pair in ((a, b), (b, a))]
    over_peering = [Way(here, sites[there], "peering", there) for here, there in joined]
    over_vpn = [
        Way(site, network, "vpn", lab)
        for site, lab in connections(topology)
        for network in topology.labs[lab].networks
    ]
    return over_peering + over_vpn


def reaches(topology: Topology, one: str, other: str) -> bool:
    """Tell whether a packet gets from one site or lab to another, and the answer back.

    `one` and `other` are names of sites or labs; each reaches itself.
    """
    known = {*topology.sites, *topology.labs}
    if not {one, other} <= known:
        raise LookupError(f"{one}, {other}: not both among {', '.join(sorted(known))}")
    if one == other:
        return True
    pair = {one, other}
    joined = [{site, peer} for site, peer in peerings(topology)]
    joined += [{site, lab} for site, lab in connections(topology)]
    return pair in joined


def clients(topology: Topology, site: str) -> dict[str, str]:
    """Return the networks that may call on what a site serves (files, APIs), by names that stay.

    The site itself, its peers and the labs that use it; a lab's networks are named one by one.
    """
    found = {site: topology.sites[site]}
    for way in ways(topology):
        if way.site == site:
            lab = f"{way.other}-{way.destination.replace('/', '-')}"
            found[way.other if way.through == "peering" else lab] = way.destination
    return found


JOB_ENDPOINTS = ("ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs")
"""The interface endpoints without which an instance in a private subnet with no NAT runs no job."""


def jobs_public(nat: str, endpoints: Collection[str]) -> bool:
    """Tell whether jobs must go into public subnets: no NAT, and not all endpoints they need."""
    return nat == "none" and not set(JOB_ENDPOINTS) <= set(endpoints)
