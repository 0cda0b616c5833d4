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


def repositories(environment: str, region: str, account: str) -> str:
    """Return the ARN pattern of an environment's ECR repositories in a region."""
    return f"arn:aws:ecr:{region}:{account}:repository/{environment}/*"


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


def execution_policy(repositories: Sequence[str], log_group: str) -> list[Statement]:
    """Return what ECS does before and around a job: pull its image, write its log."""
    write = ("logs:CreateLogStream", "logs:PutLogEvents")
    return [*pull(repositories), Statement("Log", write, (f"{log_group}:*",))]


def objects(bucket: str, prefixes: Sequence[str] = PREFIXES) -> list[Statement]:
    """Return reading and writing of objects below the prefixes of a bucket.

    Deleting an object leaves its version, so that it can be had back; nobody deletes versions.
    """
    bare = ("s3:GetBucketLocation", "s3:ListBucketMultipartUploads")
    each = ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject")
    below = [f"{prefix}/*" for prefix in prefixes]
    # `prefix=store` and `prefix=store/…` are both how a tool lists a folder
    listed = {"StringLike": {"s3:prefix": [*prefixes, *below]}}
    return [
        Statement("Bucket", bare, (bucket,)),
        Statement("List", ("s3:ListBucket",), (bucket,), listed),
        Statement(
            "Objects",
            (*each, "s3:GetObjectAttributes", "s3:ListMultipartUploadParts"),
            [f"{bucket}/{path}" for path in below],
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


def job_policy(bucket: str, file_system: FileSystem | None) -> list[Statement]:
    """Return what the code of a job may do: its site's data, nothing else.

    Every process on an instance can read the instance role's credentials, so all that a job needs
    stands here, and the instance role has nothing but what ECS's agent needs.
    """
    return [*objects(bucket), *mount(file_system)]


@dataclass(frozen=True)
class JobPlace:
    """Where SageMaker puts a job's network interfaces."""

    region: str
    account: str
    subnets: Sequence[str]
    security_group: str

    def arn(self, what: str) -> str:
        return f"arn:aws:ec2:{self.region}:{self.account}:{what}"


def sagemaker_policy(bucket: str, repositories: Sequence[str], place: JobPlace) -> list[Statement]:
    """Return what training jobs and endpoints take: data, images, logs, metrics, interfaces."""
    logs = f"arn:aws:logs:{place.region}:{place.account}:log-group:/aws/sagemaker/*"
    write = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
    metrics = {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*"]}}
    return [
        *objects(bucket),
        *pull(repositories),
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
