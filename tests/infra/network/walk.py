"""Walks packets through the networks of a cloud: what gets from one host to another, and why not.

Networks, route tables, peerings, gateways and security groups are read back from the cloud. moto
knows neither route propagation nor a VPN connection's options and static routes: those are read
from the engine's state. What a lab's own device does is said by the test (`Lab.sends`). Knows no
settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from tests.rigs.sky.cloud import Cloud

ANYWHERE = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True)
class Host:
    """Something with an address: in a subnet, or in a lab."""

    address: str
    place: str
    """A subnet's id, or a lab's name."""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lab:
    """A lab's device: where it is, what lies behind it, and what it puts into its tunnels."""

    name: str
    address: str
    networks: tuple[str, ...]
    sends: tuple[str, ...]
    """Destinations; the file that `emsctl stack vpn` writes has the sites' networks alone."""
    announces: bool = False
    """By BGP; otherwise AWS has static routes."""


@dataclass(frozen=True)
class _Tunnel:
    gateway: str
    lab: str
    routes: tuple[IPv4Network, ...]
    """What AWS sends through it."""
    selector: IPv4Network
    """What on AWS's side it carries."""


@dataclass
class World:
    """All networks of some regions, as the cloud and the engine's state have them."""

    networks: dict[str, IPv4Network]
    """VPC → its network."""
    subnets: dict[str, tuple[str, str]]
    """Subnet → its VPC and its route table."""
    tables: dict[str, list[tuple[IPv4Network, str]]]
    """Route table → destinations and targets, propagated ones among them."""
    peers: dict[str, frozenset[str]]
    """Accepted peering → its two VPCs."""
    attached: dict[str, str]
    """VPN gateway → VPC."""
    tunnels: list[_Tunnel]
    rules: dict[str, Mapping[str, Sequence[Any]]]
    """Security group → permissions by way."""
    labs: Mapping[str, Lab]

    def talks(self, one: Host, other: Host, port: int) -> bool:
        """Tell whether `one` can open a connection to a port of `other`, there and back."""
        return not self.hindrance(one, other, port)

    def hindrance(self, one: Host, other: Host, port: int) -> str:
        """Say what keeps a connection from being opened; empty when it is."""
        if not self._allowed(one, other, port, "IpPermissionsEgress", one.groups):
            return f"no rule lets {one.address} out"
        if not self._arrives(one, other):
            return f"no way from {one.address} to {other.address}"
        if not self._allowed(other, one, port, "IpPermissions", other.groups):
            return f"no rule lets {one.address} into {other.address}:{port}"
        if not self._arrives(other, one):
            return f"no way back from {other.address} to {one.address}"
        return ""

    def _allowed(self, here: Host, there: Host, port: int, way: str, groups: Iterable[str]) -> bool:
        """Security groups keep state: only who opens a connection is checked. Labs have none."""
        return here.place in self.labs or any(
            _permits(permission, there, port)
            for group in groups
            for permission in self.rules[group][way]
        )

    def _arrives(self, one: Host, other: Host) -> bool:
        if one.place in self.labs:
            return self._from_lab(self.labs[one.place], other)
        vpc, table = self.subnets[one.place]
        to = IPv4Address(other.address)
        fitting = [route for route in self.tables[table] if to in route[0]]
        if not fitting:
            return False
        _, target = max(fitting, key=lambda route: route[0].prefixlen)
        there = self.subnets.get(other.place, ("", ""))[0]
        if target == "local":
            return there == vpc
        if target in self.peers:
            # one hop: what the peer itself has, and nothing that lies behind it
            return self.peers[target] == {vpc, there} and to in self.networks[there]
        if self.attached.get(target) == vpc:
            return any(
                tunnel.lab == other.place and any(to in route for route in tunnel.routes)
                for tunnel in self.tunnels
                if tunnel.gateway == target and IPv4Address(one.address) in tunnel.selector
            )
        return False

    def _from_lab(self, lab: Lab, other: Host) -> bool:
        to = IPv4Address(other.address)
        if other.place == lab.name:
            return True
        if not any(to in IPv4Network(cidr) for cidr in lab.sends):
            return False
        return any(
            self._out_of_tunnel(tunnel, other) for tunnel in self.tunnels if tunnel.lab == lab.name
        )

    def _out_of_tunnel(self, tunnel: _Tunnel, other: Host) -> bool:
        """What a gateway does with what a lab sends: into its own VPC, or on to another tunnel."""
        to, vpc = IPv4Address(other.address), self.attached[tunnel.gateway]
        if to not in tunnel.selector:
            return False
        if self.subnets.get(other.place, ("", ""))[0] == vpc:
            return to in self.networks[vpc]
        return any(
            onward.lab == other.place
            and onward.gateway == tunnel.gateway
            and any(to in route for route in onward.routes)
            and onward.selector == ANYWHERE
            for onward in self.tunnels
        )


