"""A cluster on the real engine: what AWS is asked for, in which order, and what a change does.

One stack serves all tests that only look; those that change something share another, each from what
the one before it left: `up` takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.eks import handover
from infra.eks.networks import SERVICE_NETWORK
from tests.infra.eks import program
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.project import Project

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = rig("pulumi")

PROGRAM = "from tests.infra.eks.program import deploy\n\ndeploy()\n"
NAME = "dev-oregon"
RESEARCHERS = f"arn:aws:iam::{program.ACCOUNT}:role/researchers"
OTHER = f"arn:aws:iam::{program.ACCOUNT}:role/path/other"
THIRD = f"arn:aws:iam::{program.ACCOUNT}:role/third"
CLUSTER = "aws:eks/cluster:Cluster"
ENTRY = "aws:eks/accessEntry:AccessEntry"
ASSOCIATION = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
ADDON = "aws:eks/addon:Addon"
POLICY = "aws:iam/rolePolicy:RolePolicy"
LAB = {"lab-usc-0": "10.0.0.0/16"}


def _config(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "settings": {"admins": [OTHER, program.DEPLOYER], "version": "1.35"},
        "clients": LAB,
        "files": True,
        "tags": {"team": "a"},
        "researchers": RESEARCHERS,
    }
    return {f"eks:{key}": value for key, value in {**config, **changes}.items()}


def _inputs(stack: Engine, kind: str) -> dict[str, dict[str, Any]]:
    return {
        one["urn"].split("::")[-1]: one["inputs"]
        for one in stack.resources()
        if one["type"] == kind
    }


def _listed(value: str | list[str]) -> list[str]:
    """Return what IAM takes as one or as a list, as a list."""
    return [value] if isinstance(value, str) else value


def _statements(document: str) -> list[dict[str, Any]]:
    return json.loads(document)["Statement"]


def _done(stack: Engine, op: str) -> list[str]:
    return [entry.name for entry in stack.journal() if (entry.op, entry.when) == (op, "done")]


@pytest.fixture(scope="module")
def own_cloud() -> Iterator[Cloud]:
    """A cloud that lasts as long as the module."""
    with Cloud() as started:
        yield started


@pytest.fixture(scope="module")
def stack(own_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A stack whose cluster is up, for tests that look and change nothing."""
    folder = tmp_path_factory.mktemp("eks") / "engine"
    with Engine(folder, own_cloud, Project.inline(PROGRAM), config=_config()) as made:
        made.preview()
        made.up()
        yield made


# ---------------------------------------------------------------------------------- what is made
def test_auto_mode_is_asked_for_as_a_whole(stack: Engine) -> None:
    wanted = _inputs(stack, CLUSTER)[NAME]
    assert wanted["computeConfig"]["enabled"]
    assert wanted["computeConfig"]["nodePools"] == ["general-purpose", "system"]
    assert wanted["storageConfig"]["blockStorage"]["enabled"]
    assert wanted["kubernetesNetworkConfig"]["elasticLoadBalancing"]["enabled"]
    assert wanted["bootstrapSelfManagedAddons"] is False
    assert wanted["accessConfig"]["authenticationMode"] == "API"
    assert wanted["accessConfig"]["bootstrapClusterCreatorAdminPermissions"] is False
    assert wanted["upgradePolicy"]["supportType"] == "STANDARD"


def test_the_control_plane_stands_after_its_roles_and_its_log_group(stack: Engine) -> None:
    done = _done(stack, "create")
    before = done[: done.index(NAME)]
    assert f"{NAME}-control-logs" in before
    for policy in ("Cluster", "Compute", "BlockStorage", "LoadBalancing", "Networking"):
        assert f"{NAME}-control-AmazonEKS{policy}Policy" in before
    for policy in ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly"):
        assert f"{NAME}-node-{policy}" in before


def test_the_log_group_ends_what_it_keeps(stack: Engine, own_cloud: Cloud) -> None:
    found = own_cloud.client("logs", program.REGION).describe_log_groups()["logGroups"]
    assert [(one["logGroupName"], one["retentionInDays"]) for one in found] == [
        (f"/aws/eks/{NAME}/cluster", 30)
    ]


