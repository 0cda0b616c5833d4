"""A VPC that a lab has already, as AWS describes it: its subnets, and where each one leads.

Asks and sorts; does not know what a site wants of it (`faults.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ems.stack.aws import Missing, asking

_EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Subnet:
    """A subnet of the VPC."""

    zone: str
    public_addresses: bool
    """Whether what starts there gets a public address."""
    out: str
    """What its default route leads through (`igw-…`, `nat-…`, `tgw-…`); empty without one."""


@dataclass(frozen=True)
class Vpc:
    """The VPC, all of it that matters to jobs."""

    cidrs: tuple[str, ...]
    subnets: Mapping[str, Subnet]
    route_tables: tuple[str, ...]
    endpoints: tuple[str, ...]
    """Services with an interface endpoint there: `ecr.api`."""


def ask(ec2: Any, vpc: str) -> Vpc | None:
    """Return the VPC; None where the region has none by that id."""
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    with asking(f"VPC {vpc}"):
        try:
            with asking(vpc):
                found = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
        except Missing:
            return None
        subnets = _all(ec2, "describe_subnets", "Subnets", here)
        tables = _all(ec2, "describe_route_tables", "RouteTables", here)
        endpoints = _all(ec2, "describe_vpc_endpoints", "VpcEndpoints", here)
    ways = _ways(tables)
    return Vpc(
        cidrs=tuple(each["CidrBlock"] for each in found.get("CidrBlockAssociationSet", []))
        or (found["CidrBlock"],),
        subnets={
            each["SubnetId"]: Subnet(
                zone=each["AvailabilityZoneId"],
                public_addresses=bool(each.get("MapPublicIpOnLaunch")),
                out=ways.get(each["SubnetId"], ways.get("", "")),
            )
            for each in subnets
        },
        route_tables=tuple(sorted(each["RouteTableId"] for each in tables)),
        endpoints=tuple(
            sorted(
                each["ServiceName"].split(".", 3)[3]
                for each in endpoints
                if each.get("VpcEndpointType") == "Interface"
                and each["ServiceName"].startswith("com.amazonaws.")
            )
        ),
    )


def _ways(tables: list[dict[str, Any]]) -> dict[str, str]:
    """Return subnet → what its default route leads through; the main table's under ''."""
    ways: dict[str, str] = {}
    for table in tables:
        out = ""
        for route in table.get("Routes", []):
            if (
                route.get("DestinationCidrBlock") == _EVERYWHERE
                and route.get("State") != "blackhole"
            ):
                names = ("NatGatewayId", "GatewayId", "TransitGatewayId", "NetworkInterfaceId")
                other = ("InstanceId", "VpcPeeringConnectionId")
                out = next((route[key] for key in (*names, *other) if route.get(key)), "")
        for each in table.get("Associations", []):
            if subnet := each.get("SubnetId"):
                ways[subnet] = out
            elif each.get("Main"):
                ways[""] = out
    return ways


def _all(ec2: Any, call: str, key: str, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    pages = ec2.get_paginator(call).paginate(Filters=filters)
    return [each for page in pages for each in page[key]]
