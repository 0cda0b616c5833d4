"""What an environment costs a month while nothing runs, from its settings alone.

Counts what AWS charges for by the hour or the month, with the prices of `ems.stack.idle`. Does not
know what is paid by use: instances, storage, transfer, requests, logs, nodes of a standing
RayCluster. Knows no Pulumi.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ems.stack.idle import idle_costs
from infra.settings.types import Environment, Site

TUNNELS = 2
"""Tunnels of a VPN connection, each with a public address."""


class Idle(NamedTuple):
    """One line: what, how many of it, what they cost a month."""

    what: str
    """A key of the table of prices."""
    count: int
    usd: float


def idle_usd_per_month(environment: Environment) -> list[Idle]:
    """Return what costs while nothing runs, dearest first; what costs nothing is left out."""
    counted: Counter[str] = Counter()
    regions = {site.region for site in environment.sites.values()}
    counted["kms-key"] += len(regions)  # each region's topic for alarms has one
    for site in environment.sites.values():
        counted.update(_of_site(site))
    connections = sum(len(lab.sites) for lab in environment.labs.values())
    counted.update(vpn_connections(connections))
    lines = [Idle(what, n, idle_costs().usd_per_month(what, n)) for what, n in counted.items() if n]
    return sorted((line for line in lines if line.usd), key=lambda line: (-line.usd, line.what))


def total_usd(environment: Environment) -> float:
    """Return what an environment costs a month while nothing runs."""
    return sum(line.usd for line in idle_usd_per_month(environment))


def vpn_connections(count: int) -> dict[str, int]:
    """Return what `count` VPN connections consist of on the bill."""
    return {
        **_vpns(count),
        "secret": count,
        "alarm": count,
    }


def peered(sites: int, labs: int) -> dict[str, int]:
    """Return what joins them by VPC peering, with a VPN from each lab to each site."""
    return {"vpc-peering": _pairs(sites), **_vpns(labs * sites)}


def by_transit_gateways(sites: int, labs: int) -> dict[str, int]:
    """Return what joins them by transit gateways: one a site, all peered, one VPN a lab.

    Each gateway has an attachment for its VPC, each peering one at both ends, each VPN one.
    """
    attachments = sites + 2 * _pairs(sites) + labs
    return {"transit-gateway-attachment": attachments, **_vpns(labs)}


def usd(counted: dict[str, int]) -> float:
    """Return what the counted things cost a month."""
    return sum(idle_costs().usd_per_month(what, count) for what, count in counted.items())


def _vpns(count: int) -> dict[str, int]:
    """What AWS itself charges for connections, $43.80 a month each."""
    return {"vpn-connection": count, "public-ipv4": TUNNELS * count}


def _pairs(sites: int) -> int:
    return sites * (sites - 1) // 2


def _of_site(site: Site) -> dict[str, int]:
    zones = len(site.zones)
    # a lab's own VPC has its own NAT gateways, or none: they are not made here
    gateways = 0 if site.vpc else {"none": 0, "one": 1, "zone": zones}[site.nat]
    endpoint_zones = len(site.vpc.private_subnets) if site.vpc else zones
    ray = site.kubernetes.ray if site.kubernetes else None
    return {
        "nat-gateway": gateways,
        "public-ipv4": gateways,
        "interface-endpoint": len(site.endpoints) * endpoint_zones,
        "eks-cluster": 1 if site.kubernetes else 0,
        "network-load-balancer": 1 if ray and ray.cluster else 0,
    }
