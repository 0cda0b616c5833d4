"""AWS Batch at a site: for each planned queue a compute environment that starts at nothing.

Knows what keeps a compute environment changeable in place and what Batch asks of a queue. Which
queues there are is planned in `infra/plan/queues.py`; who may submit stands in `infra/access`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from infra.compute import amis
from infra.compute.roles import BatchRoles, RoleArgs, batch_roles
from infra.network.site import SiteNetwork
from infra.plan.queues import QueuePlan, plan
from infra.settings.types import Batch as BatchSettings

FINISH_MINUTES = 360
"""How long jobs may go on when their instances are to be renewed; the longest that the provider
takes (Batch itself takes five days). The provider waits 20 minutes for the renewal, and nothing
sets that: its batch/compute_environment.go declares no timeouts, so `custom_timeouts` would be
ignored. An `up` that renews while a longer job runs ends in an error, and Batch goes on (ADR 15).
"""

STUCK: Sequence[str] = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
)
"""Why the job at a queue's head may wait for ever; Batch takes exactly these words."""


@dataclass(frozen=True)
class BatchArgs:
    """One site's Batch."""

    settings: BatchSettings
    network: SiteNetwork
    environment: str
    site: str
    region: str
    account: pulumi.Input[str]
    log_retention_days: int
    bucket_arns: Sequence[pulumi.Input[str]]
    """ARNs of the buckets of all sites: the store's root may lie in any."""
    repositories: Sequence[pulumi.Input[str]]
    """ARNs of the ECR repositories whose images jobs run; patterns are fine."""
    secrets: pulumi.Input[str]
    """ARN pattern of the secrets that job definitions may refer to."""
    file_system_arn: pulumi.Input[str] | None = None
    access_points: Sequence[pulumi.Input[str]] = ()
    """ARNs of the file system's access points."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """For what Batch starts: the provider's default tags reach neither instances nor volumes."""
    boundary: pulumi.Input[str] | None = None


@dataclass(frozen=True)
class Queue:
    """A queue as it was planned, and its name in Batch."""

    plan: QueuePlan
    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    fair_share: bool


