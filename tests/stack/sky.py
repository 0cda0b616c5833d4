"""An environment that exists, in moto: made by boto3 as its outputs describe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
import msgspec

from ems.stack import aws as ems_aws
from ems.stack import outputs as o
from ems.stack.looking import Seen, look
from tests.stack.making import ACCOUNT, environment, queue, site

REGION = "us-west-2"


@dataclass
class Sky:
    """An environment that exists, and its outputs."""

    outputs: o.StackOutputs

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    def look(self) -> Seen:
        return look(self.outputs, ems_aws.client)

    def drift(self) -> list[str]:
        seen = self.look()
        assert seen.unseen == ()
        return [f"{each.where}: {each}" for each in seen.differences]

    @property
    def site(self) -> o.Site:
        return self.outputs.sites["oregon"]


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def trusting(service: str) -> str:
    return client("iam").create_role(
        RoleName=f"for-{service}",
        AssumeRolePolicyDocument=msgspec.json.encode(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": f"{service}.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            }
        ).decode(),
    )["Role"]["Arn"]


def made_environment(
    name: str, subnet: str, *, market: str, types: list[str], max_vcpus: int = 64
) -> str:
    """Make a compute environment and return its ARN."""
    client("iam").create_instance_profile(InstanceProfileName=f"{name}-profile")
    (found,) = client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"]
    groups = client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [found["VpcId"]]}]
    )
    return client("batch").create_compute_environment(
        computeEnvironmentName=name,
        type="MANAGED",
        state="ENABLED",
        serviceRole=f"arn:aws:iam::{ACCOUNT}:role/for-batch",
        computeResources={
            "type": "SPOT" if market == "spot" else "EC2",
            "allocationStrategy": "BEST_FIT_PROGRESSIVE",
            "minvCpus": 0,
            "maxvCpus": max_vcpus,
            "instanceTypes": types,
            "subnets": [subnet],
            "securityGroupIds": [groups["SecurityGroups"][0]["GroupId"]],
            "instanceRole": f"arn:aws:iam::{ACCOUNT}:instance-profile/{name}-profile",
        },
    )["computeEnvironmentArn"]


def made_queue(name: str, subnet: str, *, shared: bool, market: str, types: list[str]) -> o.Queue:
    """Make a queue with its compute environment."""
    batch = client("batch")
    arn = made_environment(f"{name}-ce", subnet, market=market, types=types)
    policy = {}
    if shared:
        policy["schedulingPolicyArn"] = batch.create_scheduling_policy(name=f"{name}-policy")["arn"]
    batch.create_job_queue(
        jobQueueName=name,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": arn}],
        **policy,
    )
    return queue(name, market=market, instance_types=tuple(types), fair_share=shared)


def made_sky() -> Sky:
    """Make an environment of one site, as its outputs say."""
    vpc = client("ec2").create_vpc(CidrBlock="10.16.0.0/16")["Vpc"]["VpcId"]
    subnet = client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.16.0.0/20")["Subnet"]
    trusting("batch")
    client("s3").create_bucket(
        Bucket="bucket-of-dev", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    files = client("efs").create_file_system(CreationToken="dev")["FileSystemId"]
    point = client("efs").create_access_point(FileSystemId=files, ClientToken="a")["AccessPointId"]
    target = client("efs").create_mount_target(FileSystemId=files, SubnetId=subnet["SubnetId"])
    uri = client("ecr").create_repository(repositoryName="ems-dev/worker")["repository"]
    client("logs").create_log_group(logGroupName="/ems/dev/oregon")
    arn = client("eks").create_cluster(
        name="ems-dev-oregon",
        roleArn=trusting("eks"),
        resourcesVpcConfig={"subnetIds": [subnet["SubnetId"]]},
    )["cluster"]
    types = ["g5.2xlarge"]
    queues = {
        "g5": made_queue("g5", subnet["SubnetId"], shared=True, market="on-demand", types=types),
        "general": made_queue(
            "general", subnet["SubnetId"], shared=False, market="spot", types=["c7i", "m7i"]
        ),
    }
    bare = site(REGION, queues)
    oregon = msgspec.structs.replace(
        bare,
        storage=o.Storage(
            bucket="bucket-of-dev",
            file_system=o.FileSystem(
                id=files,
                access_points={"data": point},
                addresses={target["AvailabilityZoneId"]: target["IpAddress"]},
            ),
        ),
        images=o.Images(registry=bare.images.registry, repositories={"w": uri["repositoryUri"]}),
        kubernetes=o.Kubernetes(
            cluster="ems-dev-oregon",
            arn=arn["arn"],
            endpoint=arn["endpoint"],
            certificate="LS0t",
            job_role="role",
        ),
    )
    return Sky(environment(sites={"oregon": oregon}))
