"""A site's network on the real engine: what is made, and what a change of settings does to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.project import Project

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = rig("pulumi")

PROGRAM = Project.inline("from tests.infra.network.program import deploy\n\ndeploy()\n", name="net")
REGION = "us-west-2"
PLAIN: dict[str, Any] = {
    "region": REGION,
    "cidr": "10.16.0.0/16",
    "zones": ["usw2-az1", "usw2-az2"],
}
JOB_ENDPOINTS = ["ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs"]
Site = Callable[..., Engine]


@pytest.fixture
def site(engine: Start) -> Site:
    """Start an engine with one site `west`, with settings beside the plain ones."""

    def start(**settings: Any) -> Engine:
        return engine(PROGRAM, config={"sites": {"west": {**PLAIN, **settings}}, "files": True})

    return start


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Engine]]:
    """The plain site, made once for the tests that only look."""
    folder = tmp_path_factory.mktemp("plain") / "engine"
    config = {"sites": {"west": PLAIN}, "files": True}
    with Cloud() as started, Engine(folder, started, PROGRAM, config=config) as running:
        running.up()
        yield started, running


def change(running: Engine, **settings: Any) -> None:
    """Give the site other settings."""
    running.configure({"sites": {"west": {**PLAIN, **settings}}})


def of_site(cloud: Cloud, kind: str, *, vpc: str | None = None) -> list[dict[str, Any]]:
    """What there is of a kind in the site's VPC."""
    ec2 = cloud.client("ec2", REGION)
    inside = [{"Name": "vpc-id", "Values": [vpc or own_vpc(cloud)["VpcId"]]}]
    found = getattr(ec2, f"describe_{kind}")(Filters=inside)
    return next(value for key, value in found.items() if key != "ResponseMetadata")


def own_vpc(cloud: Cloud) -> dict[str, Any]:
    """The one VPC that is not the region's default one."""
    vpcs = cloud.client("ec2", REGION).describe_vpcs()["Vpcs"]
    (own,) = [vpc for vpc in vpcs if not vpc["IsDefault"]]
    return own


def routes_out(cloud: Cloud) -> dict[str, str]:
    """Name of a route table → where it sends the rest of the world."""
    found: dict[str, str] = {}
    for table in of_site(cloud, "route_tables"):
        name = next((tag["Value"] for tag in table["Tags"] if tag["Key"] == "Name"), "main")
        for route in table["Routes"]:
            if route.get("DestinationCidrBlock") == "0.0.0.0/0":
                found[name] = route.get("NatGatewayId") or route["GatewayId"]
    return found


Plain = tuple[Cloud, Engine]


def test_a_site_without_nat_is_as_planned_and_jobs_have_public_addresses(plain: Plain):
    cloud, running = plain
    vpc = own_vpc(cloud)
    ec2 = cloud.client("ec2", REGION)
    for name in ("enableDnsSupport", "enableDnsHostnames"):
        answer = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=name)
        assert answer[name[0].upper() + name[1:]]["Value"] is True
    subnets = {
        (subnet["AvailabilityZoneId"], subnet["MapPublicIpOnLaunch"]): subnet
        for subnet in of_site(cloud, "subnets")
    }
    assert {key: subnet["CidrBlock"] for key, subnet in subnets.items()} == {
        ("usw2-az1", True): "10.16.32.0/20",
        ("usw2-az2", True): "10.16.96.0/20",
        ("usw2-az1", False): "10.16.0.0/19",
        ("usw2-az2", False): "10.16.64.0/19",
    }
    for (_, public), subnet in subnets.items():
        tags = {tag["Key"]: tag["Value"] for tag in subnet["Tags"]}
        assert (
            tags["kubernetes.io/role/elb" if public else "kubernetes.io/role/internal-elb"] == "1"
        )
        assert tags["ems-environment"] == "dev"
    out = routes_out(cloud)
    assert list(out) == ["dev-west-public"] and out["dev-west-public"].startswith("igw-")
    public = {zone: s["SubnetId"] for (zone, is_public), s in subnets.items() if is_public}
    assert running.outputs()["west"]["subnets"]["jobs"] == public
    assert of_site(cloud, "nat_gateways") == []


