"""What the roles of running jobs may do: Batch's execution and job role, SageMaker's.

Knows which actions a job needs, each bounded by resource. Does not know what the resources are
called, and nothing of who submits (`submit.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.plan.iam.documents import Statement

PREFIXES = ("data", "scratch", "store", "sagemaker")
"""The folders of a site's bucket that jobs and researchers use; all else there is not theirs."""


def repositories(environment: str, region: str, account: str, name: str = "*") -> str:
    """Return the ARN of an environment's ECR repository in a region; without a name, of all."""
    return f"arn:aws:ecr:{region}:{account}:repository/{environment}/{name}"


def secrets(environment: str, region: str, account: str) -> str:
    """Return the ARN pattern of the secrets that an environment's jobs may have in a region.

    Whoever keeps a secret for jobs there calls it `ems/<environment>/…`; nothing here makes one.
    """
    return f"arn:aws:secretsmanager:{region}:{account}:secret:ems/{environment}/*"


PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


@dataclass(frozen=True)
class FileSystem:
    """A file system, and the access points through which alone it may be mounted."""

    arn: str
    access_points: Sequence[str]


def pull(repositories: Sequence[str]) -> list[Statement]:
    """Return what pulling images from these repositories takes."""
    return [
        Statement("Pull", PULL, repositories),
        # a login is for the account's registry as a whole
        Statement("Login", ("ecr:GetAuthorizationToken",), ("*",) if repositories else ()),
    ]


def resolve(secrets: Sequence[str]) -> list[Statement]:
    """Return what resolving a job's references to secrets takes.

    Secrets Manager's own key lets whoever may read a secret decrypt it. With a key of a lab's own,
    that key's policy has to let the role in: nothing here reaches a key.
    """
    return [Statement("Secrets", ("secretsmanager:GetSecretValue",), secrets)]


def execution_policy(
    repositories: Sequence[str], log_group: str, secrets: Sequence[str]
) -> list[Statement]:
    """Return what ECS does before and around a job: pull its image, resolve its secrets, write its
    log."""
    write = ("logs:CreateLogStream", "logs:PutLogEvents")
    return [*pull(repositories), *resolve(secrets), Statement("Log", write, (f"{log_group}:*",))]


def objects(buckets: Sequence[str], prefixes: Sequence[str] = PREFIXES) -> list[Statement]:
    """Return reading and writing of objects below the prefixes of buckets.

    Deleting an object leaves its version, so that it can be had back; nobody deletes versions.
    """
    bare = ("s3:GetBucketLocation", "s3:ListBucketMultipartUploads")
    each = ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject")
    below = [f"{prefix}/*" for prefix in prefixes]
    # `prefix=store` and `prefix=store/…` are both how a tool lists a folder
    listed = {"StringLike": {"s3:prefix": [*prefixes, *below]}}
    return [
        Statement("Bucket", bare, buckets),
        Statement("List", ("s3:ListBucket",), buckets, listed),
        Statement(
            "Objects",
            (*each, "s3:GetObjectAttributes", "s3:ListMultipartUploadParts"),
            [f"{bucket}/{path}" for bucket in buckets for path in below],
        ),
    ]


def mount(file_system: FileSystem | None) -> list[Statement]:
    """Return mounting and writing of a file system, through its access points and with TLS."""
    if not file_system:
        return []
    conditions = {
        "StringEquals": {"elasticfilesystem:AccessPointArn": list(file_system.access_points)},
        "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"},
    }
    actions = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")
    return [Statement("Mount", actions, (file_system.arn,), conditions)]


def job_policy(buckets: Sequence[str], file_system: FileSystem | None) -> list[Statement]:
    """Return what the code of a job may do: the environment's data, nothing else.

    The store has one root, wherever it lies, so the buckets are those of all sites. Every process
    on an instance can read the instance role's credentials, so all that a job needs stands here,
    and the instance role has nothing but what ECS's agent needs. Secrets are resolved before the
    job starts, with the execution role.
    """
    return [*objects(buckets), *mount(file_system)]


def pod_policy(buckets: Sequence[str], secrets: Sequence[str]) -> list[Statement]:
    """Return what the code of a job in a cluster may do: the environment's data, and its secrets,
    which nobody resolves for it."""
    return [*objects(buckets), *resolve(secrets)]


@dataclass(frozen=True)
class JobPlace:
    """Where SageMaker puts a job's network interfaces."""

    region: str
    account: str
    subnets: Sequence[str]
    security_group: str

    def arn(self, what: str) -> str:
        return f"arn:aws:ec2:{self.region}:{self.account}:{what}"


def sagemaker_policy(
    buckets: Sequence[str], repositories: Sequence[str], secrets: Sequence[str], place: JobPlace
) -> list[Statement]:
    """Return what training jobs and endpoints take: data, images, secrets, logs, metrics,
    interfaces."""
    logs = f"arn:aws:logs:{place.region}:{place.account}:log-group:/aws/sagemaker/*"
    write = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
    metrics = {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*"]}}
    return [
        *objects(buckets),
        *pull(repositories),
        *resolve(secrets),
        Statement("Log", (*write, "logs:DescribeLogStreams"), (logs,)),
        Statement("Metrics", ("cloudwatch:PutMetricData",), ("*",), metrics),
        *_interfaces(place),
    ]


def _interfaces(place: JobPlace) -> list[Statement]:
    look = ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
    places = [place.arn(f"subnet/{subnet}") for subnet in place.subnets]
    group = place.arn(f"security-group/{place.security_group}")
    interfaces = place.arn("network-interface/*")
    subnet = {"StringEquals": {"ec2:Subnet": places}}
    let = ("ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterfacePermission")
    return [
        Statement("Look", [f"ec2:Describe{what}" for what in look], ("*",)),
        Statement("Interface", ("ec2:CreateNetworkInterface",), (interfaces, group, *places)),
        Statement("Attach", ("ec2:DeleteNetworkInterface", *let), (interfaces,), subnet),
    ]
