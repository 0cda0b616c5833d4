"""The security groups that every site has: one for its jobs, and the default one, emptied.

Nothing from elsewhere may open a connection to a job: not a peer, not a lab, not the internet. What
serves other networks (files, the Kubernetes API, Ray) has groups of its own, made where it is made.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws


def job_group(
    name: str, vpc_id: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Make the group of Batch's and SageMaker's jobs: out to everywhere, in from each other."""
    group = aws.ec2.SecurityGroup(
        f"{name}-jobs",
        vpc_id=vpc_id,
        description="EMS jobs: out to everywhere, in from each other",
        tags={"Name": f"{name}-jobs"},
        opts=opts,
    )
    # the provider revokes AWS's own rule that lets everything out: without this one an instance
    # can't reach ECS, and its jobs stay RUNNABLE
    aws.vpc.SecurityGroupEgressRule(
        f"{name}-jobs-out",
        security_group_id=group.id,
        ip_protocol="-1",
        cidr_ipv4="0.0.0.0/0",
        description="out to everywhere",
        opts=opts,
    )
    aws.vpc.SecurityGroupIngressRule(
        f"{name}-jobs-each-other",
        security_group_id=group.id,
        ip_protocol="-1",
        referenced_security_group_id=group.id,
        description="jobs of several nodes talk to each other",
        opts=opts,
    )
    return group.id


def empty_default_group(name: str, vpc_id: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
    """Take every rule out of the VPC's default group: what names no group reaches nothing."""
    aws.ec2.DefaultSecurityGroup(
        f"{name}-default",
        vpc_id=vpc_id,
        ingress=[],
        egress=[],
        tags={"Name": f"{name}-default-empty"},
        opts=opts,
    )
