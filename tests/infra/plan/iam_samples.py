"""Policies as an environment has them, and which actions AWS really has; for the tests of IAM."""

from __future__ import annotations

import ast
import fnmatch
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

from infra.plan.iam import deploy, jobs
from infra.plan.iam.deploy import DeployPlace
from infra.plan.iam.documents import Statement
from infra.plan.iam.jobs import JobPlace
from infra.plan.iam.submit import SubmitPlace, submit_policy

ACCOUNT = "123456789012"
LONGEST = "abcdefghijklmnop"  # the longest that the settings take


def submit_place(environment: str = "dev", site: str = "oregon", queues: int = 4) -> SubmitPlace:
    region = "ap-southeast-2"
    here, name = f"{region}:{ACCOUNT}", f"{environment}-{site}"
    role = f"arn:aws:iam::{ACCOUNT}:role/{name}-batch"
    return SubmitPlace(
        environment=environment,
        site=site,
        region=region,
        home="us-west-2",
        account=ACCOUNT,
        bucket=f"arn:aws:s3:::ems-{name}-{ACCOUNT}-{region}-an",
        queues=[
            f"arn:aws:batch:{here}:job-queue/{name}-batch-c{n}i-metal-48xl-on-demand-fair-1234567"
            for n in range(queues)
        ],
        log_group=f"arn:aws:logs:{here}:log-group:{name}-batch-jobs-1234567",
        job_role=f"{role}-job-1234567",
        execution_role=f"{role}-execution-1234567",
        repositories=[jobs.repositories(environment, region, ACCOUNT)],
        sagemaker_role=f"arn:aws:iam::{ACCOUNT}:role/{name}-sagemaker-execution-1234567",
        cluster=f"arn:aws:eks:{here}:cluster/{name}-cluster-1234567",
    )


def deploy_place(environment: str = "dev", regions: Sequence[str] = ()) -> DeployPlace:
    return DeployPlace(
        environment=environment,
        account=ACCOUNT,
        state_bucket=f"arn:aws:s3:::ems-state-{ACCOUNT}-ap-southeast-2-an",
        state_key=f"arn:aws:kms:ap-southeast-2:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012",
        regions=regions,
    )


def all_of(place: DeployPlace) -> list[Statement]:
    return [each for part in deploy.deploy_policies(place).values() for each in part]


PLACE = JobPlace("us-west-2", ACCOUNT, ("subnet-1", "subnet-2"), "sg-1")
FILES = jobs.FileSystem("arn:aws:elasticfilesystem:fs", ("arn:ap-1", "arn:ap-2"))
BUCKETS = ("arn:aws:s3:::bucket", "arn:aws:s3:::other")
SECRETS = jobs.secrets("dev", "us-west-2", ACCOUNT)
EVERY: dict[str, list[Statement]] = {
    "execution": jobs.execution_policy(["arn:repository"], "arn:log", [SECRETS]),
    "job": jobs.job_policy(BUCKETS, FILES),
    "pod": jobs.pod_policy(BUCKETS, [SECRETS]),
    "sagemaker": jobs.sagemaker_policy(BUCKETS, ["arn:repository"], [SECRETS], PLACE),
    "submit": submit_policy(submit_place()),
    "deploy": all_of(deploy_place()),
}

_OWN = {
    *("s3:DeleteObjectVersion", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
    *("s3:ListMultipartUploadParts", "s3:PutBucketPublicAccessBlock"),
    *("s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"),
    *("s3:TagResource", "s3:UntagResource"),
    # permissions that are no operation: docs.aws.amazon.com/service-authorization
    "batch:SetCapacityTags",
    "budgets:ModifyBudget",
    "budgets:ViewBudget",
    "ec2:CreateTags",
    "eks:AccessKubernetesApi",
    "elasticfilesystem:ClientMount",
    "elasticfilesystem:ClientWrite",
    "elasticfilesystem:PutBackupPolicy",
    "iam:PassRole",
    "sagemaker:InvokeEndpoint",
    "servicequotas:ListServiceQuotas",
    "ec2:CreateNetworkInterfacePermission",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:UpdateLogDelivery",
    "tag:GetResources",
}
BOTO = {
    "elasticfilesystem": "efs",
    "servicequotas": "service-quotas",
    "tag": "resourcegroupstaggingapi",
}


def real(actions: Iterable[str]) -> set[str]:
    """Those of the actions that AWS's own service models know, or the list of permissions above."""
    found = set()
    for action in actions:
        service, name = action.split(":")
        known = operations(BOTO.get(service, service)).values()
        pattern = re.compile(fnmatch.translate(name))
        if any(pattern.match(each) for each in known) or action in _OWN:
            found.add(action)
    return found


PREFIX = {v: k for k, v in BOTO.items()}
_TABLES = Path(__file__).parents[2] / "rigs" / "sky" / "kinds"
_ACCOUNTS = {"account.py", "principals.py"}  # what the account's program makes, not the deploy role


def asked_by_tables() -> set[str]:
    """The operations (`s3:HeadBucket`) that the stand-in calls for what an environment has."""
    files = [file for file in sorted(_TABLES.glob("*.py")) if file.name not in _ACCOUNTS]
    return {operation for file in files for operation in _asked(file)}


def _asked(file: Path) -> set[str]:
    """The operation behind every `call.service.operation` in a table, and behind what it merely
    remembers (`"efs.PutBackupPolicy"`)."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and (
            named := re.fullmatch(r"([a-z0-9]+)\.([A-Z]\w+)", str(node.value))
        ):
            service, name = named.groups()
            assert name in operations(service).values(), node.value
            found.add(f"{PREFIX.get(service, service)}:{name}")
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)):
            continue
        service, method = node.value.attr, node.attr
        if getattr(node.value.value, "id", "") == "call" and (
            name := operations(service).get(method)
        ):
            found.add(f"{PREFIX.get(service, service)}:{name}")
    return found


@functools.cache
def operations(service: str) -> dict[str, str]:
    """A service's operations by their names in boto3."""
    return {xform_name(each): each for each in _model(service).operation_names}


def documentation(operation: str) -> str:
    """What botocore says of an operation (`efs:CreateMountTarget` by the name of its actions)."""
    service, name = operation.split(":")
    return str(_model(BOTO.get(service, service)).operation_model(name).documentation)


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)
