"""The roles of a site's jobs: of their instances, of what starts them, of their code.

Knows who takes which role. What each may do is written in `infra/plan/iam/jobs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.plan.iam import documents, jobs

INSTANCE_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
"""What ECS's agent needs, and nothing else: every process on an instance can use it."""


@dataclass(frozen=True)
class RoleArgs:
    """What the roles of Batch are bounded to."""

    account: pulumi.Input[str]
    bucket_arns: Sequence[pulumi.Input[str]]
    repositories: Sequence[pulumi.Input[str]]
    secrets: pulumi.Input[str]
    log_group_arn: pulumi.Input[str]
    file_system_arn: pulumi.Input[str] | None
    access_points: Sequence[pulumi.Input[str]]
    boundary: pulumi.Input[str] | None


@dataclass(frozen=True)
class BatchRoles:
    """ARNs of the roles, and what must stand before the first instance and after the last."""

    instance_profile: pulumi.Output[str]
    execution: pulumi.Output[str]
    job: pulumi.Output[str]
    needed_by_instances: Sequence[pulumi.Resource]


def batch_roles(name: str, args: RoleArgs, parent: pulumi.Resource) -> BatchRoles:
    """Make the three roles of a site's Batch."""
    under = pulumi.ResourceOptions(parent=parent)
    instance = role(f"{name}-instance", documents.trusts_instances(), args.boundary, parent)
    agent = aws.iam.RolePolicyAttachment(
        f"{name}-instance-agent", role=instance.name, policy_arn=INSTANCE_POLICY, opts=under
    )
    profile = aws.iam.InstanceProfile(f"{name}-instance", role=instance.name, opts=under)
    tasks = trusted_by("ecs-tasks.amazonaws.com", args.account)
    execution = role(f"{name}-execution", tasks, args.boundary, parent)
    grant(f"{name}-execution", execution, _execution(args), parent)
    job = role(f"{name}-job", tasks, args.boundary, parent)
    grant(f"{name}-job", job, _job(f"{name}-job", args), parent)
    return BatchRoles(profile.arn, execution.arn, job.arn, (agent, profile))


def trusted_by(service: str, account: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return the trust of a role that a service takes on behalf of the account."""
    return pulumi.Output.from_input(account).apply(
        lambda known: documents.trusts_service(service, known)
    )


def role(
    name: str,
    trust: pulumi.Input[str],
    boundary: pulumi.Input[str] | None,
    parent: pulumi.Resource,
    *,
    session_s: int = 3600,
) -> aws.iam.Role:
    """Make a role; the engine adds to its name, since names are global in an account."""
    return aws.iam.Role(
        name,
        assume_role_policy=trust,
        permissions_boundary=boundary,
        max_session_duration=session_s,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def grant(
    name: str, to: aws.iam.Role, policy: pulumi.Input[str], parent: pulumi.Resource
) -> aws.iam.RolePolicy:
    """Give a role a policy that is its own and goes with it."""
    opts = pulumi.ResourceOptions(parent=parent)
    return aws.iam.RolePolicy(name, role=to.name, policy=policy, opts=opts)


def _execution(args: RoleArgs) -> pulumi.Output[str]:
    def written(arns: Sequence[str]) -> str:
        log_group, secrets, *repositories = arns
        return documents.document(jobs.execution_policy(repositories, log_group, (secrets,)))

    return pulumi.Output.all(args.log_group_arn, args.secrets, *args.repositories).apply(written)


def _job(name: str, args: RoleArgs) -> pulumi.Output[str]:
    count = len(args.bucket_arns)

    def written(arns: Sequence[str]) -> str:
        buckets, (shared, *points) = arns[:count], arns[count:]
        file_system = jobs.FileSystem(shared, points) if shared else None
        policy = documents.document(jobs.job_policy(buckets, file_system))
        return documents.fitting(name, policy, documents.INLINE_LIMIT)

    shared = (args.file_system_arn or "", *args.access_points)
    return pulumi.Output.all(*args.bucket_arns, *shared).apply(written)
