"""What the role that deploys an environment may do, and the boundaries that it can't leave.

Two boundaries an environment: one for the deploy role itself, one for every role that it makes, so
that it can't give away more than it has. Knows names by which an environment's things are told
from another's: all begin with the environment's name. Actions stand in `services.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.plan.iam import jobs, services
from infra.plan.iam.documents import Conditions, Statement
from infra.plan.tags import ENVIRONMENT_TAG

PASSED_TO = (
    "backup.amazonaws.com",
    "batch.amazonaws.com",
    "ec2.amazonaws.com",
    "ecs-tasks.amazonaws.com",
    "eks.amazonaws.com",
    "pods.eks.amazonaws.com",
    "sagemaker.amazonaws.com",
)
"""The services that an environment's roles are handed to."""

LINKED = (
    "autoscaling.amazonaws.com",
    "backup.amazonaws.com",
    "batch.amazonaws.com",
    "ecs.amazonaws.com",
    "eks.amazonaws.com",
    "elasticfilesystem.amazonaws.com",
    "s2svpn.amazonaws.com",
    "spot.amazonaws.com",
)
"""The services that make their own role when they are first used."""


def deploy_role_name(environment: str) -> str:
    """Return the name of an environment's deploy role: CI names it, so it is fixed."""
    return f"ems-{environment}-deploy"


def deploy_boundary_name(environment: str) -> str:
    """Return the name of the deploy role's boundary: the document names it, so it is fixed."""
    return f"ems-{environment}-deploy-boundary"


def workload_boundary_name(environment: str) -> str:
    """Return the name of the boundary that every role of an environment carries."""
    return f"ems-{environment}-workload-boundary"


@dataclass(frozen=True)
class DeployPlace:
    """An environment, seen from its account."""

    environment: str
    account: str
    state_bucket: str
    """ARN."""
    state_key: str
    """ARN."""
    regions: Sequence[str] = ()
    """Where the environment may make anything; none: everywhere."""

    def arn(self, service: str, what: str) -> str:
        return f"arn:aws:{service}:*:{self.account}:{what}"

    def arns(self, service: str, kinds: Sequence[str]) -> list[str]:
        return [self.arn(service, kind.format(self.environment)) for kind in kinds]

    def iam(self, what: str) -> str:
        return f"arn:aws:iam::{self.account}:{what}"

    @property
    def workload_boundary(self) -> str:
        return self.iam(f"policy/{workload_boundary_name(self.environment)}")

    @property
    def inside(self) -> Conditions:
        """Only in the environment's regions."""
        if not self.regions:
            return {}
        return {"StringEquals": {"aws:RequestedRegion": list(self.regions)}}

    @property
    def owned(self) -> Conditions:
        """And nothing that carries another environment's tag; what carries none is a lab's own."""
        tag = {f"aws:ResourceTag/{ENVIRONMENT_TAG}": self.environment}
        return {**self.inside, "StringEqualsIfExists": tag}


PARTS = ("roles", "network", "data", "compute")


def deploy_policies(place: DeployPlace) -> dict[str, list[Statement]]:
    """Return all that deploying the environment takes, by the name of the policy that holds it.

    One managed policy is too small for all of it. Parts by subject keep their names when one of
    them grows; parts filled one after the other would all move.
    """
    return {
        "roles": [*_state(place), *_roles(place)],
        "network": _network(place),
        "data": _data(place),
        "compute": _compute(place),
    }


def _state(place: DeployPlace) -> list[Statement]:
    """The engine's state of this environment's stacks, of every program, and of no other's."""
    env, root = place.environment, f"{place.state_bucket}/.pulumi"
    files = [
        f"{root}/stacks/*/{env}.json*",
        f"{root}/history/*/{env}/*",
        f"{root}/backups/*/{env}/*",
        f"{root}/locks/organization/*/{env}/*",
    ]
    keys = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey")
    return [
        Statement("StateList", ("s3:GetBucketLocation", "s3:ListBucket"), (place.state_bucket,)),
        Statement("StateMeta", ("s3:GetObject",), (f"{root}/meta.yaml", f"{root}/Pulumi.yaml")),
        Statement("State", ("s3:DeleteObject", "s3:GetObject", "s3:PutObject"), files),
        Statement("StateKey", keys, (place.state_key,)),
    ]