def test_roles_are_trusted_with_session_tags(stack: Engine, own_cloud: Cloud) -> None:
    found = {
        role["RoleName"].removeprefix(f"{NAME}-").rsplit("-", 1)[0]: (
            role["AssumeRolePolicyDocument"]["Statement"][0]
        )
        for role in own_cloud.client("iam").list_roles()["Roles"]
    }
    trusted = {
        key: (one["Principal"]["Service"], _listed(one["Action"])) for key, one in found.items()
    }
    both = ["sts:AssumeRole", "sts:TagSession"]
    assert trusted == {
        "control": ("eks.amazonaws.com", both),
        "node": ("ec2.amazonaws.com", ["sts:AssumeRole"]),
        "job": ("pods.eks.amazonaws.com", both),
        "efs": ("pods.eks.amazonaws.com", both),
    }


def test_only_who_is_named_administers_it_and_nobody_twice(stack: Engine) -> None:
    named = sorted([OTHER, program.DEPLOYER])
    admins = [one["principalArn"] for one in _inputs(stack, ASSOCIATION).values()]
    assert sorted(admins) == named
    entries = [one["principalArn"] for one in _inputs(stack, ENTRY).values()]
    assert sorted(entries) == sorted([*named, RESEARCHERS])


def test_researchers_come_in_as_a_group(stack: Engine) -> None:
    entry = _inputs(stack, ENTRY)[f"{NAME}-access-researchers"]
    assert entry["kubernetesGroups"] == [handover.RESEARCHERS]


def test_labs_and_joined_sites_reach_the_private_endpoint(stack: Engine, own_cloud: Cloud) -> None:
    ec2 = own_cloud.client("ec2", program.REGION)
    eks = own_cloud.client("eks", program.REGION)
    config = eks.describe_cluster(name=NAME)["cluster"]["resourcesVpcConfig"]
    assert (config["endpointPrivateAccess"], config["endpointPublicAccess"]) == (True, False)
    groups = ec2.describe_security_groups(GroupIds=config["securityGroupIds"])["SecurityGroups"]
    allowed = {
        (one["FromPort"], one["ToPort"], network["CidrIp"])
        for group in groups
        for one in group["IpPermissions"]
        for network in one["IpRanges"]
    }
    assert allowed == {(443, 443, network) for network in (program.CIDR, "10.0.0.0/16")}


def test_the_one_add_on_is_the_driver_of_the_file_system(stack: Engine) -> None:
    [addon] = _inputs(stack, ADDON).values()
    assert addon["addonName"] == "aws-efs-csi-driver"
    accounts = {one["serviceAccount"] for one in addon["podIdentityAssociations"]}
    assert accounts == {"efs-csi-controller-sa", "efs-csi-node-sa"}
    mounts = _statements(_inputs(stack, POLICY)[f"{NAME}-efs-mounts"]["policy"])
    assert [one["Resource"] for one in mounts] == [program.FILES]


def test_jobs_have_a_role_by_pod_identity(stack: Engine) -> None:
    kind = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
    [association] = _inputs(stack, kind).values()
    assert association["namespace"] == "ems"
    assert association["serviceAccount"] == handover.SERVICE_ACCOUNT
    assert association["roleArn"] == stack.outputs()["job_role"]
    data = _statements(_inputs(stack, POLICY)[f"{NAME}-job-data"]["policy"])
    named = [one["Resource"] for one in data]
    assert all(json.dumps(one).count(program.BUCKET) for one in named)


