"""Job definitions: what of a job Batch keeps under a name, registered once for each shape.

Pure. The name holds the digest of all else, so that whoever needs the same finds it. Its beginning
and its tag are what the stack's submit policy asks for. Limits: API_RegisterJobDefinition of
docs.aws.amazon.com/batch/latest/APIReference, read 2026-11-21.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ems.compute.batch.ground import Ground, memory_mib, vcpus
from ems.compute.job import Reason
from ems.compute.remote.order import Order, Refused
from ems.hashing import digest_bytes

ENVIRONMENT_TAG = "ems-environment"
"""By it costs are told apart, and the submit policy lets nobody end jobs of another environment."""
_SECRET = re.compile(r"asm:([\w/+=.@-]{1,400})", re.ASCII)
_DIGITS = 32


class Definition(NamedTuple):
    """A job definition as it is registered: its name and the whole request."""

    name: str
    request: Mapping[str, Any]


def definition(
    order: Order, command: Sequence[str], image: str, ground: Ground
) -> Definition | Refused:
    """Return the definition that an order needs, or why it can't have one."""
    secrets = _secrets(order.secrets, ground)
    if isinstance(secrets, Refused):
        return secrets
    body: dict[str, Any] = {
        "type": "container",
        "platformCapabilities": ["EC2"],
        "propagateTags": True,
        "tags": {ENVIRONMENT_TAG: ground.environment},
        "containerProperties": {
            "image": image,
            "command": list(command),
            # for S3 and whatever else a job asks: on instances ECS may not tell it
            "environment": [{"name": "AWS_REGION", "value": ground.site.region}],
            "resourceRequirements": _resources(order),
            "jobRoleArn": ground.batch.job_role,
            "executionRoleArn": ground.batch.execution_role,
            # said, since the submit policy refuses a definition that says nothing of it
            "privileged": False,
            "secrets": secrets,
            "logConfiguration": _log(ground),
            "linuxParameters": {
                # passes SIGTERM on, and takes in what a task leaves behind
                "initProcessEnabled": True,
                # Docker's 64 MiB are too few for what passes arrays between processes
                "sharedMemorySize": max(64, memory_mib(order.resources) // 2),
            },
            **_volumes(ground),
        },
    }
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    name = prefix(ground) + digest_bytes(text.encode())[:_DIGITS]
    return Definition(name, {"jobDefinitionName": name, **body})


def prefix(ground: Ground) -> str:
    """Return what names of a site's definitions begin with; the submit policy allows no other."""
    return f"ems-{ground.environment}_{ground.name}_"


def _resources(order: Order) -> list[dict[str, str]]:
    wanted = order.resources
    made = [
        {"type": "VCPU", "value": str(vcpus(wanted))},
        {"type": "MEMORY", "value": str(memory_mib(wanted))},
    ]
    return made + ([{"type": "GPU", "value": str(wanted.gpus)}] if wanted.gpus else [])


def _secrets(references: Mapping[str, str], ground: Ground) -> list[dict[str, str]] | Refused:
    """Return references as ECS resolves them, with the execution role, before the job starts."""
    made: list[dict[str, str]] = []
    where = f"arn:aws:secretsmanager:{ground.site.region}:{ground.account}:secret:ems"
    for name, reference in sorted(references.items()):
        found = _SECRET.fullmatch(reference)
        if found is None:
            allowed = f"asm:NAME, for ems/{ground.environment}/NAME in Secrets Manager"
            detail = f"secret {name}: {reference!r} can't be resolved there (allowed: {allowed})"
            return Refused(Reason.IMPOSSIBLE, detail)
        made.append({"name": name, "valueFrom": f"{where}/{ground.environment}/{found[1]}"})
    return made


def _log(ground: Ground) -> dict[str, Any]:
    options = {
        "awslogs-group": ground.batch.log_group,
        "awslogs-region": ground.site.region,
        "awslogs-stream-prefix": "ems",
    }
    return {"logDriver": "awslogs", "options": options}


def _volumes(ground: Ground) -> dict[str, Any]:
    """Return the site's file system, each access point at `/PURPOSE`, as pods have it too."""
    files = ground.site.storage.file_system
    if files is None or not files.access_points:
        return {}
    points = sorted(files.access_points.items())
    return {
        "volumes": [_volume(purpose, files.id, point) for purpose, point in points],
        "mountPoints": [
            {"sourceVolume": purpose, "containerPath": f"/{purpose}", "readOnly": False}
            for purpose, _ in points
        ],
    }


def _volume(purpose: str, files: str, point: str) -> dict[str, Any]:
    """The file system's policy lets nobody in but by an access point, over TLS, with a role."""
    return {
        "name": purpose,
        "efsVolumeConfiguration": {
            "fileSystemId": files,
            "rootDirectory": "/",
            "transitEncryption": "ENABLED",
            "authorizationConfig": {"accessPointId": point, "iam": "ENABLED"},
        },
    }
