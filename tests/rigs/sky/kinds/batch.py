"""AWS Batch: compute environments, queues and scheduling policies.

moto's UpdateComputeEnvironment changes the state alone, and it keeps neither update policies nor
time limits of queues; it also lets through what Batch refuses. So an environment that changes is
made anew under its name, which gives the same ARN, and Batch's rules stand here:
docs.aws.amazon.com/batch/latest/APIReference, DeleteComputeEnvironment, UpdateJobQueue,
JobStateTimeLimitAction.
"""

from __future__ import annotations

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import tag_changes
from tests.rigs.sky.kinds.principals import service_role

_PLACE = {
    "type": "type",
    "allocationStrategy": "allocationStrategy",
    "minVcpus": "minvCpus",
    "maxVcpus": "maxvCpus",
    "instanceTypes": "instanceTypes",
    "instanceRole": "instanceRole",
    "subnets": "subnets",
    "securityGroupIds": "securityGroupIds",
    "imageId": "imageId",
    "placementGroup": "placementGroup",
    "bidPercentage": "bidPercentage",
    "tags": "tags",
}
_TEMPLATE = ("launchTemplateId", "launchTemplateName", "version")
_IMAGE = ("imageType", "imageIdOverride")
_UPDATABLE = (
    "BEST_FIT_PROGRESSIVE",
    "SPOT_CAPACITY_OPTIMIZED",
    "SPOT_PRICE_CAPACITY_OPTIMIZED",
)
_FREE = ("minVcpus", "maxVcpus")
"""What changes in place under any role and strategy."""
_REASONS = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
)


class Refused(Exception):
    """What AWS Batch answers with a ClientException, and moto lets through."""


# ----------------------------------------------------------------------------- compute environments
def _resources(props: Props) -> Props:
    given = props["computeResources"]
    made: Props = {aws: given[ours] for ours, aws in _PLACE.items() if ours in given}
    if given.get("launchTemplate"):
        template = given["launchTemplate"]
        made["launchTemplate"] = {key: template[key] for key in _TEMPLATE if key in template}
    if given.get("ec2Configurations"):
        images = given["ec2Configurations"]
        made["ec2Configuration"] = [{k: i[k] for k in _IMAGE if k in i} for i in images]
    return made


def _environment_make(call: Call, props: Props) -> str:
    role = props.get("serviceRole") or service_role(call, "batch.amazonaws.com")
    made = call.batch.create_compute_environment(
        computeEnvironmentName=props["name"],
        type=props["type"],
        state=props.get("state", "ENABLED"),
        serviceRole=role,
        computeResources=_resources(props),
        tags=props.get("tags") or {},
    )
    call.made(props["name"])
    return made["computeEnvironmentArn"]


def _environment_create(call: Call, props: Props) -> str:
    _environment_make(call, props)
    return props["name"]


def _environment_read(call: Call, name: str, props: Props) -> Props | None:
    found = call.batch.describe_compute_environments(computeEnvironments=[name])
    if not found["computeEnvironments"]:
        return None
    got = found["computeEnvironments"][0]
    there = got["computeResources"]
    place: Props = {ours: there[aws] for ours, aws in _PLACE.items() if aws in there}
    if "launchTemplate" in there:
        place["launchTemplate"] = there["launchTemplate"]
    if "ec2Configuration" in there:
        place["ec2Configurations"] = there["ec2Configuration"]
    return {
        "name": name,
        "arn": got["computeEnvironmentArn"],
        "ecsClusterArn": got["ecsClusterArn"],
        "type": got["type"],
        "state": got["state"],
        "status": got["status"],
        "statusReason": got["statusReason"],
        "serviceRole": got["serviceRole"],
        "computeResources": place,
        "tags": got.get("tags", {}),
    }