def test_the_clusters_own_program_learns_what_it_must_name(stack: Engine, own_cloud: Cloud) -> None:
    given = handover.read(stack.outputs()[handover.OUTPUT])["oregon"]
    vpcs = own_cloud.client("ec2", program.REGION).describe_subnets(SubnetIds=given.subnets)
    assert {one["AvailabilityZoneId"] for one in vpcs["Subnets"]} == set(program.ZONES)
    # without NAT, nodes reach nothing from private subnets
    assert all(one["MapPublicIpOnLaunch"] for one in vpcs["Subnets"])
    assert given.cluster == NAME
    assert given.node_role.startswith(f"{NAME}-node")
    assert (given.namespace, given.service_account) == ("ems", handover.SERVICE_ACCOUNT)
    assert (given.file_system, given.access_point) == ("fs-0123456789abcdef0", "fsap-01")
    assert given.clients == {NAME: program.CIDR, **LAB}
    assert given.tags == {"team": "a"}


# ------------------------------------------------------------------------------ what a change does
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_changes_are_made_in_place_and_all_of_it_goes(engine: Start, cloud: Cloud) -> None:
    stack = engine(PROGRAM, config=_config(tags={}, files=False, protect=True))
    stack.up()
    stack.nothing_to_do()
    assert not _inputs(stack, ADDON)
    assert f"{NAME}-control-tags" not in _inputs(stack, POLICY)
    _small_changes(stack, cloud)
    # it is protected until the settings say otherwise
    refused = stack.run("destroy", "--preview-only", check=False)
    assert refused.code != 0
    assert "protect" in refused.shown()
    stack.configure({"eks:protect": False})
    assert not stack.up().changes
    _taken_away(stack, cloud)


def _small_changes(stack: Engine, cloud: Cloud) -> None:
    settings = {
        "version": "1.36",
        "admins": [OTHER, program.DEPLOYER],
        "public_access_from": ["203.0.113.0/24"],
    }
    stack.configure(
        {
            "eks:settings": settings,
            "eks:clients": {**LAB, "peer-virginia": "10.32.0.0/16"},
            "eks:tags": {"team": "a"},
            # another one that deploys takes nobody's place where the administrators are named
            "eks:deployer": THIRD,
        }
    )
    result = stack.up()
    assert result.names("update") == [NAME]
    assert result.names("create") == [f"{NAME}-api-from-10.32.0.0-16", f"{NAME}-control-tags"]
    assert not result.names("replace", "delete")
    policy = _inputs(stack, POLICY)[f"{NAME}-control-tags"]["policy"]
    sids = {one["Sid"] for one in _statements(policy)}
    assert sids == {"Compute", "Storage", "Networking", "LoadBalancer"}
    found = cloud.client("eks", program.REGION).describe_cluster(name=NAME)["cluster"]
    config = found["resourcesVpcConfig"]
    assert (config["endpointPrivateAccess"], config["endpointPublicAccess"]) == (True, True)
    assert config["publicAccessCidrs"] == ["203.0.113.0/24"]
    # a zone more is no other cluster, and neither is a file system
    stack.configure({"eks:zones": ["usw2-az1", "usw2-az2", "usw2-az3"], "eks:files": True})
    result = stack.up()
    assert NAME in result.names("update")
    assert f"{NAME}-efs-csi" in result.names("create")
    assert not result.names("replace", "delete")


def _taken_away(stack: Engine, cloud: Cloud) -> None:
    stack.configure({"eks:settings": None})
    result = stack.up()
    assert NAME in result.names("delete")
    assert {step.op for step in result.changes} == {"delete"}
    gone = _done(stack, "delete")
    assert gone.index(NAME) < gone.index(f"{NAME}-control-AmazonEKSComputePolicy")
    assert gone.index(NAME) < gone.index(f"{NAME}-control-logs")
    assert cloud.client("eks", program.REGION).list_clusters()["clusters"] == []
    assert cloud.client("iam").list_roles()["Roles"] == []
    logs = cloud.client("logs", program.REGION)
    assert logs.describe_log_groups()["logGroups"] == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"zones": ["usw2-az1"]}, "needs subnets in two zones"),
        ({"clients": {"lab-x-0": SERVICE_NETWORK}}, "pods could not reach it"),
    ],
)
def test_what_can_not_work_is_refused_in_the_preview(
    engine: Start, config: dict[str, Any], said: str
) -> None:
    result = engine(PROGRAM, config=_config(**config)).preview(check=False)
    assert result.code != 0
    assert said in result.shown()
