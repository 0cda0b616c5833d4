"""A site's file system on the real engine: who reaches it, what changes, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from infra.data.filesystem import transition
from infra.settings.types import Storage
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine, EngineError
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

REGION = "us-west-2"
CLIENTS = {"site": "10.16.0.0/16", "lab-usc-10-200-0-0-16": "10.200.0.0/16"}


@pytest.mark.parametrize(("days", "word"), [(1, "AFTER_1_DAY"), (30, "AFTER_30_DAYS")])
def test_efs_has_its_own_words_for_days(days: int, word: str) -> None:
    assert transition(days) == word


def program() -> None:
    import msgspec
    import pulumi
    import pulumi_aws as aws

    from infra.data.filesystem import FileSystem, FileSystemArgs
    from infra.settings.types import Storage

    config = pulumi.Config()
    provider = aws.Provider("us-west-2", region="us-west-2")
    if config.get("gone"):
        return
    args = FileSystemArgs(
        settings=msgspec.convert(config.get_object("storage") or {}, Storage),
        environment=config.get("environment") or "dev",
        site="oregon",
        vpc_id=config.require("vpc"),
        subnets=config.require_object("subnets"),
        clients=config.require_object("clients"),
        protect=config.get_bool("protect") or False,
    )
    made = FileSystem("dev-oregon", args, pulumi.ResourceOptions(provider=provider))
    pulumi.export("id", made.id)
    pulumi.export("arn", made.arn)
    pulumi.export("access_points", made.access_points)
    pulumi.export("addresses", made.addresses)
    pulumi.export("security_group", made.security_group)


def network(cloud: Cloud, *zones: str) -> dict[str, Any]:
    """Make a VPC with a subnet in each zone; return the settings that name them."""
    ec2 = cloud.client("ec2", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.16.0.0/16")["Vpc"]["VpcId"]
    return {"vpc": vpc, "subnets": {zone: subnet(cloud, vpc, zone) for zone in zones}}


def subnet(cloud: Cloud, vpc: str, zone: str, part: int = 0) -> str:
    ec2 = cloud.client("ec2", REGION)
    cidr = f"10.16.{16 * part + int(zone[-1])}.0/24"
    made = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZoneId=zone)
    return made["Subnet"]["SubnetId"]


def openings(cloud: Cloud, group: str) -> dict[str, tuple[str, int, int]]:
    """What the group lets in: network → protocol and ports."""
    ec2 = cloud.client("ec2", REGION)
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])[
        "SecurityGroupRules"
    ]
    return {
        rule["CidrIpv4"]: (rule["IpProtocol"], rule["FromPort"], rule["ToPort"])
        for rule in found
        if not rule["IsEgress"]
    }


def left(cloud: Cloud) -> list[str]:
    efs = cloud.client("efs", REGION)
    return [each["FileSystemId"] for each in efs.describe_file_systems()["FileSystems"]]


def start(engine: Start, cloud: Cloud, **settings: Any) -> tuple[Engine, dict[str, Any]]:
    net = network(cloud, "usw2-az1", "usw2-az2")
    made = engine(program, config={**net, "clients": CLIENTS, **settings})
    made.up()
    return made, net


@rig("pulumi")
def test_it_is_made_as_asked_and_stays(engine: Start, cloud: Cloud) -> None:
    dev, net = start(engine, cloud, storage={"backup": True})
    said = dev.outputs()
    efs = cloud.client("efs", REGION)
    (found,) = efs.describe_file_systems()["FileSystems"]
    assert said["id"] == found["FileSystemId"] and said["arn"] == found["FileSystemArn"]
    assert found["Encrypted"] and found["ThroughputMode"] == "bursting"
    # the token is what makes a second, empty one impossible; another token would be another one
    assert found["CreationToken"] == "ems-dev-oregon"
    policies = efs.describe_lifecycle_configuration(FileSystemId=said["id"])["LifecyclePolicies"]
    assert policies == [
        {"TransitionToIA": "AFTER_30_DAYS"},
        {"TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
    ]
    targets = efs.describe_mount_targets(FileSystemId=said["id"])["MountTargets"]
    assert said["addresses"] == {each["AvailabilityZoneId"]: each["IpAddress"] for each in targets}
    assert {each["SubnetId"] for each in targets} == set(net["subnets"].values())
    assert openings(cloud, said["security_group"]) == dict.fromkeys(
        CLIENTS.values(), ("tcp", 2049, 2049)
    )
    points = {
        each["RootDirectory"]["Path"]: each
        for each in efs.describe_access_points(FileSystemId=said["id"])["AccessPoints"]
    }
    assert set(points) == {"/data", "/scratch"}
    assert said["access_points"] == {
        path.strip("/"): each["AccessPointId"] for path, each in points.items()
    }
    for each in points.values():
        assert each["PosixUser"] == {"Uid": 1000, "Gid": 1000}
        assert each["RootDirectory"]["CreationInfo"] == {
            "OwnerUid": 1000,
            "OwnerGid": 1000,
            "Permissions": "0775",
        }
    dev.nothing_to_do()


@rig("pulumi")
def test_no_policy_of_its_own_shuts_labs_out(engine: Start, cloud: Cloud) -> None:
    """Any policy takes the place of the one that lets every client in: there is to be none."""
    dev, _ = start(engine, cloud)
    kinds = {each["type"] for each in dev.resources()}
    assert "aws:efs/fileSystem:FileSystem" in kinds
    assert "aws:efs/fileSystemPolicy:FileSystemPolicy" not in kinds


@rig("pulumi")
def test_settings_change_it_in_place(engine: Start, cloud: Cloud) -> None:
    dev, net = start(engine, cloud)
    before = dev.outputs()
    every = {
        "file_system": True,  # off removes it, which is another matter
        "backup": True,
        "throughput": "elastic",
        "infrequent_access_after_days": 7,
        "old_versions_days": 1,
        "scratch_days": 1,
    }
    assert set(every) == set(Storage.__struct_fields__), "a new setting: does it replace anything?"
    dev.configure({"storage": every})
    changed = dev.up()
    assert changed.names("update") == ["dev-oregon", "dev-oregon-backup"]
    assert changed.step("dev-oregon").changed == (
        "lifecyclePolicies[0].transitionToIa",
        "throughputMode",
    )
    assert len(changed.changes) == 2
    # a zone more, a lab more and one less: what is there stays as it is
    zones = {**net["subnets"], "usw2-az3": subnet(cloud, net["vpc"], "usw2-az3")}
    dev.configure(
        {"subnets": zones, "clients": {"site": "10.16.0.0/16", "peer-ohio": "10.32.0.0/16"}}
    )
    changed = dev.up()
    assert changed.names("create") == ["dev-oregon-nfs-from-10.32.0.0-16", "dev-oregon-usw2-az3"]
    assert changed.names("delete") == ["dev-oregon-nfs-from-10.200.0.0-16"]
    assert len(changed.changes) == 3
    after = dev.outputs()
    assert before["id"] == after["id"] and before["access_points"] == after["access_points"]
    assert after["addresses"].items() > before["addresses"].items()
    assert set(openings(cloud, after["security_group"])) == {"10.16.0.0/16", "10.32.0.0/16"}
    dev.nothing_to_do()


@rig("pulumi")
def test_a_mount_target_that_moves_goes_before_the_new_one_comes(
    engine: Start, cloud: Cloud
) -> None:
    """EFS has room for one in a zone: the other way round it is a MountTargetConflict."""
    dev, net = start(engine, cloud)
    moved = {**net["subnets"], "usw2-az1": subnet(cloud, net["vpc"], "usw2-az1", part=1)}
    dev.configure({"subnets": moved})
    changed = dev.up()
    assert changed.names("replace") == ["dev-oregon-usw2-az1"]
    assert len(changed.changes) == 1
    said = [(e.op, e.when) for e in dev.journal() if e.name == "dev-oregon-usw2-az1"]
    assert said[-5:] == [
        ("delete", "begun"),
        ("delete", "done"),
        ("create", "begun"),
        ("create", "made"),
        ("create", "done"),
    ]
    dev.destroy()
    assert left(cloud) == []


def fails(dev: Engine, command: str) -> str:
    with pytest.raises(EngineError) as caught:
        getattr(dev, command)()
    return caught.value.result.stdout + caught.value.result.stderr


@rig("pulumi")
def test_a_protected_one_is_neither_replaced_nor_removed(engine: Start, cloud: Cloud) -> None:
    prod, _ = start(engine, cloud, protect=True)
    said = prod.outputs()
    assert "protect" in fails(prod, "destroy")
    prod.configure({"gone": True})
    assert "protect" in fails(prod, "up")
    prod.configure({"gone": None, "environment": "other"})
    assert "protect" in fails(prod, "up")
    prod.configure({"environment": None})
    # nothing that mounts go through was touched on the way
    efs = cloud.client("efs", REGION)
    targets = efs.describe_mount_targets(FileSystemId=said["id"])["MountTargets"]
    assert {each["IpAddress"] for each in targets} == set(said["addresses"].values())
    prod.up()
    assert prod.outputs()["id"] == said["id"]
    assert prod.outputs()["access_points"] == said["access_points"]


@rig("pulumi")
def test_a_protected_one_outlives_its_stack(engine: Start, cloud: Cloud) -> None:
    prod, _ = start(engine, cloud, protect=True)
    said = prod.outputs()
    prod.run("state", "unprotect", "--all", "--yes")
    prod.destroy()
    assert left(cloud) == [said["id"]]