def _environment_update(call: Call, name: str, old: Props, new: Props) -> None:
    _refuse_in_place(old, new)
    arn = old["arn"]
    wanted = _resources(new)
    had = call.batch.describe_compute_environments(computeEnvironments=[name])
    if had["computeEnvironments"][0]["computeResources"] != wanted:
        call.batch.delete_compute_environment(computeEnvironment=name)
        _environment_make(call, {**new, "name": name})
        for queue in _queues_of(call, arn):  # moto's queues hold the environment itself
            order = queue["computeEnvironmentOrder"]
            call.batch.update_job_queue(
                jobQueue=queue["jobQueueName"], computeEnvironmentOrder=order
            )
    call.batch.update_compute_environment(
        computeEnvironment=name, state=new.get("state", "ENABLED")
    )
    _retag(call, arn, old, new)


def _refuse_in_place(old: Props, new: Props) -> None:
    """The provider would replace the environment (batch/compute_environment.go, CustomizeDiff); the
    tables have no rule that depends on another input, so such a program ends here."""
    before, after = old["computeResources"], new["computeResources"]
    touched = [k for k in {*before, *after} if before.get(k) != after.get(k) and k not in _FREE]
    own_role = new.get("serviceRole") and "/aws-service-role/" not in new["serviceRole"]
    if touched and (own_role or after.get("allocationStrategy") not in _UPDATABLE):
        raise Refused(f"{', '.join(sorted(touched))} can't be changed in place")


def _environment_delete(call: Call, name: str, props: Props) -> None:
    queues = [queue["jobQueueName"] for queue in _queues_of(call, props["arn"])]
    if queues:
        raise Refused(f"Cannot delete, found existing JobQueue relationship: {queues[0]}")
    call.batch.update_compute_environment(computeEnvironment=name, state="DISABLED")
    call.batch.delete_compute_environment(computeEnvironment=name)


def _queues_of(call: Call, arn: str) -> list[Props]:
    queues = call.batch.describe_job_queues()["jobQueues"]
    return [
        queue
        for queue in queues
        if any(each["computeEnvironment"] == arn for each in queue["computeEnvironmentOrder"])
    ]


# --------------------------------------------------------------------------------- queues, policies
def _check_limits(props: Props) -> None:
    for limit in props.get("jobStateTimeLimitActions") or ():
        if limit["reason"] not in _REASONS:
            raise Refused(f"reason {limit['reason']!r} is not supported")
        if not 600 <= limit["maxTimeSeconds"] <= 86_400:
            raise Refused("maxTimeSeconds must be between 600 and 86400")
        if (limit["state"], limit["action"]) not in {
            ("RUNNABLE", "CANCEL"),
            ("RUNNABLE", "TERMINATE"),
        }:
            raise Refused(f"{limit['action']} of {limit['state']} is not supported")


def _orders(props: Props) -> list[Props]:
    return [
        {"order": each["order"], "computeEnvironment": each["computeEnvironment"]}
        for each in props["computeEnvironmentOrders"]
    ]


def _queue_create(call: Call, props: Props) -> str:
    _check_limits(props)
    given: Props = {}
    if props.get("schedulingPolicyArn"):
        given["schedulingPolicyArn"] = props["schedulingPolicyArn"]
    made = call.batch.create_job_queue(
        jobQueueName=props["name"],
        state=props["state"],
        priority=props["priority"],
        computeEnvironmentOrder=_orders(props),
        tags=props.get("tags") or {},
        **given,
    )
    return call.made(made["jobQueueArn"])


def _queue_read(call: Call, arn: str, props: Props) -> Props | None:
    found = call.batch.describe_job_queues(jobQueues=[arn])["jobQueues"]
    if not found:
        return None
    got = found[0]
    return {
        "name": got["jobQueueName"],
        "arn": arn,
        "state": got["state"],
        "priority": got["priority"],
        "schedulingPolicyArn": got.get("schedulingPolicyArn"),
        "computeEnvironmentOrders": got["computeEnvironmentOrder"],
        "tags": got.get("tags", {}),
    }


def _queue_update(call: Call, arn: str, old: Props, new: Props) -> None:
    _check_limits(new)
    policy = new.get("schedulingPolicyArn")
    # the provider has no replace rule here (batch/job_queue.go): the program has to do it
    if bool(policy) != bool(old.get("schedulingPolicyArn")):
        raise Refused("A queue can neither be given a fair-share policy nor lose it")
    call.batch.update_job_queue(
        jobQueue=arn,
        state=new["state"],
        priority=new["priority"],
        computeEnvironmentOrder=_orders(new),
        **({"schedulingPolicyArn": policy} if policy else {}),
    )
    _retag(call, arn, old, new)