class Batch(pulumi.ComponentResource):
    """Queues, compute environments, roles and the log group of a site's jobs."""

    queues: dict[str, Queue]
    """By key: `c7i-4xlarge-spot`, `general`."""
    log_group: pulumi.Output[str]
    log_group_arn: pulumi.Output[str]
    job_role: pulumi.Output[str]
    """ARN."""
    execution_role: pulumi.Output[str]
    """ARN."""

    def __init__(
        self, name: str, args: BatchArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:compute:Batch", name, None, opts)
        inside = f"{name}-batch"
        log = aws.cloudwatch.LogGroup(
            f"{inside}-jobs",
            retention_in_days=args.log_retention_days,
            opts=pulumi.ResourceOptions(parent=self),
        )
        roles = batch_roles(inside, _role_args(args, log.arn), self)
        template = _launch_template(inside, args, self)
        policy = _scheduling_policy(inside, args, self)
        images = _images(args, self)
        self.queues = {}
        for each in plan(args.settings):
            image = images[each.key]
            place = _compute_environment(inside, each, args, roles, template, image, self)
            self.queues[each.key] = _queue(inside, each, args, place, policy, self)
        self.log_group, self.log_group_arn = log.name, log.arn
        self.job_role, self.execution_role = roles.job, roles.execution
        self.register_outputs(
            {
                "queues": {key: queue.name for key, queue in self.queues.items()},
                "log_group": self.log_group,
                "job_role": self.job_role,
                "execution_role": self.execution_role,
            }
        )


def _role_args(args: BatchArgs, log_group_arn: pulumi.Output[str]) -> RoleArgs:
    return RoleArgs(
        account=args.account,
        bucket_arns=args.bucket_arns,
        repositories=args.repositories,
        secrets=args.secrets,
        log_group_arn=log_group_arn,
        file_system_arn=args.file_system_arn,
        access_points=args.access_points,
        boundary=args.boundary,
    )


def _launch_template(name: str, args: BatchArgs, parent: Batch) -> aws.ec2.LaunchTemplate:
    kinds = ("instance", "volume") if args.tags else ()
    return aws.ec2.LaunchTemplate(
        f"{name}-instances",
        update_default_version=True,
        metadata_options={
            "http_endpoint": "enabled",
            "http_tokens": "required",
            # a container on a bridge is one hop further and gets no answer
            "http_put_response_hop_limit": 1,
            "instance_metadata_tags": "disabled",
        },
        block_device_mappings=[
            {
                "device_name": "/dev/xvda",
                "ebs": {
                    # by AWS's own key: a key of ours would need grants for Auto Scaling and Spot
                    "encrypted": "true",
                    "delete_on_termination": "true",
                    "volume_size": args.settings.disk_gib,
                    "volume_type": "gp3",
                },
            }
        ],
        tag_specifications=[{"resource_type": kind, "tags": dict(args.tags)} for kind in kinds],
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _images(args: BatchArgs, parent: Batch) -> dict[str, pulumi.Output[str]]:
    """The image of each queue, by key; AWS is asked once for each kind of image."""
    opts = pulumi.InvokeOutputOptions(parent=parent)
    made: dict[tuple[str, str], pulumi.Output[str]] = {}
    for each in plan(args.settings):
        kind = (each.image_type, each.architecture)
        if kind not in made:
            made[kind] = amis.image_for(args.settings.image_version, *kind, opts)
    return {each.key: made[each.image_type, each.architecture] for each in plan(args.settings)}


def _compute_environment(
    name: str,
    queue: QueuePlan,
    args: BatchArgs,
    roles: BatchRoles,
    template: aws.ec2.LaunchTemplate,
    image: pulumi.Output[str],
    parent: Batch,
) -> aws.batch.ComputeEnvironment:
    # No name and no service role: with a role of ours, every change would replace it, and with a
    # fixed name, the new one could not be made before the queue lets go of the old one.
    return aws.batch.ComputeEnvironment(
        f"{name}-{queue.key}",
        type="MANAGED",
        compute_resources={
            **_shape(queue, args.network),
            "instance_role": roles.instance_profile,
            "ec2_configurations": [{"image_type": queue.image_type, "image_id_override": image}],
            # `$Latest` would be read only when something else changes
            "launch_template": {
                "launch_template_id": template.id,
                "version": template.latest_version.apply(str),
            },
            "tags": {**args.tags, "Name": f"{name}-{queue.key}"},
        },
        update_policy=_RENEWAL,
        # the agent needs its policy from the first instance on, and until the last one has ended
        opts=pulumi.ResourceOptions(parent=parent, depends_on=roles.needed_by_instances),
    )


_RENEWAL: aws.batch.ComputeEnvironmentUpdatePolicyArgsDict = {
    "terminate_jobs_on_update": False,
    "job_execution_timeout_minutes": FINISH_MINUTES,
}


def _shape(
    queue: QueuePlan, network: SiteNetwork
) -> aws.batch.ComputeEnvironmentComputeResourcesArgsDict:
    """What is started, how much of it, how it is bought, and where."""
    return {
        "type": queue.resource_type,
        "allocation_strategy": queue.strategy,
        "min_vcpus": 0,
        "max_vcpus": queue.max_vcpus,
        "instance_types": list(queue.instance_types),
        "subnets": [subnet for _, subnet in sorted(network.job_subnets.items())],
        "security_group_ids": [network.job_security_group],
    }


def _scheduling_policy(
    name: str, args: BatchArgs, parent: Batch
) -> aws.batch.SchedulingPolicy | None:
    if not args.settings.fair_share:
        return None
    return aws.batch.SchedulingPolicy(
        f"{name}-fair",
        fair_share_policy={
            "share_decay_seconds": args.settings.share_decay_minutes * 60,
            "compute_reservation": 0,
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _queue(
    name: str,
    queue: QueuePlan,
    args: BatchArgs,
    place: aws.batch.ComputeEnvironment,
    policy: aws.batch.SchedulingPolicy | None,
    parent: Batch,
) -> Queue:
    # Batch turns no queue from one kind into the other: with a name of its own each kind is
    # another resource, and the new queue stands before the old one goes.
    kind = "fair" if policy else "fifo"
    made = aws.batch.JobQueue(
        f"{name}-{queue.key}-{kind}",
        state="ENABLED",
        priority=1,
        scheduling_policy_arn=policy.arn if policy else None,
        compute_environment_orders=[{"order": 1, "compute_environment": place.arn}],
        job_state_time_limit_actions=[
            {
                "action": "CANCEL",
                "state": "RUNNABLE",
                "reason": reason,
                "max_time_seconds": args.settings.runnable_minutes * 60,
            }
            for reason in STUCK
        ],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return Queue(queue, made.name, made.arn, fair_share=policy is not None)
