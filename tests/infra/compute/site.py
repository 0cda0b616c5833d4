"""A site for tests of what runs there: a network made beforehand, and a program that reads it.

The network is made by boto3, so that these tests say nothing of `infra/network`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.rigs.sky.cloud import ACCOUNT, Cloud

REGION = "us-west-2"
BUCKET = f"ems-dev-oregon-{ACCOUNT}-{REGION}-an"
CONFIG: Mapping[str, Any] = {"aws:region": REGION}


def network(cloud: Cloud) -> dict[str, Any]:
    """Make a VPC with two subnets and a security group; return the settings that name them."""
    ec2 = cloud.client("ec2", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.16.0.0/16")["Vpc"]["VpcId"]
    zones = ("usw2-az1", "usw2-az2")
    subnets = {
        zone: ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.16.{index}.0/24", AvailabilityZoneId=zone
        )["Subnet"]["SubnetId"]
        for index, zone in enumerate(zones)
    }
    group = ec2.create_security_group(GroupName="jobs", Description="jobs", VpcId=vpc)["GroupId"]
    return {**CONFIG, "network": {"vpc": vpc, "subnets": subnets, "group": group}}


PREAMBLE = """
import msgspec
import pulumi
import pulumi_aws as aws

from infra.network.site import SiteNetwork
from infra.plan.iam import jobs

config = pulumi.Config()
known = config.require_object("network")
network = SiteNetwork(
    vpc_id=known["vpc"],
    cidr="10.16.0.0/16",
    zones=tuple(known["subnets"]),
    public_subnets=known["subnets"],
    private_subnets={},
    route_tables={},
    job_subnets=known["subnets"],
    jobs_public=True,
    job_security_group=known["group"],
)
region, account = "us-west-2", "123456789012"
bucket = f"ems-dev-oregon-{account}-{region}-an"
tags = {"ems-environment": "dev", "team": "robots"}
provider = aws.Provider(
    "oregon", region=region, default_tags=aws.ProviderDefaultTagsArgs(tags=tags)
)
here = pulumi.ResourceOptions(provider=provider)
"""
"""The beginning of a program: the site's network, and a provider with default tags."""
