"""A VPC that a lab has already, as AWS describes it: its subnets, where each one leads, and what it
has of things that a VPC has once.

Asks and sorts; does not know what a site wants of it (`vpc_faults.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ems.stack.aws import Missing, asking
from infra.plan.tags import ENVIRONMENT_TAG

_EVERYWHERE = "0.0.0.0/0"
_DNS = {"enableDnsHostnames": "DNS hostnames", "enableDnsSupport": "DNS support"}
Described = Mapping[str, Any]
"""One thing in an answer of AWS."""


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
    """The VPC, all of it that matters to jobs and to what is made there."""

    cidrs: tuple[str, ...]
    subnets: Mapping[str, Subnet]
    route_tables: tuple[str, ...]
    endpoints: Mapping[str, str]
    """Service → the interface endpoint that answers under the service's usual name (`ecr.api`)."""
    s3_tables: Mapping[str, str]
    """Route table → the gateway endpoint of S3 that it leads to."""
    vpn_gateway: str
    """The virtual private gateway that is attached; empty without one."""
    dns_off: tuple[str, ...]
    """Of DNS hostnames and DNS support, what is turned off."""
    ours: frozenset[str]
    """Of these endpoints and gateways, those that the environment itself has made."""


def ask(ec2: Any, vpc: str, environment: str = "") -> Vpc | None:
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
        gateways = _gateways(ec2, vpc)
        dns_off = tuple(said for name, said in _DNS.items() if not _attribute(ec2, vpc, name))
    return Vpc(
        cidrs=tuple(each["CidrBlock"] for each in found.get("CidrBlockAssociationSet", []))
        or (found["CidrBlock"],),
        subnets=_subnets(subnets, _ways(tables)),
        route_tables=tuple(sorted(each["RouteTableId"] for each in tables)),
        endpoints=_by_name(endpoints),
        s3_tables=_by_table(endpoints),
        vpn_gateway=next((each["VpnGatewayId"] for each in gateways), ""),
        dns_off=dns_off,
        ours=frozenset(
            each.get("VpcEndpointId") or each["VpnGatewayId"]
            for each in (*endpoints, *gateways)
            if is_ours(each, environment)
        ),
    )


def is_ours(thing: Described, environment: str) -> bool:
    """Tell by its tags whether the environment has made a thing.

    Without an environment's name, whatever any environment has made counts: nothing is to be
    refused wrongly.
    """
    tags = {each["Key"]: each["Value"] for each in thing.get("Tags") or ()}
    whose = tags.get(ENVIRONMENT_TAG)
    return whose == environment if environment else whose is not None


def _attribute(ec2: Any, vpc: str, name: str) -> bool:
    answer = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)
    return bool(answer[name[:1].upper() + name[1:]]["Value"])


def _gateways(ec2: Any, vpc: str) -> list[Described]:
    here = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    return [
        each
        for each in ec2.describe_vpn_gateways(Filters=here)["VpnGateways"]
        # one that is being detached still takes the place
        if any(tie["VpcId"] == vpc and tie["State"] != "detached" for tie in each["VpcAttachments"])
    ]


def _by_name(endpoints: Iterable[Described]) -> dict[str, str]:
    return {
        each["ServiceName"].split(".", 3)[3]: each["VpcEndpointId"]
        for each in endpoints
        if each.get("VpcEndpointType") == "Interface"
        # without it nothing finds the endpoint, and another one may have the name
        and each.get("PrivateDnsEnabled")
        and each["ServiceName"].startswith("com.amazonaws.")
    }


def _by_table(endpoints: Iterable[Described]) -> dict[str, str]:
    return {
        table: each["VpcEndpointId"]
        for each in endpoints
        if each.get("VpcEndpointType") == "Gateway" and each["ServiceName"].endswith(".s3")
        for table in each.get("RouteTableIds", ())
    }


def _subnets(subnets: Iterable[Described], ways: Mapping[str, str]) -> dict[str, Subnet]:
    return {
        each["SubnetId"]: Subnet(
            zone=each["AvailabilityZoneId"],
            public_addresses=bool(each.get("MapPublicIpOnLaunch")),
            out=ways.get(each["SubnetId"], ways.get("", "")),
        )
        for each in subnets
    }


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