def _roles(place: DeployPlace) -> list[Statement]:
    env = place.environment
    roles = (place.iam(f"role/{env}-*"),)
    bounded = {"StringEquals": {"iam:PermissionsBoundary": place.workload_boundary}}
    passed = {"StringEquals": {"iam:PassedToService": list(PASSED_TO)}}
    linked = place.iam("role/aws-service-role/*")
    by_service = {"StringEquals": {"iam:AWSServiceName": list(LINKED)}}
    return [
        # itself, to find the role behind a session; a service's own, to see whether it is there
        Statement("Known", ("iam:GetRole",), (place.iam(f"role/{deploy_role_name(env)}"), linked)),
        Statement("RolesMade", services.ROLES_MADE, roles, bounded),
        Statement("RolesGranted", services.ROLES_GRANTED, roles, bounded),
        Statement("RolesKept", services.ROLES_KEPT, roles),
        Statement("RolesPassed", ("iam:PassRole",), roles, passed),
        Statement("Profiles", services.PROFILES, (place.iam(f"instance-profile/{env}-*"), *roles)),
        Statement("Policies", services.POLICIES, (place.iam(f"policy/{env}-*"),)),
        Statement("ServiceRoles", ("iam:CreateServiceLinkedRole",), (linked,), by_service),
    ]


def _network(place: DeployPlace) -> list[Statement]:
    return [
        Statement("Network", services.NETWORK, ("*",), place.owned),
        Statement("PrivateNames", services.NAMES, ("*",)),
        Statement("Look", services.LOOK, ("*",)),
        Statement(
            "Secrets", services.SECRETS, place.arns("secretsmanager", _SECRETS), place.inside
        ),
    ]


def _data(place: DeployPlace) -> list[Statement]:
    buckets = f"arn:aws:s3:::ems-{place.environment}-*"
    images = place.arns("ecr", ("repository/{}/*",))
    return [
        Statement("Buckets", services.BUCKETS, (buckets, f"{buckets}/*"), place.inside),
        Statement("Files", services.FILES, place.arns("elasticfilesystem", _FILES), place.owned),
        Statement("Backups", services.BACKUPS, place.arns("backup", _BACKUPS), place.owned),
        Statement("Images", services.IMAGES, images, place.inside),
        Statement("Keys", services.KEYS, place.arns("kms", ("key/*", "alias/*")), place.owned),
        Statement("Parameters", services.PARAMETERS, (*place.arns("ssm", _PARAMETERS), _PUBLIC)),
    ]


def _compute(place: DeployPlace) -> list[Statement]:
    inside, budgets = place.inside, f"arn:aws:budgets::{place.account}:budget"
    return [
        Statement("Logs", services.LOGS, place.arns("logs", _LOGS), inside),
        Statement("LogDelivery", services.LOG_DELIVERY, ("*",), inside),
        Statement("Queues", services.QUEUES, place.arns("batch", _QUEUES), inside),
        Statement("Clusters", services.CLUSTERS, place.arns("eks", _CLUSTERS), inside),
        Statement("Alarms", services.ALARMS, place.arns("cloudwatch", ("alarm:{}-*",)), inside),
        Statement("Topics", services.TOPICS, place.arns("sns", ("{}-*",)), inside),
        Statement("Budgets", services.BUDGETS, (f"{budgets}/{place.environment}-*",)),
    ]


_BACKUPS = ("backup-plan:*", "backup-vault:*")
_LOGS = ("log-group:{}-*", "log-group:/aws/eks/{}-*")
_PARAMETERS = ("parameter/ems/{}", "parameter/ems/{}/*")
_PUBLIC = "arn:aws:ssm:*::parameter/aws/service/*"
_FILES = ("access-point/*", "file-system/*")
_QUEUES = ("compute-environment/{}-*", "job-queue/{}-*", "scheduling-policy/{}-*")
_CLUSTERS = ("access-entry/{}-*", "addon/{}-*", "cluster/{}-*", "podidentityassociation/{}-*")
_SECRETS = ("secret:s2svpn*",)


def deploy_boundary(place: DeployPlace) -> list[Statement]:
    """Return the most that the deploy role may ever do, whatever policies somebody gives it."""
    made = [each for part in deploy_policies(place).values() for each in part]
    kinds = sorted({action.split(":")[0] for each in made for action in each.actions} - {"iam"})
    linked = (place.iam("role/aws-service-role/*"),)
    own = [
        place.iam(f"{kind}/{place.environment}-*")
        for kind in ("role", "policy", "instance-profile")
    ]
    return [
        Statement("Services", [f"{kind}:*" for kind in kinds], ("*",)),
        Statement("Own", ("iam:*",), own),
        Statement("Look", ("iam:Get*", "iam:List*"), ("*",)),
        Statement("ServiceRoles", ("iam:CreateServiceLinkedRole",), linked),
        *_no_way_out(place),
    ]


