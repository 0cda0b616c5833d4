"""Orders as CreateTrainingJob takes them.

Pure. A job is one container on one instance: the image is the user's own, and its entry point
becomes the worker that lies in S3 (`ems.compute.remote.starter`), which finds its job by EMS_JOB.
Limits: API_CreateTrainingJob, API_AlgorithmSpecification, API_StoppingCondition of
docs.aws.amazon.com/sagemaker/latest/APIReference, as botocore 1.44.5 has them, read 2026-11-22.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ems.compute.job import Reason
from ems.compute.remote.order import Order, Refused
from ems.compute.sagemaker.ground import Choices, Ground, image, vpc_config
from ems.compute.sagemaker.instances import Instance, choose
from ems.hashing import digest_bytes

WORD, WORDS = 256, 100
"""Characters of one word of a container's entry point or arguments, and how many of each."""
VALUE, VARIABLES = 512, 100
"""Characters of one variable's name or value, and how many there may be."""
NAME = 63
LONGEST_S = 28 * 24 * 3600
"""MaxRuntimeInSeconds at most; MaxWaitTimeInSeconds is held to it as well."""
GRACE_S = 120
"""Between SIGTERM and SIGKILL, whoever asks for the end (API_StopTrainingJob)."""
CHECKPOINTS = "/opt/ml/checkpoints"
"""What is written there SageMaker itself keeps in S3, and brings back after an interruption."""
ENVIRONMENT_TAG = "ems-environment"
_SLACK_S = 900
"""For the image and the input, which count as running."""
_BOOT_WORDS = 3
_TAG = re.compile(r"[^\w .:/=+@-]", re.ASCII)


def quota(request: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the instance type of a request, and whether it is spot: what one quota counts."""
    return request["ResourceConfig"]["InstanceType"], request["EnableManagedSpotTraining"]


def name_of(prefix: str, id: str, generation: int = 1) -> str:
    """Return the name of a training job: the same for the same order.

    Names are never free again, so an order that was forgotten and is wanted once more has the next
    generation's.
    """
    body = id.removeprefix("ems-")
    end = "" if generation == 1 else f"-{generation}"
    if len(prefix + body + end) > NAME:
        body = digest_bytes(body.encode())[: NAME - len(prefix + end)]
    return prefix + body + end


def request(
    order: Order, command: Sequence[str], user: str, ground: Ground, choices: Choices
) -> dict[str, Any] | Refused:
    """Return the CreateTrainingJob of an order, or why it can't have one."""
    instance = choose(order.resources, choices.instance)
    address = image(ground, order.image, choices.image)
    variables = _variables(order, ground)
    vpc = vpc_config(ground, choices.vpc)
    for no in (_unfit(order, ground, vpc), instance, address, variables):
        if isinstance(no, Refused):
            return no
    assert isinstance(instance, Instance) and isinstance(variables, dict)
    spot = choices.spot == "always" or (choices.spot == "auto" and order.spot)
    made: dict[str, Any] = {
        "TrainingJobName": name_of(ground.prefix, order.id),
        "AlgorithmSpecification": {
            "TrainingImage": address,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": list(command[:_BOOT_WORDS]),
            "ContainerArguments": list(command[_BOOT_WORDS:]),
        },
        "RoleArn": ground.sagemaker.role,
        "OutputDataConfig": {"S3OutputPath": ground.sagemaker.output},
        "ResourceConfig": _resources(order, instance, choices),
        "StoppingCondition": _limits(order, spot, choices),
        "EnableManagedSpotTraining": spot,
        "CheckpointConfig": {"S3Uri": f"{order.folder}/checkpoints", "LocalPath": CHECKPOINTS},
        "Environment": variables,
        "Tags": _tags(order, user, ground),
    }
    if choices.metrics:
        made["AlgorithmSpecification"]["MetricDefinitions"] = [dict(m) for m in choices.metrics]
    if choices.attempts > 1:
        made["RetryStrategy"] = {"MaximumRetryAttempts": choices.attempts - 1}
    if vpc is not None:
        made["VpcConfig"] = vpc
    return made


def _unfit(order: Order, ground: Ground, vpc: Mapping[str, Any] | None) -> Refused | None:
    if order.member is not None and order.member.size > 1 and vpc is None:
        detail = (
            "members of a gang reach each other in the site's network alone, and SageMaker's jobs "
            "are not in it (allowed: `vpc: always`, where jobs need no way out but to S3)"
        )
        return Refused(Reason.IMPOSSIBLE, detail)
    if order.modules:
        detail = f"environment modules can't be loaded there ({', '.join(order.modules)})"
        return Refused(Reason.IMPOSSIBLE, detail)
    if order.secrets:
        # the values would stand in DescribeTrainingJob for whoever may ask
        names = ", ".join(sorted(order.secrets))
        detail = (
            f"secret {names}: SageMaker resolves none for a job (allowed: the task itself reads "
            f"ems/{ground.environment}/NAME from Secrets Manager, which its role may)"
        )
        return Refused(Reason.IMPOSSIBLE, detail)
    return None


def _variables(order: Order, ground: Ground) -> dict[str, str] | Refused:
    every = {
        # for S3 and whatever else a job asks
        "AWS_REGION": ground.site.region,
        **order.variables,
        "EMS_JOB": order.folder,
        "EMS_GRACE_S": str(GRACE_S),
    }
    if len(every) > VARIABLES:
        detail = f"it has {len(every)} variables (allowed in SageMaker: {VARIABLES})"
        return Refused(Reason.IMPOSSIBLE, detail)
    for name, value in every.items():
        if max(len(name), len(value)) > VALUE:
            detail = f"variable {name} has {len(value)} characters (allowed in SageMaker: {VALUE})"
            return Refused(Reason.IMPOSSIBLE, detail)
    return dict(sorted(every.items()))


def _resources(order: Order, instance: Instance, choices: Choices) -> dict[str, Any]:
    made: dict[str, Any] = {"InstanceType": instance.name, "InstanceCount": 1}
    if not instance.disk_gb:  # a type with SSDs of its own gets no volume beside them
        size = max(choices.volume_gib, math.ceil(order.resources.disk_gib))
        made["VolumeSizeInGB"] = size
    return made


def _limits(order: Order, spot: bool, choices: Choices) -> dict[str, int]:
    """Return when SageMaker ends a job: long after its worker would, which knows why.

    The limit is one of all attempts together.
    """
    once = order.wall_s if order.wall_s is not None else choices.longest_hours * 3600
    runs = min(LONGEST_S, math.ceil(once) * choices.attempts + _SLACK_S)
    if not spot:
        return {"MaxRuntimeInSeconds": runs}
    wait = min(LONGEST_S, runs + math.ceil(choices.spot_wait_hours * 3600))
    return {"MaxRuntimeInSeconds": runs, "MaxWaitTimeInSeconds": wait}


def _tags(order: Order, user: str, ground: Ground) -> list[dict[str, str]]:
    said = {ENVIRONMENT_TAG: ground.environment, "ems-name": order.name, "ems-user": user}
    return [{"Key": key, "Value": _TAG.sub("-", value)[:256]} for key, value in said.items()]
