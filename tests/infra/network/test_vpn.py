"""Labs and sites joined, on the real engine: gateways, tunnels, keys, alarms, peerings, changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import pytest

from infra.plan.asn import site_asn
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.project import Project

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = rig("pulumi")

PROGRAM = Project.inline("from tests.infra.network.program import deploy\n\ndeploy()\n", name="net")
SITES: dict[str, Any] = {
    "east": {"region": "us-east-1", "cidr": "10.17.0.0/16", "zones": ["use1-az1"]},
    "west": {"region": "us-west-2", "cidr": "10.16.0.0/16", "zones": ["usw2-az1", "usw2-az2"]},
}
LABS: dict[str, Any] = {
    "alpha": {
        "address": "192.0.2.1",
        "networks": ["10.1.0.0/16", "10.2.0.0/24"],
        "sites": ["west"],
    },
    "beta": {
        "address": "192.0.2.2",
        "networks": ["10.3.0.0/16"],
        "sites": ["east", "west"],
        "routing": "bgp",
        "asn": 4_200_000_001,
    },
}
CONNECTIONS = ("west-alpha", "east-beta", "west-beta")
CONNECTION = "aws:ec2/vpnConnection:VpnConnection"
MOTOS_KEY = "Iw2IAN9XUsQeYUrkMGP3kP59ugFDkfHg"


@dataclass(frozen=True)
class Joined:
    """Two sites and two labs, made once for the tests that only look."""

    cloud: Cloud
    engine: Engine
    state: list[dict[str, Any]]

    def inputs(self, type_: str) -> dict[str, dict[str, Any]]:
        """Name in the program → inputs, of all resources of a type."""
        return {
            resource["urn"].split("::")[-1]: resource["inputs"]
            for resource in self.state
            if resource["type"] == type_
        }

    def waits_for(self, type_: str, property_: str) -> set[str]:
        """Names of the resources that an input comes from, of all resources of a type."""
        return {
            urn.split("::")[-1]
            for resource in self.state
            if resource["type"] == type_
            for urn in resource.get("propertyDependencies", {}).get(property_) or ()
        }


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    """The sites and labs above."""
    folder = tmp_path_factory.mktemp("joined") / "engine"
    config = {"sites": SITES, "labs": LABS}
    with Cloud() as started, Engine(folder, started, PROGRAM, config=config) as running:
        running.up()
        running.nothing_to_do()
        yield Joined(started, running, running.resources())


@pytest.mark.parametrize("site", ["east", "west"])
def test_a_site_has_one_attached_gateway_of_its_own_number(joined: Joined, site: str):
    ec2 = joined.cloud.client("ec2", SITES[site]["region"])
    (gateway,) = ec2.describe_vpn_gateways()["VpnGateways"]
    assert gateway["AmazonSideAsn"] == site_asn(SITES[site]["cidr"]) != 64512
    (tie,) = gateway["VpcAttachments"]
    (vpc,) = [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
    assert (tie["VpcId"], tie["State"]) == (vpc["VpcId"], "attached")


def test_a_gateway_propagates_to_every_table_once_and_no_table_does_it_itself(joined: Joined):
    made = joined.inputs("aws:ec2/vpnGatewayRoutePropagation:VpnGatewayRoutePropagation")
    tables = joined.inputs("aws:ec2/routeTable:RouteTable")
    pairs = {(given["routeTableId"], given["vpnGatewayId"]) for given in made.values()}
    assert len(pairs) == len(made) == len(tables) == 5
    assert not any({"routes", "propagatingVgws"} & set(given) for given in tables.values())


def test_nothing_is_propagated_before_the_gateway_is_attached(joined: Joined):
    type_ = "aws:ec2/vpnGatewayRoutePropagation:VpnGatewayRoutePropagation"
    assert joined.waits_for(type_, "vpnGatewayId") == {
        "dev-east-vpn-attached",
        "dev-west-vpn-attached",
    }


def test_a_peering_takes_routes_and_options_only_once_it_is_accepted(joined: Joined):
    for type_ in (
        "aws:ec2/route:Route",
        "aws:ec2/peeringConnectionOptions:PeeringConnectionOptions",
    ):
        assert joined.waits_for(type_, "vpcPeeringConnectionId") == {"dev-east-west-accept"}


def test_each_connection_has_a_device_of_its_own_name(joined: Joined):
    devices = joined.inputs("aws:ec2/customerGateway:CustomerGateway")
    names = {given["deviceName"] for given in devices.values()}
    assert names == {f"dev-{connection}" for connection in CONNECTIONS}
    alpha, beta = devices["dev-west-alpha-device"], devices["dev-west-beta-device"]
    assert (alpha["ipAddress"], alpha["bgpAsn"]) == ("192.0.2.1", "65000")
    assert "bgpAsn" not in beta and beta["bgpAsnExtended"] == "4200000001"


@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize("tunnel", ["tunnel1", "tunnel2"])
def test_tunnels_take_strong_proposals_alone(joined: Joined, connection: str, tunnel: str):
    given = joined.inputs(CONNECTION)[f"dev-{connection}-connection"]
    assert given[f"{tunnel}IkeVersions"] == ["ikev2"]
    for phase in (f"{tunnel}Phase1", f"{tunnel}Phase2"):
        assert set(given[f"{phase}EncryptionAlgorithms"]) == {"AES256", "AES256-GCM-16"}
        assert set(given[f"{phase}IntegrityAlgorithms"]) == {"SHA2-384", "SHA2-512"}
        assert min(given[f"{phase}DhGroupNumbers"]) >= 19
    # AWS's defaults, to answer and to forget: the lab's gateway begins (ADR 19)
    assert given.get(f"{tunnel}StartupAction", "add") == "add"
    assert given.get(f"{tunnel}DpdTimeoutAction", "clear") == "clear"


def test_inside_addresses_meet_nowhere_and_are_in_the_outputs(joined: Joined):
    outputs = joined.engine.outputs()
    cidrs = [cidr for connection in CONNECTIONS for cidr in outputs[connection]["inside"]]
    networks = [IPv4Network(cidr) for cidr in cidrs]
    assert not [pair for pair in combinations(networks, 2) if pair[0].overlaps(pair[1])]
    given = joined.inputs(CONNECTION)["dev-west-alpha-connection"]
    inside = [given["tunnel1InsideCidr"], given["tunnel2InsideCidr"]]
    assert inside == outputs["west-alpha"]["inside"]
    assert len(set(outputs["west-alpha"]["addresses"])) == 2


def test_keys_lie_in_secrets_manager_and_nowhere_in_the_state(joined: Joined):
    for connection in CONNECTIONS:
        output = joined.engine.outputs()[connection]
        region = SITES[connection.split("-")[0]]["region"]
        secrets = joined.cloud.client("secretsmanager", region)
        kept = json.loads(secrets.get_secret_value(SecretId=output["keys"])["SecretString"])
        assert len(set(kept.values())) == 2
    shown = joined.engine.run("stack", "export", "--show-secrets").stdout
    assert MOTOS_KEY not in shown
    assert "presharedKeyStorage" in shown


def test_static_routes_are_the_connection_s_and_bgp_has_none(joined: Joined):
    made = joined.inputs("aws:ec2/vpnConnectionRoute:VpnConnectionRoute")
    assert {name: given["destinationCidrBlock"] for name, given in made.items()} == {
        "dev-west-alpha-10.1.0.0-16": "10.1.0.0/16",
        "dev-west-alpha-10.2.0.0-24": "10.2.0.0/24",
    }
    given = joined.inputs(CONNECTION)
    static, bgp = given["dev-west-alpha-connection"], given["dev-west-beta-connection"]
    assert (static["staticRoutesOnly"], bgp["staticRoutesOnly"]) == (True, False)
    # a tunnel with static routes carries the site's traffic alone; BGP speaks inside the tunnel
    assert static["remoteIpv4NetworkCidr"] == "10.16.0.0/16"
    assert bgp["remoteIpv4NetworkCidr"] == "0.0.0.0/0"


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_a_tunnel_that_is_down_raises_an_alarm_in_its_region(joined: Joined, connection: str):
    region = SITES[connection.split("-", maxsplit=1)[0]]["region"]
    alarms = joined.cloud.client("cloudwatch", region).describe_alarms()["MetricAlarms"]
    id_ = joined.engine.outputs()[connection]["connection"]
    (alarm,) = [alarm for alarm in alarms if {"Name": "VpnId", "Value": id_} in alarm["Dimensions"]]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/VPN", "TunnelState")
    assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("Minimum", "LessThanThreshold")
    assert (alarm["Threshold"], alarm["TreatMissingData"]) == (1.0, "breaching")
    (topic,) = alarm["AlarmActions"]
    assert alarm["OKActions"] == [topic] and f":{region}:" in topic


def test_sites_are_peered_with_names_and_routes_on_both_sides(joined: Joined):
    cidrs = {site["region"]: site["cidr"] for site in SITES.values()}
    for region in cidrs:
        ec2 = joined.cloud.client("ec2", region)
        (peering,) = ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
        assert peering["Status"]["Code"] == "active"
        for side in ("AccepterVpcInfo", "RequesterVpcInfo"):
            assert peering[side]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is True
        there = next(cidr for other, cidr in cidrs.items() if other != region)
        for table in ec2.describe_route_tables()["RouteTables"]:
            if table["Tags"]:
                ways = {r.get("DestinationCidrBlock"): r for r in table["Routes"]}
                assert ways[there]["VpcPeeringConnectionId"] == peering["VpcPeeringConnectionId"]


def test_a_change_of_one_lab_touches_that_lab_alone(cloud: Cloud, engine: Start):
    labs = deepcopy(LABS)
    running = engine(PROGRAM, config={"sites": SITES, "labs": labs})
    running.up()

    labs["alpha"]["networks"].append("10.6.0.0/24")
    running.configure({"labs": labs})
    result = running.up()
    assert [(s.op, s.name) for s in result.changes] == [("create", "dev-west-alpha-10.6.0.0-24")]

    labs["alpha"]["address"] = "192.0.2.9"
    running.configure({"labs": labs})
    result = running.up()
    # the connection, and with it the tunnels' addresses and keys, stays
    assert result.names("replace") == ["dev-west-alpha-device"]
    assert result.names("update") == ["dev-west-alpha-connection"]
    assert len(result.changes) == 2
    running.nothing_to_do()

    del labs["alpha"]
    running.configure({"labs": labs})
    result = running.up()
    assert result.names("create", "update", "replace") == []
    assert all(name.startswith("dev-west-alpha") for name in result.names("delete"))
    assert len(result.names("delete")) == 7


def test_another_routing_makes_another_connection_once_the_old_one_is_gone(
    cloud: Cloud, engine: Start
):
    """Addresses inside tunnels are one connection's at a gateway: the new can't stand beside."""
    labs, sites = {"alpha": deepcopy(LABS["alpha"])}, {"west": SITES["west"]}
    running = engine(PROGRAM, config={"sites": sites, "labs": labs})
    running.up()
    before = running.outputs()["west-alpha"]
    labs["alpha"]["routing"] = "bgp"
    running.configure({"labs": labs})
    result = running.up()
    assert result.names("replace") == ["dev-west-alpha-connection"]
    static = "aws:ec2/vpnConnectionRoute:VpnConnectionRoute"
    assert not [each for each in running.resources() if each["type"] == static]
    assert result.names("update") == ["dev-west-alpha-down"]  # the alarm looks at the new one
    now = running.outputs()["west-alpha"]
    assert now["connection"] != before["connection"] and now["inside"] == before["inside"]
    connections = cloud.client("ec2", "us-west-2").describe_vpn_connections()["VpnConnections"]
    assert {c["VpnConnectionId"] for c in connections if c["State"] == "available"} == {
        now["connection"]
    }
    running.nothing_to_do()
    labs["alpha"]["routing"] = "static"
    running.configure({"labs": labs})
    assert running.up().names("replace") == ["dev-west-alpha-connection"]
    assert len([each for each in running.resources() if each["type"] == static]) == 2
    running.nothing_to_do()


def test_a_site_that_is_added_only_adds_and_its_removal_takes_only_its_own(
    cloud: Cloud, engine: Start
):
    few, all_ = {"west": SITES["west"]}, SITES
    labs = {"alpha": LABS["alpha"]}
    running = engine(PROGRAM, config={"sites": few, "labs": labs})
    running.up()
    running.configure({"sites": all_})
    result = running.up()
    assert result.names("update", "replace", "delete") == []
    running.configure({"sites": few})
    result = running.up()
    assert result.names("create", "update", "replace") == []
    to_east = SITES["east"]["cidr"].replace("/", "-")
    assert all("east" in name or to_east in name for name in result.names("delete"))
    running.nothing_to_do()
    running.destroy()
    for region in ("us-east-1", "us-west-2"):
        ec2 = cloud.client("ec2", region)
        states = {c["State"] for c in ec2.describe_vpn_connections()["VpnConnections"]}
        assert states <= {"deleted"}
        assert all(vpc["IsDefault"] for vpc in ec2.describe_vpcs()["Vpcs"])
        assert cloud.client("secretsmanager", region).list_secrets()["SecretList"] == []