def test_jobs_get_out_and_nothing_gets_in_and_the_default_group_is_empty(plain: Plain):
    cloud, running = plain
    groups = {group["GroupName"]: group for group in of_site(cloud, "security_groups")}
    default = groups["default"]
    assert default["IpPermissions"] == default["IpPermissionsEgress"] == []
    jobs = running.outputs()["west"]["groups"]["jobs"]
    (group,) = [group for group in groups.values() if group["GroupId"] == jobs]
    (way_in,), (way_out,) = group["IpPermissions"], group["IpPermissionsEgress"]
    assert [pair["GroupId"] for pair in way_in["UserIdGroupPairs"]] == [jobs]
    assert way_in["IpRanges"] == [] and way_in["IpProtocol"] == "-1"
    assert way_out["IpProtocol"] == "-1"
    assert [item["CidrIp"] for item in way_out["IpRanges"]] == ["0.0.0.0/0"]


def test_the_s3_endpoint_is_in_every_table(plain: Plain):
    cloud, _ = plain
    (endpoint,) = of_site(cloud, "vpc_endpoints")
    named = {table["RouteTableId"] for table in of_site(cloud, "route_tables") if table["Tags"]}
    assert set(endpoint["RouteTableIds"]) == named and len(named) == 3
    assert endpoint["ServiceName"] == "com.amazonaws.us-west-2.s3"


def test_a_zone_that_is_added_adds_and_moves_nothing(cloud: Cloud, site: Site):
    running = site()
    running.up()
    before = {subnet["SubnetId"]: subnet["CidrBlock"] for subnet in of_site(cloud, "subnets")}
    change(running, zones=[*PLAIN["zones"], "usw2-az3"])
    result = running.up()
    assert result.names("replace", "delete") == []
    # the S3 endpoint takes the new table in; nothing else that was there is touched
    assert result.names("update") == ["dev-west-s3"]
    assert result.step("dev-west-s3").changed[0].startswith("routeTableIds")
    after = {subnet["SubnetId"]: subnet["CidrBlock"] for subnet in of_site(cloud, "subnets")}
    assert before.items() < after.items() and len(after) == 6
    running.nothing_to_do()


def test_nat_moves_jobs_into_private_subnets_in_place(cloud: Cloud, site: Site):
    running = site()
    running.up()
    change(running, nat="one")
    result = running.up()
    assert result.names("replace", "delete") == []
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in of_site(cloud, "subnets"))
    out = routes_out(cloud)
    assert out["dev-west-private-usw2-az1"] == out["dev-west-private-usw2-az2"]
    assert out["dev-west-private-usw2-az1"].startswith("nat-")
    subnets = running.outputs()["west"]["subnets"]
    assert subnets["jobs"] == subnets["private"]

    change(running, nat="zone")
    result = running.up()
    assert result.names("replace", "delete") == []
    assert result.names("update") == ["dev-west-private-usw2-az2-out"]
    out = routes_out(cloud)
    assert out["dev-west-private-usw2-az1"] != out["dev-west-private-usw2-az2"]
    running.nothing_to_do()


def test_endpoints_that_jobs_need_do_for_nat_and_flow_logs_go_to_the_bucket(
    cloud: Cloud, site: Site
):
    running = site(endpoints=JOB_ENDPOINTS, flow_logs=True)
    running.up()
    running.nothing_to_do()
    ends = {end["ServiceName"]: end for end in of_site(cloud, "vpc_endpoints")}
    names = {f"com.amazonaws.us-west-2.{service}" for service in (*JOB_ENDPOINTS, "s3")}
    assert set(ends) == names
    private = set(running.outputs()["west"]["subnets"]["private"].values())
    for service in JOB_ENDPOINTS:
        end = ends[f"com.amazonaws.us-west-2.{service}"]
        assert end["PrivateDnsEnabled"] is True and set(end["SubnetIds"]) == private
        ec2 = cloud.client("ec2", REGION)
        ids = [group["GroupId"] for group in end["Groups"]]
        (group,) = ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"]
        (rule,) = group["IpPermissions"]
        assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (443, 443, "tcp")
        assert [item["CidrIp"] for item in rule["IpRanges"]] == ["10.16.0.0/16"]
    outputs = running.outputs()["west"]["subnets"]
    assert outputs["jobs"] == outputs["private"]
    (log,) = cloud.client("ec2", REGION).describe_flow_logs()["FlowLogs"]
    assert log["ResourceId"] == own_vpc(cloud)["VpcId"]
    assert (log["TrafficType"], log["LogDestinationType"]) == ("ALL", "s3")
    (made,) = [r for r in running.resources() if r["type"] == "aws:ec2/flowLog:FlowLog"]
    assert made["inputs"]["logDestination"].endswith("/flow-logs/")
    assert made["inputs"]["destinationOptions"]["fileFormat"] == "parquet"


