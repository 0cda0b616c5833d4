"""Batch on the real engine: what is made, and which changes are made in place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.infra.compute.site import BUCKET, PREAMBLE, REGION, network
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

pytestmark = rig("pulumi")

PROGRAM = (
    PREAMBLE
    + """
from infra.compute.batch import Batch, BatchArgs
from infra.settings.types import Batch as Settings

made = Batch(
    config.get("name") or "dev-oregon",
    BatchArgs(
        settings=msgspec.convert(config.require_object("batch"), Settings),
        network=network,
        environment="dev",
        site="oregon",
        region=region,
        account=account,
        log_retention_days=config.get_int("retention") or 30,
        bucket_arns=[f"arn:aws:s3:::{bucket}", "arn:aws:s3:::elsewhere"],
        repositories=[jobs.repositories("dev", region, account)],
        secrets=jobs.secrets("dev", region, account),
        file_system_arn=f"arn:aws:elasticfilesystem:{region}:{account}:file-system/fs-1",
        access_points=[f"arn:aws:elasticfilesystem:{region}:{account}:access-point/fsap-1"],
        tags=tags,
        boundary=config.get("boundary"),
    ),
    here,
)
pulumi.export("queues", {key: queue.name for key, queue in made.queues.items()})
pulumi.export("log_group", made.log_group)
pulumi.export("job_role", made.job_role)
pulumi.export("execution_role", made.execution_role)
"""
)
BATCH: dict[str, Any] = {
    "queues": [
        {"type": "c7i.4xlarge", "markets": ["spot", "on-demand"], "max_vcpus": 64},
        {"type": "g5.2xlarge", "max_vcpus": 32},
    ],
    "general": {"families": ["r7i", "c7i"], "max_vcpus": 128},
    "disk_gib": 120,
    "runnable_minutes": 45,
    "share_decay_minutes": 30,
}
KEYS = ["c7i-4xlarge-on-demand", "c7i-4xlarge-spot", "g5-2xlarge-spot", "general"]
PLACE = "aws:batch/computeEnvironment:ComputeEnvironment"
QUEUE = "aws:batch/jobQueue:JobQueue"


@pytest.fixture
def site(engine: Start, cloud: Cloud) -> Engine:
    """The site with its queues, up."""
    document = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    boundary = cloud.client("iam").create_policy(
        PolicyName="boundary",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [document]}),
    )
    settings = {"batch": BATCH, "boundary": boundary["Policy"]["Arn"]}
    made = engine(PROGRAM, config={**network(cloud), **settings})
    made.up()
    return made


def test_is_made_as_asked_and_goes_without_a_trace(site: Engine, cloud: Cloud) -> None:
    site.nothing_to_do()
    _as_asked(site, cloud)
    _roles_as_asked(site, cloud)
    _queues_end_what_waits_for_ever(site)
    _what_somebody_changed_is_found(site, cloud)
    site.destroy()
    batch, iam = cloud.client("batch", REGION), cloud.client("iam")
    assert not batch.describe_job_queues()["jobQueues"]
    assert not batch.describe_compute_environments()["computeEnvironments"]
    assert not batch.describe_scheduling_policies(arns=[])["schedulingPolicies"]
    assert not cloud.client("ec2", REGION).describe_launch_templates()["LaunchTemplates"]
    assert not cloud.client("logs", REGION).describe_log_groups()["logGroups"]
    assert not iam.list_instance_profiles()["InstanceProfiles"]
    # Batch made this one for itself, as it does in AWS, and it stays
    paths = [role["Path"] for role in iam.list_roles()["Roles"]]
    assert paths == ["/aws-service-role/batch.amazonaws.com/"]


def _as_asked(site: Engine, cloud: Cloud) -> None:
    batch, ec2 = cloud.client("batch", REGION), cloud.client("ec2", REGION)
    said = site.outputs()
    assert sorted(said["queues"]) == KEYS
    queues = {q["jobQueueName"]: q for q in batch.describe_job_queues()["jobQueues"]}
    places = {
        p["computeEnvironmentArn"]: p
        for p in batch.describe_compute_environments()["computeEnvironments"]
    }
    fair = queues[said["queues"]["general"]]["schedulingPolicyArn"]
    (policy,) = batch.describe_scheduling_policies(arns=[fair])["schedulingPolicies"]
    assert policy["fairsharePolicy"]["shareDecaySeconds"] == 1800
    (template,) = ec2.describe_launch_templates()["LaunchTemplates"]
    resources = {}
    for key in KEYS:
        queue = queues[said["queues"][key]]
        assert queue["state"] == "ENABLED" and queue["schedulingPolicyArn"] == policy["arn"]
        (order,) = queue["computeEnvironmentOrder"]
        place = places[order["computeEnvironment"]]
        assert "/aws-service-role/batch.amazonaws.com/" in place["serviceRole"]
        resources[key] = place["computeResources"]
        assert resources[key]["launchTemplate"] == {
            "launchTemplateId": template["LaunchTemplateId"],
            "version": "1",
        }
        assert resources[key]["minvCpus"] == 0 and "desiredvCpus" not in resources[key]
        assert resources[key]["tags"]["team"] == "robots"
        assert len(resources[key]["subnets"]) == 2
    _kinds_of_places(resources, cloud)
    _template_as_asked(ec2, template["LaunchTemplateId"])


def _kinds_of_places(resources: dict[str, Any], cloud: Cloud) -> None:
    ssm, root = cloud.client("ssm", REGION), "/aws/service/ecs/optimized-ami/amazon-linux-2023"
    images = {
        kind: ssm.get_parameter(Name=f"{root}/{path}image_id")["Parameter"]["Value"]
        for kind, path in (
            ("ECS_AL2023", "recommended/"),
            ("ECS_AL2023_NVIDIA", "gpu/recommended/"),
        )
    }
    said = {
        key: (
            place["type"],
            place["allocationStrategy"],
            place["instanceTypes"],
            place["maxvCpus"],
            place["ec2Configuration"][0]["imageType"],
        )
        for key, place in resources.items()
    }
    spot, plain, gpu = "SPOT_PRICE_CAPACITY_OPTIMIZED", "ECS_AL2023", "ECS_AL2023_NVIDIA"
    assert said == {
        "c7i-4xlarge-on-demand": ("EC2", "BEST_FIT_PROGRESSIVE", ["c7i.4xlarge"], 64, plain),
        "c7i-4xlarge-spot": ("SPOT", spot, ["c7i.4xlarge"], 64, plain),
        "g5-2xlarge-spot": ("SPOT", spot, ["g5.2xlarge"], 32, gpu),
        "general": ("SPOT", spot, ["c7i", "r7i"], 128, plain),
    }
    for place in resources.values():
        (image,) = place["ec2Configuration"]
        assert image["imageIdOverride"] == images[image["imageType"]]


def _template_as_asked(ec2: Any, template: str) -> None:
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=template)[
        "LaunchTemplateVersions"
    ]
    data = version["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    (disk,) = data["BlockDeviceMappings"]
    assert disk["DeviceName"] == "/dev/xvda"
    assert disk["Ebs"]["Encrypted"] and disk["Ebs"]["VolumeSize"] == 120
    assert "KmsKeyId" not in disk["Ebs"]
    tagged = {each["ResourceType"]: each["Tags"] for each in data["TagSpecifications"]}
    assert set(tagged) == {"instance", "volume"}
    assert all({"Key": "team", "Value": "robots"} in tags for tags in tagged.values())


def _roles_as_asked(site: Engine, cloud: Cloud) -> None:
    iam, said = cloud.client("iam"), site.outputs()
    (profile,) = iam.list_instance_profiles()["InstanceProfiles"]
    (instance,) = profile["Roles"]
    attached = iam.list_attached_role_policies(RoleName=instance["RoleName"])["AttachedPolicies"]
    assert [each["PolicyName"] for each in attached] == ["AmazonEC2ContainerServiceforEC2Role"]
    assert not iam.list_role_policies(RoleName=instance["RoleName"])["PolicyNames"]
    for role in iam.list_roles(PathPrefix="/")["Roles"]:
        if role["Path"] == "/":
            found = iam.get_role(RoleName=role["RoleName"])["Role"]
            assert found["PermissionsBoundary"]["PermissionsBoundaryArn"].endswith(
                "policy/boundary"
            )
    for which in ("job_role", "execution_role"):
        role = iam.get_role(RoleName=said[which].rsplit("/", 1)[-1])["Role"]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    job, execution = (_own_policy(iam, said[which]) for which in ("job_role", "execution_role"))
    assert f"arn:aws:s3:::{BUCKET}/store/*" in job and "access-point/fsap-1" in job
    assert "arn:aws:s3:::elsewhere/store/*" in job, "the store's root may lie at another site"
    assert "logs:" not in job and "ecr:" not in job and "secretsmanager:" not in job
    assert f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ems/dev/*" in execution


def _own_policy(iam: Any, role: str) -> str:
    name = role.rsplit("/", 1)[-1]
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    return json.dumps(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])


def _queues_end_what_waits_for_ever(site: Engine) -> None:
    # moto keeps none of them, so the state says what was sent
    (queue, *_) = [each for each in site.resources() if each["type"] == QUEUE]
    limits = queue["inputs"]["jobStateTimeLimitActions"]
    assert {limit["maxTimeSeconds"] for limit in limits} == {2700}
    assert {limit["reason"] for limit in limits} == {
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    }
    places = [each for each in site.resources() if each["type"] == PLACE]
    assert len(places) == 4
    for place in places:
        assert "serviceRole" not in place["inputs"]
        never = {"spotIamFleetRole", "bidPercentage", "desiredVcpus"}
        assert not never & set(place["inputs"]["computeResources"])
        assert "namePrefix" not in place["inputs"]
        assert place["inputs"]["updatePolicy"] == {
            "terminateJobsOnUpdate": False,
            "jobExecutionTimeoutMinutes": 360,
        }


def _what_somebody_changed_is_found(site: Engine, cloud: Cloud) -> None:
    batch = cloud.client("batch", REGION)
    queue = site.outputs()["queues"]["general"]
    batch.update_job_queue(jobQueue=queue, state="DISABLED")
    assert site.refresh().names("update") == ["dev-oregon-batch-general-fair"]
    assert site.up().names("update") == ["dev-oregon-batch-general-fair"]
    (found,) = batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    assert found["state"] == "ENABLED"


def test_what_changes_in_place(site: Engine, cloud: Cloud) -> None:
    more = [{"type": "m8g.xlarge", "markets": ["on-demand"]}, *BATCH["queues"]]
    site.configure({"batch": {**BATCH, "queues": more}})
    added = site.up()
    key = "dev-oregon-batch-m8g-xlarge-on-demand"
    assert added.names("create") == [key, f"{key}-fair"] and len(added.changes) == 2

    site.configure({"batch": BATCH})
    gone = site.up()
    assert gone.names("delete") == [key, f"{key}-fair"] and len(gone.changes) == 2

    general = {"families": ["c7i", "m7i", "r7i"], "max_vcpus": 512}
    site.configure({"batch": {**BATCH, "general": general}, "retention": 90})
    wider = site.up()
    assert wider.names("update") == ["dev-oregon-batch-general", "dev-oregon-batch-jobs"]
    assert len(wider.changes) == 2

    fixed = {**BATCH, "general": general, "image_version": "ami-0123456789abcdef0"}
    site.configure({"batch": fixed})
    image = site.up()
    assert image.types("update") == {PLACE: 4} and len(image.changes) == 4
    for place in _resources(cloud):
        assert place["ec2Configuration"][0]["imageIdOverride"] == "ami-0123456789abcdef0"


def test_a_new_disk_makes_a_version_and_renews_in_place(site: Engine, cloud: Cloud) -> None:
    site.configure({"batch": {**BATCH, "disk_gib": 200, "runnable_minutes": 60}})
    changed = {"aws:ec2/launchTemplate:LaunchTemplate": 1, PLACE: 4, QUEUE: 4}
    assert site.preview().types("update") == changed
    result = site.up()
    assert result.types("update") == changed and len(result.changes) == 9
    assert {place["launchTemplate"]["version"] for place in _resources(cloud)} == {"2"}
    site.nothing_to_do()


def test_what_is_replaced_stands_before_the_old_one_goes(site: Engine, cloud: Cloud) -> None:
    # Batch, and the stand-in, refuse to delete a compute environment that a queue refers to
    (urn,) = [each["urn"] for each in site.resources() if each["urn"].endswith("-general")]
    result = site.up("--replace", urn)
    assert result.names("replace") == ["dev-oregon-batch-general"]
    assert result.names("update") == ["dev-oregon-batch-general-fair"]
    assert [(e.op, e.name) for e in site.journal() if e.when == "done" and e.op != "read"][-3:] == [
        ("create", "dev-oregon-batch-general"),
        ("update", "dev-oregon-batch-general-fair"),
        ("delete", "dev-oregon-batch-general"),
    ]
    assert len(_resources(cloud)) == 4

    # Batch turns no queue from one kind into the other
    site.configure({"batch": {**BATCH, "fair_share": False}})
    unfair = site.up()
    assert unfair.types("create") == {QUEUE: 4} and not unfair.names("replace", "update")
    assert unfair.types("delete") == {QUEUE: 4, "aws:batch/schedulingPolicy:SchedulingPolicy": 1}

    site.configure({"name": "dev-north"})
    site.up()
    queues = cloud.client("batch", REGION).describe_job_queues()["jobQueues"]
    assert len(queues) == 4
    assert all(queue["jobQueueName"].startswith("dev-north-batch-") for queue in queues)
    site.nothing_to_do()


def test_queues_that_no_job_could_use_are_refused_before_anything_is_made(
    engine: Start, cloud: Cloud
) -> None:
    batch = {**BATCH, "queues": [{"type": "p3.2xlarge"}, {"type": "g5.2xlarge"}]}
    made = engine(PROGRAM, config={**network(cloud), "batch": batch})
    result = made.preview(check=False)
    assert result.code != 0 and "no job runs on p3.2xlarge" in result.shown()


def _resources(cloud: Cloud) -> list[dict[str, Any]]:
    found = cloud.client("batch", REGION).describe_compute_environments()["computeEnvironments"]
    return [each["computeResources"] for each in found]
