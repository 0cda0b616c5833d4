"""What AWS has by name: regions, zones, instance types and families, interface endpoints.

Read from the data of the installed botocore where it has them, so it is as old as that package;
`infra/preflight` asks AWS itself. Knows no settings.
"""

from __future__ import annotations

from functools import cache

PARTITION = "aws"
"""The one partition that EMS deploys to: ARNs and names of the others differ."""

_DIRECTIONS = {
    "central": "c",
    "east": "e",
    "north": "n",
    "northeast": "ne",
    "northwest": "nw",
    "south": "s",
    "southeast": "se",
    "southwest": "sw",
    "west": "w",
}

ENDPOINTS = (
    "airflow.api",
    "athena",
    "autoscaling",
    "batch",
    "bedrock-runtime",
    "cloudformation",
    "cloudtrail",
    "codeartifact.api",
    "codeartifact.repositories",
    "datasync",
    "ebs",
    "ec2",
    "ec2messages",
    "ecr.api",
    "ecr.dkr",
    "ecs",
    "ecs-agent",
    "ecs-telemetry",
    "eks",
    "eks-auth",
    "elasticfilesystem",
    "elasticloadbalancing",
    "events",
    "git-codecommit",
    "glue",
    "guardduty-data",
    "kinesis-firehose",
    "kinesis-streams",
    "kms",
    "lambda",
    "logs",
    "monitoring",
    "rds",
    "sagemaker.api",
    "sagemaker.runtime",
    "secretsmanager",
    "servicecatalog",
    "sns",
    "sqs",
    "ssm",
    "ssmmessages",
    "states",
    "storagegateway",
    "sts",
    "xray",
)
"""Services with an interface endpoint that a lab's jobs may want, as in
`com.amazonaws.<region>.<service>`, all of which answer under their usual names there."""
NO_ENDPOINTS = {
    "dynamodb": "AWS gives its interface endpoint no private DNS, so nothing would find it there",
    "s3": "sites reach it by the gateway endpoint, which costs nothing, and AWS refuses private "
    "DNS for an interface endpoint where that one is not there first",
}
"""Services that have interface endpoints, and why none is made."""


@cache
def regions() -> tuple[str, ...]:
    """Return the regions, those included that an account must opt into."""
    from botocore.session import get_session

    return tuple(sorted(get_session().get_available_regions("ec2", PARTITION)))


@cache
def instance_types() -> tuple[str, ...]:
    """Return every instance type that EC2 has somewhere."""
    from botocore.session import get_session

    model = get_session().get_service_model("ec2")
    return tuple(model.shape_for("InstanceType").enum)  # pyright: ignore[reportAttributeAccessIssue]


@cache
def families() -> tuple[str, ...]:
    """Return every instance family that EC2 has somewhere."""
    return tuple(sorted({each.partition(".")[0] for each in instance_types()}))


def zone_prefix(region: str) -> str:
    """Return how a region's zone ids begin: `usw2` for us-west-2, `apne1` for ap-northeast-1."""
    area, *words, number = region.split("-")
    return area + "".join(_DIRECTIONS.get(word, word[:1]) for word in words) + number


def region_of(zone: str) -> str:
    """Return the region of a zone id, empty where no region has such zones."""
    prefix = zone.rpartition("-")[0]
    return next((each for each in regions() if zone_prefix(each) == prefix), "")
