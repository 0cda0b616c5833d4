"""Drift, by boto3 against moto's server: what is changed behind the outputs' back is found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ems.errors import EmsError
from ems.stack import aws as ems_aws
from ems.stack.looking import look
from tests.stack.sky import Sky, made_environment


def test_nothing_differs(sky: Sky) -> None:
    assert sky.drift() == []


def test_a_queue_that_is_disabled(sky: Sky) -> None:
    sky.client("batch").update_job_queue(jobQueue="general", state="DISABLED")
    assert sky.drift() == ["oregon queue general: state DISABLED (in the outputs: ENABLED)"]


def test_another_compute_environment_under_a_queue(sky: Sky) -> None:
    """moto changes no compute resources in place, so the queue is moved to another environment."""
    (subnet,) = sky.client("ec2").describe_subnets(
        Filters=[{"Name": "cidr-block", "Values": ["10.16.0.0/20"]}]
    )["Subnets"]
    arn = made_environment(
        "other", subnet["SubnetId"], market="spot", types=["g5.xlarge"], max_vcpus=16
    )
    batch = sky.client("batch")
    batch.update_compute_environment(computeEnvironment="other", state="DISABLED")
    order = [{"order": 1, "computeEnvironment": arn}]
    batch.update_job_queue(jobQueue="g5", computeEnvironmentOrder=order)
    assert sky.drift() == [
        "oregon queue g5: compute environment other's state DISABLED (in the outputs: ENABLED)",
        "oregon queue g5: max vCPUs 16 (in the outputs: 64)",
        "oregon queue g5: instance types g5.xlarge (in the outputs: g5.2xlarge)",
        "oregon queue g5: market spot (in the outputs: on-demand)",
    ]


def test_what_is_gone(sky: Sky) -> None:
    sky.client("s3").delete_bucket(Bucket="bucket-of-dev")
    sky.client("ecr").delete_repository(repositoryName="ems-dev/worker")
    sky.client("logs").delete_log_group(logGroupName="/ems/dev/oregon")
    sky.client("eks").delete_cluster(name="ems-dev-oregon")
    batch = sky.client("batch")
    batch.update_job_queue(jobQueue="general", state="DISABLED")
    batch.delete_job_queue(jobQueue="general")
    assert set(sky.drift()) == {
        "oregon storage: bucket bucket-of-dev is gone",
        f"oregon registry: repository w {sky.site.images.repositories['w']} is gone",
        "oregon logs: log group /ems/dev/oregon is gone",
        "oregon cluster: cluster ems-dev-oregon is gone",
        "oregon queue general: queue general is gone",
    }


def test_a_file_system_that_lost_its_parts(sky: Sky) -> None:
    meant = sky.site.storage.file_system
    assert meant is not None
    efs = sky.client("efs")
    ((zone, address),) = meant.addresses.items()
    (target,) = efs.describe_mount_targets(FileSystemId=meant.id)["MountTargets"]
    efs.delete_mount_target(MountTargetId=target["MountTargetId"])
    efs.delete_access_point(AccessPointId=meant.access_points["data"])
    assert sky.drift() == [
        f"oregon file system: mount target in {zone} at {address} is gone",
        f"oregon file system: access point data {meant.access_points['data']} is gone",
    ]
    efs.delete_file_system(FileSystemId=meant.id)
    assert sky.drift() == [f"oregon file system: file system {meant.id} is gone"]


def test_a_mount_target_at_another_address(sky: Sky) -> None:
    meant = sky.site.storage.file_system
    assert meant is not None
    ((zone, address),) = meant.addresses.items()
    moved = msgspec.structs.replace(meant, addresses={zone: "10.16.9.9"})
    storage = msgspec.structs.replace(sky.site.storage, file_system=moved)
    oregon = msgspec.structs.replace(sky.site, storage=storage)
    sky.outputs = msgspec.structs.replace(sky.outputs, sites={"oregon": oregon})
    assert sky.drift() == [
        f"oregon file system: address in {zone} {address} (in the outputs: 10.16.9.9)"
    ]


def test_another_account(sky: Sky) -> None:
    sky.outputs = msgspec.structs.replace(sky.outputs, account="999999999999")
    with pytest.raises(EmsError) as caught:
        sky.look()
    assert str(caught.value) == (
        "environment dev: is in account 999999999999, these credentials are of 123456789012. "
        "Try: another AWS_PROFILE"
    )


def test_what_may_not_be_looked_at_is_told_and_no_drift(sky: Sky) -> None:
    """moto asks for no permissions, so the denial is put in AWS's place."""
    from botocore.stub import Stubber

    def clients(service: str, region: str) -> Any:
        made = ems_aws.client(service, region)
        if service in ("eks", "s3"):
            stub = Stubber(made)
            operation, code = {
                "eks": ("describe_cluster", "AccessDeniedException"),
                "s3": ("head_bucket", "403"),
            }[service]
            stub.add_client_error(operation, code)
            stub.activate()
        return made

    seen = look(sky.outputs, clients)
    assert seen.differences == ()
    assert seen.unseen == (
        "oregon: s3 was not looked at (access denied)",
        "oregon: eks was not looked at (access denied)",
    )


def test_one_look_at_each_service_of_a_site(sky: Sky) -> None:
    calls: list[str] = []

    def clients(service: str, region: str) -> Any:
        made = ems_aws.client(service, region)
        made.meta.events.register("before-call.*.*", lambda model, **_: calls.append(model.name))
        return made

    look(sky.outputs, clients)
    assert sorted(calls) == [
        "DescribeAccessPoints",
        "DescribeCluster",
        "DescribeComputeEnvironments",
        "DescribeFileSystems",
        "DescribeJobQueues",
        "DescribeLogGroups",
        "DescribeMountTargets",
        "DescribeRepositories",
        "GetCallerIdentity",
        "HeadBucket",
    ]
