"""What a researcher may do at a site: submit jobs, follow them, end them, and use the data.

Knows each action and on what. Does not know who the researchers are, nor what runs in a job. Names
that a submitter has to keep to stand here too, since only they tell one environment from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.plan.iam.documents import LIMIT, Statement, document, fitting, size
from infra.plan.iam.jobs import PREFIXES, PULL, objects
from infra.plan.tags import ENVIRONMENT_TAG


def definition_prefix(environment: str, site: str) -> str:
    """Return what the names of a site's job definitions begin with.

    A definition carries a role, so those of another environment must not be within reach; the
    underscore, which no name of ours has, keeps `dev` from matching `dev-2`.
    """
    return f"ems-{environment}_{site}_"


def training_prefix(environment: str) -> str:
    """Return what the names of SageMaker's jobs, models and endpoints begin with; they may hold no
    underscore, so two hyphens keep environments apart."""
    return f"ems-{environment}--"


@dataclass(frozen=True)
class SubmitPlace:
    """A site as its researchers see it; names and ARNs, empty where the site has no such thing."""

    environment: str
    site: str
    region: str
    home: str
    """The region that keeps the environment's outputs."""
    account: str
    bucket: str
    queues: Sequence[str] = ()
    log_group: str = ""
    job_role: str = ""
    execution_role: str = ""
    repositories: Sequence[str] = ()
    sagemaker_role: str = ""
    cluster: str = ""

    def arn(self, service: str, what: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{what}"


def submit_document(name: str, place: SubmitPlace) -> str:
    """Return the policy of a site, as JSON that fits into one managed policy.

    Twenty queues by their ARNs would not: they are then named by how their names begin, which no
    other site's do.
    """
    policy = document(submit_policy(place))
    site = place.arn("batch", f"job-queue/{place.environment}-{place.site}-")
    if size(policy) > LIMIT and all(queue.startswith(site) for queue in place.queues):
        policy = document(submit_policy(replace(place, queues=(f"{site}*",))))
    return fitting(name, policy)


def submit_policy(place: SubmitPlace) -> list[Statement]:
    """Return all that a researcher may do at the site."""
    return [
        *(_batch(place) if place.queues else []),
        *(_sagemaker(place) if place.sagemaker_role else []),
        *objects((place.bucket,), PREFIXES),
        # whether a bucket is there is asked without a prefix; it lists names of all folders as well
        Statement("Head", ("s3:ListBucket",), (place.bucket,), {"Null": {"s3:prefix": "true"}}),
        Statement("Images", (*PULL, *_PUSH), place.repositories),
        *_logs(place),
        *_outputs(place),
        Statement("Look", _look(place), ("*",)),
    ]


def _look(place: SubmitPlace) -> list[str]:
    """What IAM bounds to no resource: what it tells changes nothing and holds no data."""
    return [
        *_LOOK,
        *(_FOLLOW if place.queues else ()),
        *(("ecr:GetAuthorizationToken",) if place.repositories else ()),
        *(("sagemaker:ListTrainingJobs",) if place.sagemaker_role else ()),
    ]


_LOOK = (
    # prices, and what could be had
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeSpotPriceHistory",
    "pricing:GetProducts",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
    "servicequotas:ListServiceQuotas",
    # whether the environment is still as its outputs say (`emsctl check`)
    "ecr:DescribeRepositories",
    "elasticfilesystem:DescribeAccessPoints",
    "elasticfilesystem:DescribeFileSystems",
    "elasticfilesystem:DescribeMountTargets",
    "logs:DescribeLogGroups",
)
_FOLLOW = (
    "batch:DescribeComputeEnvironments",
    "batch:DescribeJobDefinitions",
    "batch:DescribeJobQueues",
    "batch:DescribeJobs",
    "batch:DescribeSchedulingPolicies",
    "batch:ListJobs",
)
_PUSH = (
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImages",
    "ecr:InitiateLayerUpload",
    "ecr:ListImages",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)


def _batch(place: SubmitPlace) -> list[Statement]:
    jobs = place.arn("batch", "job/*")
    prefix = definition_prefix(place.environment, place.site)
    definitions = place.arn("batch", f"job-definition/{prefix}*")
    ours = {"StringEquals": {f"aws:RequestTag/{ENVIRONMENT_TAG}": place.environment}}
    theirs = {"StringEquals": {f"aws:ResourceTag/{ENVIRONMENT_TAG}": place.environment}}
    # A privileged container could read the credentials of its neighbours on the instance. A
    # definition of which Batch does not say whether it is privileged is refused like one that is.
    plain = {"Bool": {"batch:Privileged": "false"}}
    return [
        Statement("Submit", ("batch:SubmitJob",), (*place.queues, definitions, jobs), ours),
        Statement("Tag", ("batch:TagResource",), (jobs, definitions), ours),
        Statement("End", ("batch:CancelJob", "batch:TerminateJob"), (jobs,), theirs),
        Statement("Define", ("batch:RegisterJobDefinition",), (definitions,), plain),
        Statement("Undefine", ("batch:DeregisterJobDefinition",), (definitions,)),
        _pass("PassToJobs", (place.job_role, place.execution_role), "ecs-tasks.amazonaws.com"),
    ]


def _pass(sid: str, roles: Sequence[str], service: str) -> Statement:
    to = {"StringEquals": {"iam:PassedToService": service}}
    return Statement(sid, ("iam:PassRole",), roles, to)


def _sagemaker(place: SubmitPlace) -> list[Statement]:
    kinds = ("endpoint", "endpoint-config", "model", "training-job")
    named = [
        place.arn("sagemaker", f"{kind}/{training_prefix(place.environment)}*") for kind in kinds
    ]
    return [
        Statement("Train", _TRAIN, named),
        _pass("PassToTraining", (place.sagemaker_role,), "sagemaker.amazonaws.com"),
    ]


_TRAIN = (
    "sagemaker:AddTags",
    "sagemaker:CreateEndpoint",
    "sagemaker:CreateEndpointConfig",
    "sagemaker:CreateModel",
    "sagemaker:CreateTrainingJob",
    "sagemaker:DeleteEndpoint",
    "sagemaker:DeleteEndpointConfig",
    "sagemaker:DeleteModel",
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:DescribeTrainingJob",
    "sagemaker:InvokeEndpoint",
    "sagemaker:ListTags",
    "sagemaker:StopTrainingJob",
)


def _logs(place: SubmitPlace) -> list[Statement]:
    ours = (place.log_group, f"{place.log_group}:*") if place.queues else ()
    training = (place.arn("logs", "log-group:/aws/sagemaker/*"),) if place.sagemaker_role else ()
    read = ("logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents")
    return [Statement("Logs", read, (*ours, *training))]


def _outputs(place: SubmitPlace) -> list[Statement]:
    where = f"arn:aws:ssm:{place.home}:{place.account}"
    parameters = f"{where}:parameter/ems/{place.environment}"
    read = ("ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath")
    return [
        Statement("Outputs", read, (parameters, f"{parameters}/*")),
        Statement("Cluster", ("eks:DescribeCluster",), (place.cluster,) if place.cluster else ()),
    ]
