"""Which subnets can hold a cluster, what its nodes must reach from there, and which network its
Services use. Pure: knows no Pulumi."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import TypeVar

from ems.errors import UsageError

CANNOT_HOLD = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
"""Zones where EKS puts no control plane."""
SERVICE_NETWORK = "172.20.0.0/16"
"""Addresses of Services in the cluster. Fixed, since a change replaces the cluster; left to AWS,
it would mind the VPC alone, and a lab with the same network could not be reached."""

NODE_ENDPOINTS = ("ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "elasticloadbalancing", "sts")
"""The interface endpoints that a cluster's nodes and pods need where no way leads out; S3's, of the
gateway kind, every site has."""

Subnet = TypeVar("Subnet")


def control_plane_subnets(subject: str, subnets: Mapping[str, Subnet]) -> dict[str, Subnet]:
    """Return the subnets, by zone id, where EKS can put its control plane: two at least."""
    usable = {zone: subnets[zone] for zone in sorted(subnets) if zone not in CANNOT_HOLD}
    if len(usable) < 2:
        refused = sorted(set(subnets) & CANNOT_HOLD)
        why = f", {', '.join(refused)} can hold no control plane" if refused else ""
        raise UsageError(
            subject,
            f"a cluster needs subnets in two zones (given: {', '.join(sorted(subnets))}{why})",
            "a second zone in the site's `zones`, or no `kubernetes`",
        )
    return usable


def check_service_network(subject: str, networks: Mapping[str, str]) -> None:
    """Refuse a network that a pod could not reach, because Services have the same addresses."""
    own = ip_network(SERVICE_NETWORK)
    for name, network in sorted(networks.items()):
        if own.overlaps(ip_network(network, strict=False)):
            raise UsageError(
                subject,
                f"{name} has {network}, inside which the cluster has its Services "
                f"({SERVICE_NETWORK}), so that pods could not reach it",
                f"another network for {name}, or no `kubernetes` at this site",
            )