def test_another_network_replaces_all_in_an_order_that_the_cloud_takes(cloud: Cloud, site: Site):
    running = site(nat="one")
    running.up()
    change(running, nat="one", cidr="10.20.0.0/16")
    result = running.up()
    assert {"dev-west-vpc", "dev-west-internet", "dev-west-nat-usw2-az1"} <= set(
        result.names("replace")
    )
    vpc = own_vpc(cloud)
    assert vpc["CidrBlock"] == "10.20.0.0/16"
    for subnet in of_site(cloud, "subnets"):
        assert IPv4Network(subnet["CidrBlock"]).subnet_of(IPv4Network("10.20.0.0/16"))
    running.nothing_to_do()
    running.destroy()
    assert all(v["IsDefault"] for v in cloud.client("ec2", REGION).describe_vpcs()["Vpcs"])


def test_a_protected_network_is_neither_replaced_nor_deleted(cloud: Cloud, site: Site):
    running = site(protect=True)
    running.up()
    change(running, protect=True, cidr="10.20.0.0/16")
    refused = running.up(check=False)
    assert refused.code != 0 and "dev-west-vpc" in refused.shown()
    change(running, protect=True)
    assert running.destroy(check=False).code != 0
    assert own_vpc(cloud)["CidrBlock"] == "10.16.0.0/16"


def test_what_is_changed_behind_the_program_s_back_shows(cloud: Cloud, site: Site):
    running = site()
    running.up()
    ec2 = cloud.client("ec2", REGION)
    (default,) = [g for g in of_site(cloud, "security_groups") if g["GroupName"] == "default"]
    everybody = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    everybody["IpRanges"] = [{"CidrIp": "0.0.0.0/0"}]  # pyright: ignore[reportArgumentType]
    ec2.authorize_security_group_ingress(GroupId=default["GroupId"], IpPermissions=[everybody])
    (public,) = [t for t in routes_tables(cloud) if t["Tags"] and "public" in str(t["Tags"])]
    ec2.delete_route(RouteTableId=public["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    found = running.refresh("--preview-only")
    assert found.names("update") == ["dev-west-default"]
    assert found.names("delete") == ["dev-west-public-out"]
    running.refresh()
    running.up()
    (default,) = [g for g in of_site(cloud, "security_groups") if g["GroupName"] == "default"]
    assert default["IpPermissions"] == []
    assert routes_out(cloud)["dev-west-public"].startswith("igw-")


def routes_tables(cloud: Cloud) -> list[dict[str, Any]]:
    """The site's route tables."""
    return of_site(cloud, "route_tables")


def test_a_lab_s_own_vpc_gets_no_network_but_the_jobs_group(cloud: Cloud, engine: Start):
    ec2 = cloud.client("ec2", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.30.0.0/20", AvailabilityZoneId="usw2-az1")
    subnet = made["Subnet"]["SubnetId"]
    own = {"id": vpc, "private_subnets": {"usw2-az1": subnet}, "route_tables": [table]}
    settings = {**PLAIN, "cidr": "10.30.0.0/16", "zones": ["usw2-az1"], "vpc": own}
    running = engine(PROGRAM, config={"sites": {"west": settings}, "files": True})
    running.up()
    running.nothing_to_do()
    subnets = running.outputs()["west"]["subnets"]
    assert subnets["jobs"] == subnets["private"] == {"usw2-az1": subnet}
    assert len(of_site(cloud, "subnets", vpc=vpc)) == 1
    (endpoint,) = of_site(cloud, "vpc_endpoints", vpc=vpc)
    assert endpoint["RouteTableIds"] == [table]
    running.destroy()
    assert ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