def _no_way_out(place: DeployPlace) -> list[Statement]:
    guarded = [place.iam(f"{kind}/ems-*") for kind in ("role", "policy")]
    unbounded = {"StringNotEquals": {"iam:PermissionsBoundary": place.workload_boundary}}
    state = (place.state_bucket, f"{place.state_bucket}/*")
    denied = {
        "NotTheGuards": (_IAM_CHANGES, guarded),
        "NoUnbinding": (("iam:DeleteRolePermissionsBoundary",), ("*",)),
        "NotTheState": (_STATE_CHANGES, state),
        "NotTheStateKey": (_KEY_CHANGES, (place.state_key,)),
        "NoSecretsRead": (("secretsmanager:GetSecretValue",), ("*",)),
    }
    return [
        Statement("NoWiderRole", services.ROLES_MADE, ("*",), unbounded, effect="Deny"),
        *(Statement(sid, *what, effect="Deny") for sid, what in denied.items()),
    ]


_STATE_CHANGES = ("s3:DeleteBucket*", "s3:DeleteObjectVersion", "s3:PutBucket*", "s3:PutLifecycle*")
_KEY_CHANGES = ("kms:Disable*", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion")
_IAM_CHANGES = [
    f"iam:{verb}*"
    for verb in (
        *("Add", "Attach", "Create", "Delete", "Detach", "Pass", "Put", "Remove", "Set", "Tag"),
        *("Untag", "Update"),
    )
]


def workload_boundary(place: DeployPlace) -> list[Statement]:
    """Return the most that any role of the environment may ever do: its jobs, its clusters, its
    researchers. None of them touches IAM, but to hand the environment's own roles on."""
    ours = place.iam(f"role/{place.environment}-*")
    passed = {"StringEquals": {"iam:PassedToService": [*PASSED_TO]}}
    profiles = place.iam("instance-profile/eks-*")
    return [
        Statement("Services", [f"{kind}:*" for kind in _WORK], ("*",)),
        Statement("Passed", ("iam:PassRole",), (ours,), passed),
        # EKS's Auto Mode makes the instance profile of its nodes with the cluster's role
        Statement("Profiles", _NODE_PROFILES, (profiles, ours)),
        Statement("Key", ("kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"), ("*",)),
        Statement("Secrets", ("secretsmanager:GetSecretValue",), _job_secrets(place)),
        Statement("Closed", _CLOSED, ("*",), effect="Deny"),
        Statement(
            "NotTheState",
            ("s3:*",),
            (place.state_bucket, f"{place.state_bucket}/*"),
            effect="Deny",
        ),
    ]


def _job_secrets(place: DeployPlace) -> list[str]:
    return [jobs.secrets(place.environment, "*", place.account)]


_WORK = (
    "autoscaling",
    "backup",
    "backup-storage",
    "batch",
    "cloudwatch",
    "ec2",
    "ec2messages",
    "ecr",
    "ecs",
    "eks",
    "eks-auth",
    "elasticfilesystem",
    "elasticloadbalancing",
    "logs",
    "pricing",
    "s3",
    "sagemaker",
    "servicequotas",
    "ssm",
    "tag",
)
_NODE_PROFILES = (
    "iam:AddRoleToInstanceProfile",
    "iam:CreateInstanceProfile",
    "iam:DeleteInstanceProfile",
    "iam:GetInstanceProfile",
    "iam:ListInstanceProfiles",
    "iam:RemoveRoleFromInstanceProfile",
    "iam:TagInstanceProfile",
)
_CLOSED = (
    "batch:DeleteComputeEnvironment",
    "batch:DeleteJobQueue",
    "ec2:AcceptVpcPeeringConnection",
    "ec2:CreateVpc*",
    "ec2:CreateVpn*",
    "ec2:DeleteVpc*",
    "ec2:DeleteVpn*",
    "ec2:ModifyVpn*",
    "ecr:DeleteRepository",
    "eks:DeleteCluster",
    "elasticfilesystem:DeleteFileSystem",
    "s3:DeleteBucket*",
    "s3:DeleteObjectVersion",
    "s3:PutBucket*",
)
"""What no job and no researcher has any reason to do, whoever lets them."""
