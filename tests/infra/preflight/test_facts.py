"""What is asked of AWS, and what it comes to, over moto."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from ems.errors import EmsError
from ems.stack.aws import Clients
from infra.preflight import facts, look, preflight
from infra.settings.fault import Fault, SettingsError
from infra.settings.reading import read
from infra.settings.types import Environment
from tests.infra.preflight.cloud import clients_at
from tests.infra.settings.good import varied

HERE = ("accounts", ["123456789012"])
OREGON = "ems:sites.oregon"


def settings(*changes: tuple[str, Any]) -> Environment:
    return read(varied(HERE, *changes), "dev")


def said(found: list[Fault], level: str = "error") -> dict[str, str]:
    return {fault.where: fault.what for fault in found if fault.level == level}


def test_what_aws_has_of_a_good_environment(aws: str) -> None:
    found = facts.ask(settings(), clients_at(aws))
    oregon = found.regions["us-west-2"]
    assert oregon.zones == ("usw2-az1", "usw2-az2", "usw2-az3", "usw2-az4")
    assert oregon.types is not None
    gpu = oregon.types["g5.2xlarge"]
    assert (gpu.vcpus, gpu.gpus, gpu.markets) == (8, 1, ("on-demand", "spot"))
    assert gpu.zones == ("usw2-az1", "usw2-az2", "usw2-az3")
    assert "c7i.large" in oregon.types  # of a family that is named
    assert "g6.xlarge" not in oregon.types  # of none
    assert oregon.clusters is None  # moto has no releases, and that is no fault
    assert facts.account(clients_at(aws)) == "123456789012"


def test_a_good_environment_has_warnings_alone(aws: str) -> None:
    found = preflight(settings(), clients_at(aws))
    assert said(found) == {}
    # moto has no EC2 quotas, and its account is a new one
    role = "role AWSServiceRoleForEC2Spot"
    assert set(said(found, "warning")) == {"quotas", role}
    iam = clients_at(aws)("iam", "us-east-1")
    iam.create_role(RoleName=facts.SPOT_ROLE, AssumeRolePolicyDocument="{}")
    assert set(said(preflight(settings(), clients_at(aws)), "warning")) == {"quotas"}
    iam.delete_role(RoleName=facts.SPOT_ROLE)


def test_all_at_once(aws: str) -> None:
    values = settings(
        ("sites.oregon.zones.1", "usw2-az9"),
        ("sites.oregon.batch.queues.0.max_vcpus", 8),
        ("sites.oregon.batch.queues.1.type", "p4de.24xlarge"),
        ("sites.ireland.zones", ["euw1-az1"]),
        ("sites.ireland.batch", {"queues": [{"type": "p4d.24xlarge", "max_vcpus": 96}]}),
        ("sites.cape", {"region": "af-south-1", "cidr": "10.90.0.0/16", "zones": ["afs1-az1"],
                        "batch": {"general": {"families": ["c7a"]}}}),
        ("sites.hongkong", {"region": "ap-east-1", "cidr": "10.91.0.0/16", "zones": ["ape1-az1"]}),
    )  # fmt: skip
    found = said(look(values, clients_at(aws)))
    assert found[f"{OREGON}.zones[1]"].startswith("us-west-2 has no zone 'usw2-az9'")
    assert "less than one c7i.4xlarge" in found[f"{OREGON}.batch.queues[0].max_vcpus"]
    assert "(allowed: 16 or more)" in found[f"{OREGON}.batch.queues[0].max_vcpus"]
    assert found["ems:sites.ireland.batch.queues[0].type"] == (
        "GPU type p4d.24xlarge is not offered in euw1-az1: jobs would stay RUNNABLE for ever "
        "(allowed: a site with one of euw1-az2)"
    )
    assert "no instances of c7a" in found["ems:sites.cape.batch.general.families[0]"]
    assert "not opted into ap-east-1" in found["ems:sites.hongkong.region"]
    with pytest.raises(SettingsError) as caught:
        preflight(values, clients_at(aws))
    assert {fault.where for fault in caught.value.faults} == set(found)


def test_the_wrong_account_ends_the_questions(aws: str) -> None:
    values = read(varied(), "dev")
    (fault,) = look(values, clients_at(aws))
    assert fault.where == "ems:accounts"
    assert "credentials are of account 123456789012 (allowed: 111122223333)" in fault.what


def refusing(aws: str, code: str, call: str) -> Clients:
    """Clients of which one call is refused."""
    real = clients_at(aws)

    def client(service: str, region: str) -> Any:
        made = real(service, region)

        def refuse(params: Any, **rest: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, call)

        made.meta.events.register(f"before-call.*.{call}", refuse)
        return made

    return client


def test_what_may_not_be_asked_is_a_warning(aws: str) -> None:
    denied = refusing(aws, "UnauthorizedOperation", "DescribeAvailabilityZones")
    found = look(settings(), denied)
    assert said(found) == {}
    assert said(found, "warning")["zones of us-west-2"].startswith("was not checked: access denied")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "AWS refuses these credentials (ExpiredToken)"),
        ("InvalidClientTokenId", "AWS refuses these credentials"),
        ("AccessDenied", "access denied"),
    ],
)
def test_credentials_that_do_not_hold(aws: str, code: str, words: str) -> None:
    (fault,) = look(settings(), refusing(aws, code, "GetCallerIdentity"))
    assert (fault.where, fault.level) == ("AWS credentials", "error")
    assert words in fault.what
    assert fault.next


def test_nobody_at_the_address() -> None:
    (fault,) = look(settings(), clients_at("http://127.0.0.1:9"))
    assert "can't be reached" in fault.what
    (fault,) = look(settings(), clients_at("127.0.0.1:9"))
    assert "Invalid endpoint" in fault.what


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    (fault,) = look(settings())
    assert fault.what == "no AWS credentials were found"
    assert "aws configure" in fault.next


def test_a_vpc_that_is_there(aws: str) -> None:
    ec2 = clients_at(aws)("ec2", "us-west-2")
    vpc = ec2.create_vpc(CidrBlock="10.16.0.0/16")["Vpc"]["VpcId"]
    subnets = {
        zone: ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZoneId=zone)["Subnet"]
        for zone, cidr in (("usw2-az1", "10.16.0.0/20"), ("usw2-az2", "10.16.16.0/20"))
    }
    ids = {zone: each["SubnetId"] for zone, each in subnets.items()}
    for subnet in ids.values():  # moto's own default
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})
    (main,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])[
        "RouteTables"
    ]
    table = main["RouteTableId"]

    nothing_runs = ("oregon.batch", "oregon.kubernetes", "ireland.batch")
    bare = [(f"sites.{each}", None) for each in nothing_runs]

    def found(kind: str, **more: Any) -> dict[str, str]:
        own = {"id": vpc, kind: ids, "route_tables": [table], **more}
        values = settings(*bare, ("sites.oregon.vpc", own), ("sites.oregon.nat", "none"))
        return said(look(values, clients_at(aws)))

    where = f"{OREGON}.vpc"
    alone = found("private_subnets")
    assert "has no way out, and no endpoints ecs," in alone[f"{where}.private_subnets.usw2-az1"]
    assert (
        "no route to an internet gateway"
        in found("public_subnets")[f"{where}.public_subnets.usw2-az1"]
    )
    assert "no VPC" in found("private_subnets", id="vpc-0123456789abcdef0")[f"{where}.id"]
    gone = found("private_subnets", route_tables=["rtb-0123456789abcdef0"])
    assert "no route table" in gone[f"{where}.route_tables[0]"]

    internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc)
    way = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(**way, GatewayId=internet)
    assert (
        "gives no public addresses" in found("public_subnets")[f"{where}.public_subnets.usw2-az1"]
    )
    assert "public address" in found("private_subnets")[f"{where}.private_subnets.usw2-az1"]
    for subnet in ids.values():
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    assert found("public_subnets") == {}

    nat = ec2.create_nat_gateway(SubnetId=ids["usw2-az1"])["NatGateway"]["NatGatewayId"]
    ec2.delete_route(**way)
    ec2.create_route(**way, NatGatewayId=nat)
    assert found("private_subnets") == {}
    crossed = {"usw2-az1": ids["usw2-az2"], "usw2-az2": ids["usw2-az1"]}
    assert (
        "lies in usw2-az2"
        in found("private_subnets", private_subnets=crossed)[f"{where}.private_subnets.usw2-az1"]
    )


def test_an_error_that_is_no_refusal_ends_the_questions(aws: str) -> None:
    with pytest.raises(EmsError, match="RequestLimitExceeded"):
        facts.ask(settings(), refusing(aws, "RequestLimitExceeded", "DescribeInstanceTypes"))
