"""What is asked of AWS, and what it comes to, over moto."""

from __future__ import annotations

from typing import Any

import boto3
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
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers what it found before
    (fault,) = look(settings())
    assert fault.what == "no AWS credentials were found"
    assert "aws configure" in fault.next


def lab_vpc(ec2: Any) -> tuple[str, dict[str, str], str]:
    """A VPC as a lab may have one: its id, its subnets by zone, its route table."""
    vpc = ec2.create_vpc(CidrBlock="10.16.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
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
    return vpc, ids, main["RouteTableId"]


NOTHING_RUNS = [
    (f"sites.{each}", None) for each in ("oregon.batch", "oregon.kubernetes", "ireland.batch")
]


def test_a_vpc_that_is_there(aws: str) -> None:
    ec2 = clients_at(aws)("ec2", "us-west-2")
    vpc, ids, table = lab_vpc(ec2)

    def found(kind: str, **more: Any) -> dict[str, str]:
        own = {"id": vpc, kind: ids, "route_tables": [table], **more}
        values = settings(*NOTHING_RUNS, ("sites.oregon.vpc", own), ("sites.oregon.nat", "none"))
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


def endpoint(ec2: Any, vpc: str, service: str, environment: str = "", **more: Any) -> str:
    made = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.us-west-2.{service}", **more
    )["VpcEndpoint"]["VpcEndpointId"]
    if environment:
        tag = {"Key": "ems-environment", "Value": environment}
        ec2.create_tags(Resources=[made], Tags=[tag])
    return made


def test_what_a_vpc_that_is_there_has_once(aws: str) -> None:
    """Each is in the way of the site's own, until it is the site's own: a second `up` goes on."""
    clients = clients_at(aws)
    ec2 = clients("ec2", "us-west-2")
    vpc, ids, table = lab_vpc(ec2)
    own = {"id": vpc, "private_subnets": ids, "route_tables": [table]}

    def found(*changes: tuple[str, Any], environment: str = "dev") -> dict[str, str]:
        here = [("sites.oregon.vpc", own), ("sites.oregon.nat", "none")]
        services = ("sites.oregon.endpoints", ["ecs", "logs"])
        values = settings(*NOTHING_RUNS, *here, services, *changes)
        asked = look(values, clients, environment=environment)
        # that jobs would find no way out is another test's
        return {where: text for where, text in said(asked).items() if "subnets" not in where}

    assert found() == {}
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    gateway = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    ec2.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=vpc)
    s3 = endpoint(ec2, vpc, "s3", VpcEndpointType="Gateway", RouteTableIds=[table])
    interface = {"VpcEndpointType": "Interface", "SubnetIds": list(ids.values())}
    logs = endpoint(ec2, vpc, "logs", PrivateDnsEnabled=True, **interface)
    endpoint(ec2, vpc, "ecs", PrivateDnsEnabled=False, **interface)
    taken = found()
    assert set(taken) == {
        f"{OREGON}.vpc.id", f"{OREGON}.vpc.route_tables[0]", f"{OREGON}.endpoints[1]"
    }  # fmt: skip
    assert f"leads to S3 by {s3} already" in taken[f"{OREGON}.vpc.route_tables[0]"]
    assert f"{logs} for 'logs' already" in taken[f"{OREGON}.endpoints[1]"]
    whole = "; ".join(
        str(fault) for fault in look(settings(*NOTHING_RUNS, ("sites.oregon.vpc", own),
        ("sites.oregon.nat", "none")), clients, environment="dev")
    )  # fmt: skip
    assert f"{gateway} is attached to {vpc}" in whole and "VPN of berlin, kyoto" in whole
    assert f"DNS hostnames are off in {vpc}, and AWS wants both for peering" in whole
    assert f"modify-vpc-attribute --vpc-id {vpc} --enable-dns-hostnames" in whole

    # who has no lab, no endpoints and no peer is in nobody's way
    alone = [("labs", {}), ("join_sites", False), ("sites.oregon.endpoints", [])]
    assert set(found(*alone)) == {f"{OREGON}.vpc.route_tables[0]"}

    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    tag = {"Key": "ems-environment", "Value": "dev"}
    ec2.create_tags(Resources=[gateway, s3, logs], Tags=[tag])
    assert found() == {}
    assert set(found(environment="staging")) == set(taken)


def test_room_for_vpcs_and_addresses(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS counts what others have too; what the environment has made is not wanted anew."""
    real = facts.quota_values

    def five(keys: Any, clients: Any) -> Any:  # moto knows no quota of addresses
        asked = list(keys)
        return real(asked, clients) | {k: 5.0 for k in asked if k[1] == "L-0263D0A3"}

    monkeypatch.setattr(facts, "quota_values", five)
    clients = clients_at(aws)
    ec2 = clients("ec2", "eu-west-1")
    region = [("sites.ireland.nat", "zone"), ("sites.ireland.zones", ["euw1-az1", "euw1-az2"])]
    values = settings(*region)
    quotas = (
        "quota of VPCs of a region (L-F678F1CE)",
        "quota of elastic IP addresses (L-0263D0A3)",
    )

    def found(environment: str = "dev") -> dict[str, str]:
        told = said(look(values, clients, environment=environment))
        return {where: told[where] for where in quotas if where in told}

    assert found() == {}
    vpcs = [ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n in range(4)]
    addresses = [ec2.allocate_address(Domain="vpc")["AllocationId"] for _ in range(4)]
    try:
        full = found()
        assert set(full) == set(quotas)
        assert full[quotas[0]].startswith(
            "5 VPCs in eu-west-1, where others have 5 and the environment needs 1, one for each"
        )
        assert "others have 4 and the environment needs 2" in full[quotas[1]]
        tag = {"Key": "ems-environment", "Value": "dev"}
        ec2.create_tags(Resources=[vpcs[0], *addresses[:2]], Tags=[tag])
        assert found() == {}
        assert set(found("staging")) == set(quotas)
    finally:
        for each in vpcs:
            ec2.delete_vpc(VpcId=each)
        for each in addresses:
            ec2.release_address(AllocationId=each)


@pytest.mark.parametrize(
    ("arn", "role"),
    [
        ("arn:aws:sts::123456789012:assumed-role/ems-dev-deploy/ci-17", "ems-dev-deploy"),
        ("arn:aws:iam::123456789012:user/team/ada", ""),
        ("arn:aws:iam::123456789012:root", ""),
    ],
)
def test_the_deploy_role_needs_a_boundary(aws: str, arn: str, role: str) -> None:
    real = clients_at(aws)

    def clients(service: str, region: str) -> Any:
        made = real(service, region)
        if service == "sts":
            told = {"Account": "123456789012", "Arn": arn, "UserId": "x"}
            made.get_caller_identity = lambda: told
        return made

    assert facts.caller(clients).role == role
    found = said(look(settings(), clients))
    assert set(found) == ({"ems:boundary"} if role else set())
    bound = ("boundary", "arn:aws:iam::123456789012:policy/ems-dev-workload-boundary")
    assert said(look(settings(bound), clients)) == {}
    if role:
        (fault,) = [f for f in look(settings(), clients) if f.where == "ems:boundary"]
        assert fault.next == f"ems:boundary: {bound[1]}"


def test_an_error_that_is_no_refusal_ends_the_questions(aws: str) -> None:
    with pytest.raises(EmsError, match="RequestLimitExceeded"):
        facts.ask(settings(), refusing(aws, "RequestLimitExceeded", "DescribeInstanceTypes"))
