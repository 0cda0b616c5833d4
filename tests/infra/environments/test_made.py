"""One environment with nearly everything, read back from the cloud: is it what the settings asked?

Read by boto3 from moto. What moto cannot tell (route propagation, a connection's static routes) is
read from the engine's state by `tests.infra.network.walk`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from ems.stack.reading import STACK_OUTPUT
from infra.plan.routes import LabLinks, Topology, reaches
from tests.infra.environments.steps import short
from tests.infra.network.walk import Host, Lab, World, read
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.project import Project

pytestmark = [rig("pulumi"), pytest.mark.timeout(600)]

SITES: Mapping[str, Any] = {
    "oregon": {
        "region": "us-west-2",
        "cidr": "10.16.0.0/16",
        "zones": ["usw2-az1", "usw2-az2"],
        "nat": "one",
        "endpoints": ["ecr.api"],
        "images": ["worker", "robot"],
        "batch": {
            "queues": [
                {"type": "c7i.xlarge", "markets": ["spot", "on-demand"], "max_vcpus": 16},
                {"type": "g5.xlarge", "max_vcpus": 8},
            ],
            "general": None,
            "disk_gib": 150,
        },
        "sagemaker": True,
    },
    "virginia": {
        "region": "us-east-1",
        "cidr": "10.17.0.0/16",
        "zones": ["use1-az1"],
        "batch": {"general": {"families": ["c7g"], "architecture": "arm64"}, "fair_share": False},
    },
}
LABS: Mapping[str, Any] = {
    "fixed": {
        "address": "203.0.113.10",
        "networks": ["192.168.10.0/24", "192.168.11.0/24"],
        "sites": ["oregon"],
    },
    "told": {
        "address": "203.0.113.20",
        "networks": ["192.168.20.0/24"],
        "sites": ["oregon", "virginia"],
        "routing": "bgp",
        "asn": 65020,
    },
}
SETTINGS: Mapping[str, Any] = {
    "ems:accounts": [ACCOUNT],
    "ems:home": "us-west-2",
    "ems:sites": SITES,
    "ems:labs": LABS,
    "ems:budget": {"monthly_usd": 500, "emails": ["lab@example.org"]},
    "ems:alarm_emails": ["alarms@example.org"],
    "ems:access": {"researchers": [f"arn:aws:iam::{ACCOUNT}:role/researcher"]},
    "ems:tags": {"team": "robots"},
}
REGIONS = {name: site["region"] for name, site in SITES.items()}
TOPOLOGY = Topology(
    {name: site["cidr"] for name, site in SITES.items()},
    {name: LabLinks(tuple(lab["networks"]), tuple(lab["sites"])) for name, lab in LABS.items()},
)
TAGS = {"ems-project": "ems", "ems-environment": "rich", "team": "robots"}
SSH, HTTPS, FILES = 22, 443, 2049
POLICY_MOST, INLINE_MOST = 6144, 10_240
"""Characters of a managed policy, and of all policies in a role; white space does not count."""


@dataclass(frozen=True)
class Made:
    """The environment as it was made."""

    cloud: Cloud
    sky: Engine
    outputs: Mapping[str, Any]
    resources: Sequence[Mapping[str, Any]]

    @cached_property
    def ids(self) -> Mapping[str, str]:
        """`ec2.Route virginia-public-out`, type and name in the program, → id."""
        found: dict[str, str] = {}
        for each in self.resources:
            if each.get("id") and each["type"].startswith("aws:"):
                name = each["urn"].split("::")[-1].removeprefix("rich-")
                found[f"{short(each['type'])} {name}"] = each["id"]
        return found

    def site(self, name: str, service: str) -> Any:
        """Return a client in a site's region."""
        return self.cloud.client(service, REGIONS[name])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The environment, up."""
    folder: Path = tmp_path_factory.mktemp("made") / "engine"
    with Cloud() as cloud, Engine(folder, cloud, Project.repository(), stack="rich") as sky:
        with sky.settings() as settings:
            settings.clear()
            settings.update(SETTINGS)
        sky.up()
        yield Made(cloud, sky, sky.outputs()[STACK_OUTPUT], sky.resources())


def test_every_pair_of_sites_and_labs_reaches_what_it_should(made: Made) -> None:
    labs = [
        Lab(
            name,
            lab["address"],
            tuple(lab["networks"]),
            tuple(SITES[site]["cidr"] for site in lab["sites"]),
            lab.get("routing") == "bgp",
        )
        for name, lab in LABS.items()
    ]
    world = read(made.cloud, set(REGIONS.values()), made.resources, labs)
    jobs = {site: _host(made, world, site, "jobs") for site in SITES}
    files = {site: _host(made, world, site, "files-nfs") for site in SITES}
    machines = {lab: Host(str(IPv4Network(LABS[lab]["networks"][-1])[9]), lab) for lab in LABS}
    for one, caller in {**jobs, **machines}.items():
        for site in SITES:
            wanted = reaches(TOPOLOGY, one, site)
            assert world.talks(caller, files[site], FILES) == wanted, f"{one} → files of {site}"
            assert not world.talks(caller, files[site], SSH), f"{one} → ssh of {site}'s files"
            for port in (SSH, HTTPS, FILES):
                assert world.talks(caller, jobs[site], port) == (one == site), f"{one} → {site}"
        for lab, machine in machines.items():
            wanted = reaches(TOPOLOGY, one, lab)
            assert world.talks(caller, machine, SSH) == wanted, f"{one} → {lab}"


def _host(made: Made, world: World, site: str, group: str) -> Host:
    zone = SITES[site]["zones"][0]
    kind = "private" if group != "jobs" or SITES[site].get("nat") else "public"
    subnet = made.ids[f"ec2.Subnet {site}-{kind}-{zone}"]
    address = world.networks[world.subnets[subnet][0]][10]
    return Host(str(address), subnet, (made.ids[f"ec2.SecurityGroup {site}-{group}"],))


def test_routes_lead_out_where_they_should(made: Made) -> None:
    ways = {
        ("oregon", "public"): "GatewayId",
        ("oregon", "private-usw2-az1"): "NatGatewayId",
        ("oregon", "private-usw2-az2"): "NatGatewayId",
        ("virginia", "public"): "GatewayId",
        ("virginia", "private-use1-az1"): "",
    }
    for (site, key), way in ways.items():
        tables = made.site(site, "ec2").describe_route_tables(
            RouteTableIds=[made.ids[f"ec2.RouteTable {site}-{key}"]]
        )["RouteTables"]
        out = [r for r in tables[0]["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0"]
        assert [bool(route.get(way)) for route in out] == ([True] if way else []), (site, key)


def test_queues_lead_to_their_environments_and_template(made: Made) -> None:
    for name, site in made.outputs["sites"].items():
        batch = made.site(name, "batch")
        queues = {q["jobQueueName"]: q for q in batch.describe_job_queues()["jobQueues"]}
        places = batch.describe_compute_environments()["computeEnvironments"]
        by_arn = {place["computeEnvironmentArn"]: place for place in places}
        offered = site["batch"]["queues"]
        assert {queue["name"] for queue in offered.values()} == set(queues)
        for key, queue in offered.items():
            (order,) = queues[queue["name"]]["computeEnvironmentOrder"]
            place = by_arn.pop(order["computeEnvironment"])
            _as_offered(made, name, key, queue, place["computeResources"])
            fair = bool(queues[queue["name"]].get("schedulingPolicyArn"))
            assert fair == queue["fair_share"] == (name == "oregon")
        assert not by_arn, "an environment without a queue"
    assert set(made.outputs["sites"]["oregon"]["batch"]["queues"]) == {
        "c7i-xlarge-spot",
        "c7i-xlarge-on-demand",
        "g5-xlarge-spot",
    }


def _as_offered(
    made: Made, site: str, key: str, queue: Mapping[str, Any], has: Mapping[str, Any]
) -> None:
    assert has["type"] == ("SPOT" if queue["market"] == "spot" else "EC2")
    assert has["instanceTypes"] == queue["instance_types"]
    assert (has["minvCpus"], has["maxvCpus"]) == (0, queue["max_vcpus"])
    jobs = made.outputs["sites"][site]["network"]["jobs"]
    assert sorted(has["subnets"]) == sorted(jobs["subnets"])
    assert has["securityGroupIds"] == jobs["security_groups"]
    template = has["launchTemplate"]["launchTemplateId"]
    assert template == made.ids[f"ec2.LaunchTemplate {site}-batch-instances"]
    assert has["tags"] == {**TAGS, "Name": f"rich-{site}-batch-{key}"}


def test_what_batch_starts_has_tags_and_an_encrypted_disk(made: Made) -> None:
    for site, disk in (("oregon", 150), ("virginia", 100)):
        (version,) = made.site(site, "ec2").describe_launch_template_versions(
            LaunchTemplateId=made.ids[f"ec2.LaunchTemplate {site}-batch-instances"],
            Versions=["$Latest"],
        )["LaunchTemplateVersions"]
        data = version["LaunchTemplateData"]
        said = {
            each["ResourceType"]: {tag["Key"]: tag["Value"] for tag in each["Tags"]}
            for each in data["TagSpecifications"]
        }
        assert said == {"instance": TAGS, "volume": TAGS}
        assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
        assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == disk
        assert data["MetadataOptions"]["HttpTokens"] == "required"


def test_everything_that_can_have_tags_has_them(made: Made) -> None:
    tagged = [each for each in made.resources if "tagsAll" in each.get("outputs", {})]
    assert len(tagged) > 60
    for each in tagged:
        assert TAGS.items() <= each["outputs"]["tagsAll"].items(), each["urn"]
    for site in SITES:
        tagging = made.site(site, "resourcegroupstaggingapi")
        mine = [{"Key": "ems-environment", "Values": ["rich"]}]
        pages = tagging.get_paginator("get_resources").paginate(TagFilters=mine)
        found = {e["ResourceARN"].split(":")[2] for p in pages for e in p["ResourceTagMappingList"]}
        assert {"ec2", "s3", "kms", "elasticfilesystem"} <= found


def test_policies_fit_and_pass_roles_to_named_services_only(made: Made) -> None:
    iam = made.cloud.client("iam")
    documents = [_managed(iam, each["Arn"]) for each in _own(iam)]
    assert all(len(_packed(each)) <= POLICY_MOST for each in documents)
    for role in iam.list_roles()["Roles"]:
        names = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
        own = [
            iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
            for name in names
        ]
        assert sum(len(_packed(each)) for each in own) <= INLINE_MOST
        documents += own
    allowed = [s for d in documents for s in d["Statement"] if s["Effect"] == "Allow"]
    passing = [each for each in allowed if "iam:PassRole" in _listed(each["Action"])]
    assert passing
    for each in passing:
        assert all(":role/rich-" in role for role in _listed(each["Resource"]))
        assert each["Condition"]["StringEquals"]["iam:PassedToService"]
    assert not [s for s in allowed if {"*", "iam:*", "s3:*"} & set(_listed(s["Action"]))]


def _own(iam: Any) -> list[Mapping[str, Any]]:
    found = iam.list_policies(Scope="Local")["Policies"]
    assert len(found) == len(SITES)
    return found


def _managed(iam: Any, arn: str) -> Mapping[str, Any]:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def _packed(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def test_buckets_are_closed_and_take_nothing_without_tls(made: Made) -> None:
    for name, site in made.outputs["sites"].items():
        s3, bucket = made.site(name, "s3"), site["storage"]["bucket"]
        statements = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        (deny,) = [each for each in statements if each["Effect"] == "Deny"]
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert (deny["Principal"], deny["Action"]) == ("*", "s3:*")
        for each in statements:
            if each["Effect"] == "Allow":
                assert each["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
                assert each["Condition"]["StringEquals"]["aws:SourceAccount"] == ACCOUNT
        closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert all(closed.values())
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_files_are_open_to_exactly_the_networks_that_use_them(made: Made) -> None:
    wanted = {
        "oregon": ["10.16.0.0/16", "10.17.0.0/16", *LABS["fixed"]["networks"]],
        "virginia": ["10.17.0.0/16", "10.16.0.0/16"],
    }
    for site, networks in wanted.items():
        group = made.ids[f"ec2.SecurityGroup {site}-files-nfs"]
        (found,) = made.site(site, "ec2").describe_security_groups(GroupIds=[group])[
            "SecurityGroups"
        ]
        (rule,) = found["IpPermissions"]
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", FILES, FILES)
        opened = sorted(each["CidrIp"] for each in rule["IpRanges"])
        assert opened == sorted([*networks, *LABS["told"]["networks"]])
        assert not found["IpPermissionsEgress"]


def test_alarms_speak_to_a_topic_of_their_own_region(made: Made) -> None:
    connections = {"oregon": 2, "virginia": 1}
    for site, count in connections.items():
        region = REGIONS[site]
        alarms = made.site(site, "cloudwatch").describe_alarms()["MetricAlarms"]
        topic = made.outputs["sites"][site]["alarms"]
        assert topic.split(":")[3] == region
        assert [each["AlarmActions"] for each in alarms] == [[topic]] * count
        sns, kms = made.site(site, "sns"), made.site(site, "kms")
        key = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["KmsMasterKeyId"]
        assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyManager"] == "CUSTOMER"
        policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        services = [s["Principal"].get("Service", []) for s in policy["Statement"]]
        assert ["cloudwatch.amazonaws.com" in each for each in services].count(True) == 1
    (budget,) = made.cloud.client("budgets").describe_budgets(AccountId=ACCOUNT)["Budgets"]
    assert float(budget["BudgetLimit"]["Amount"]) == 500


def test_keys_lie_in_secrets_manager_and_nowhere_else(made: Made) -> None:
    keys: list[str] = []
    for lab, settings in LABS.items():
        for site in settings["sites"]:
            arn = made.outputs["labs"][lab]["sites"][site]["keys"]
            secrets = made.site(site, "secretsmanager")
            kept = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
            assert len(set(kept.values())) == 2, "a key for each tunnel"
            keys += kept.values()
    assert len(keys) == 6
    shown = made.sky.run("stack", "export", "--show-secrets").stdout
    outputs = json.dumps(made.sky.outputs(secrets=True))
    assert "presharedKeyStorage" in shown
    for key in keys:
        assert key not in shown and key not in outputs


def test_gateways_have_numbers_and_devices_of_their_own(made: Made) -> None:
    numbers: list[int] = [lab.get("asn", 65000) for lab in LABS.values()]
    for site in SITES:
        gateways = made.site(site, "ec2").describe_vpn_gateways()["VpnGateways"]
        numbers += [each["AmazonSideAsn"] for each in gateways]
    assert len(set(numbers)) == len(numbers) == 4
    assert 64512 not in numbers
    # moto keeps no device's name
    devices = [r["inputs"] for r in made.resources if r["type"].endswith(":CustomerGateway")]
    assert len({each["deviceName"] for each in devices}) == len(devices) == 3
    assert all("rich" in each["deviceName"] for each in devices)