def _permits(permission: Mapping[str, Any], other: Host, port: int) -> bool:
    tcp = permission["IpProtocol"] == "tcp"
    if tcp and not permission["FromPort"] <= port <= permission["ToPort"]:
        return False
    if not tcp and permission["IpProtocol"] != "-1":
        return False
    address = IPv4Address(other.address)
    ranges = (IPv4Network(item["CidrIp"]) for item in permission["IpRanges"])
    pairs = {item["GroupId"] for item in permission["UserIdGroupPairs"]}
    return any(address in network for network in ranges) or bool(pairs & set(other.groups))


# -------------------------------------------------------------------------------------- reading it
def read(
    cloud: Cloud, regions: Iterable[str], state: Iterable[Mapping[str, Any]], labs: Sequence[Lab]
) -> World:
    """Read a world: `state` are the resources of the engine's state."""
    world = World({}, {}, {}, {}, {}, [], {}, {lab.name: lab for lab in labs})
    resources = list(state)
    clients = [cloud.client("ec2", region) for region in regions]
    for ec2 in clients:
        _networks(ec2, world)
        _gateways(ec2, world, resources, labs)
    for made in _of(resources, "aws:ec2/vpnGatewayRoutePropagation:VpnGatewayRoutePropagation"):
        gateway = made["vpnGatewayId"]
        learnt = [
            cidr for tunnel in world.tunnels if tunnel.gateway == gateway for cidr in tunnel.routes
        ]
        world.tables[made["routeTableId"]] += [(cidr, gateway) for cidr in learnt]
    return world


def _networks(ec2: Any, world: World) -> None:
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        world.networks[vpc["VpcId"]] = IPv4Network(vpc["CidrBlock"])
    main: dict[str, str] = {}
    tied: dict[str, str] = {}
    for table in ec2.describe_route_tables()["RouteTables"]:
        world.tables[table["RouteTableId"]] = [
            (IPv4Network(route["DestinationCidrBlock"]), _target(route))
            for route in table["Routes"]
            if "DestinationCidrBlock" in route
        ]
        for tie in table["Associations"]:
            if tie.get("Main"):
                main[table["VpcId"]] = table["RouteTableId"]
            elif tie.get("SubnetId"):
                tied[tie["SubnetId"]] = table["RouteTableId"]
    for subnet in ec2.describe_subnets()["Subnets"]:
        table = tied.get(subnet["SubnetId"]) or main[subnet["VpcId"]]
        world.subnets[subnet["SubnetId"]] = (subnet["VpcId"], table)
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        world.rules[group["GroupId"]] = group


def _target(route: Mapping[str, Any]) -> str:
    keys = ("VpcPeeringConnectionId", "NatGatewayId", "GatewayId")
    return next(route[key] for key in keys if route.get(key))


def _gateways(
    ec2: Any, world: World, resources: Sequence[Mapping[str, Any]], labs: Sequence[Lab]
) -> None:
    for peering in ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]:
        if peering["Status"]["Code"] == "active":
            ends = (peering["RequesterVpcInfo"]["VpcId"], peering["AccepterVpcInfo"]["VpcId"])
            world.peers[peering["VpcPeeringConnectionId"]] = frozenset(ends)
    for gateway in ec2.describe_vpn_gateways()["VpnGateways"]:
        for tie in gateway["VpcAttachments"]:
            if tie["State"] == "attached":
                world.attached[gateway["VpnGatewayId"]] = tie["VpcId"]
    devices = {
        device["CustomerGatewayId"]: device["IpAddress"]
        for device in ec2.describe_customer_gateways()["CustomerGateways"]
    }
    for connection in ec2.describe_vpn_connections()["VpnConnections"]:
        if connection["State"] == "available":
            address = devices[connection["CustomerGatewayId"]]
            lab = next(lab for lab in labs if lab.address == address)
            world.tunnels.append(_tunnel(connection, lab, resources))


def _tunnel(
    connection: Mapping[str, Any], lab: Lab, resources: Sequence[Mapping[str, Any]]
) -> _Tunnel:
    id_ = connection["VpnConnectionId"]
    routes = (
        lab.networks
        if lab.announces
        else [
            made["destinationCidrBlock"]
            for made in _of(resources, "aws:ec2/vpnConnectionRoute:VpnConnectionRoute")
            if made["vpnConnectionId"] == id_
        ]
    )
    options = next(
        resource["inputs"]
        for resource in resources
        if resource["type"] == "aws:ec2/vpnConnection:VpnConnection" and resource["id"] == id_
    )
    selector = IPv4Network(options.get("remoteIpv4NetworkCidr", str(ANYWHERE)))
    cidrs = tuple(IPv4Network(cidr) for cidr in routes)
    return _Tunnel(connection["VpnGatewayId"], lab.name, cidrs, selector)


def _of(resources: Sequence[Mapping[str, Any]], type_: str) -> list[Mapping[str, Any]]:
    return [resource["inputs"] for resource in resources if resource["type"] == type_]