def _queue_delete(call: Call, arn: str, props: Props) -> None:
    call.batch.update_job_queue(jobQueue=arn, state="DISABLED")
    call.batch.delete_job_queue(jobQueue=arn)


_SHARES = ("computeReservation", "shareDecaySeconds")


def _fair(props: Props) -> Props:
    given = props.get("fairSharePolicy") or {}
    made: Props = {key: given[key] for key in _SHARES if key in given}
    if given.get("shareDistributions"):
        made["shareDistribution"] = given["shareDistributions"]
    return made


def _policy_create(call: Call, props: Props) -> str:
    made = call.batch.create_scheduling_policy(
        name=props["name"], fairsharePolicy=_fair(props), tags=props.get("tags") or {}
    )
    return call.made(made["arn"])


def _policy_read(call: Call, arn: str, props: Props) -> Props | None:
    found = call.batch.describe_scheduling_policies(arns=[arn])["schedulingPolicies"]
    if not found:
        return None
    got = found[0]
    fair: Props = {key: got["fairsharePolicy"][key] for key in _SHARES}
    if got["fairsharePolicy"].get("shareDistribution"):
        fair["shareDistributions"] = got["fairsharePolicy"]["shareDistribution"]
    tags = got.get("tags", {})
    return {"name": got["name"], "arn": arn, "fairSharePolicy": fair, "tags": tags}


def _policy_update(call: Call, arn: str, old: Props, new: Props) -> None:
    call.batch.update_scheduling_policy(arn=arn, fairsharePolicy=_fair(new))
    _retag(call, arn, old, new)


def _policy_delete(call: Call, arn: str, props: Props) -> None:
    queues = call.batch.describe_job_queues()["jobQueues"]
    held = [q["jobQueueName"] for q in queues if q.get("schedulingPolicyArn") == arn]
    if held:
        raise Refused(f"The scheduling policy is in use by {held[0]}")
    call.batch.delete_scheduling_policy(arn=arn)


def _retag(call: Call, arn: str, old: Props, new: Props) -> None:
    wanted, gone = tag_changes(old, new)
    if gone:
        call.batch.untag_resource(resourceArn=arn, tagKeys=gone)
    if wanted:
        call.batch.tag_resource(resourceArn=arn, tags=wanted)


_ENVIRONMENT = "batch/compute_environment.go"

KINDS = [
    Kind(
        "aws:batch/computeEnvironment:ComputeEnvironment",
        create=_environment_create,
        read=_environment_read,
        delete=_environment_delete,
        update=_environment_update,
        replaces={
            "name": _ENVIRONMENT,
            "namePrefix": _ENVIRONMENT,
            "type": _ENVIRONMENT,
            "eksConfiguration": _ENVIRONMENT,
            "computeResources.placementGroup": _ENVIRONMENT,
            "computeResources.spotIamFleetRole": _ENVIRONMENT,
        },
        name="name",
        name_max=128,
        computed=("arn", "ecsClusterArn", "status", "statusReason"),
        defaults={"state": "ENABLED"},
        sets=(
            "computeResources.subnets",
            "computeResources.securityGroupIds",
            "computeResources.instanceTypes",
        ),
    ),
    Kind(
        "aws:batch/jobQueue:JobQueue",
        create=_queue_create,
        read=_queue_read,
        delete=_queue_delete,
        update=_queue_update,
        replaces={"name": "batch/job_queue.go"},
        name="name",
        name_max=128,
        computed=("arn",),
    ),
    Kind(
        "aws:batch/schedulingPolicy:SchedulingPolicy",
        create=_policy_create,
        read=_policy_read,
        delete=_policy_delete,
        update=_policy_update,
        replaces={"name": "batch/scheduling_policy.go"},
        name="name",
        name_max=128,
        computed=("arn",),
        sets=("fairSharePolicy.shareDistributions",),
    ),
]
