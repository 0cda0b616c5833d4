"""Sites and clusters that come and go, and what `protect` keeps of a site.

A site that is removed takes its data with it unless the environment is protected; then nothing of
it goes before somebody lets go of it, and what holds data stays in the cloud even so.
"""

from __future__ import annotations

import pytest

from tests.infra.environments.sky import small
from tests.infra.environments.steps import change, held, meant, told
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.left import left
from tests.rigs.sky.results import Result

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = [rig("pulumi"), pytest.mark.timeout(900)]

WEST, EAST = "us-west-2", "us-east-1"
VIRGINIA = {"region": EAST, "cidr": "10.17.0.0/16", "zones": ["use1-az1"], "batch": None}
OWN = """
    {op} ec2.Vpc: virginia-vpc
    {op} ec2.DefaultSecurityGroup: virginia-default
    {op} ec2.InternetGateway: virginia-internet
    {op} ec2.Subnet: virginia-private-use1-az1 virginia-public-use1-az1
    {op} ec2.RouteTable: virginia-private-use1-az1 virginia-public
    {op} ec2.RouteTableAssociation: virginia-private-use1-az1 virginia-public-use1-az1
    {op} ec2.Route: virginia-public-out
    {op} ec2.VpcEndpoint: virginia-s3
    {op} ec2.SecurityGroup: virginia-files-nfs virginia-jobs
    {op} vpc.SecurityGroupEgressRule: virginia-jobs-out
    {op} vpc.SecurityGroupIngressRule: virginia-jobs-each-other
        virginia-files-nfs-from-10.16.0.0-16 virginia-files-nfs-from-10.17.0.0-16
    {op} s3.Bucket: virginia-data
    {op} s3.BucketLifecycleConfiguration: virginia-data-lifecycle
    {op} s3.BucketOwnershipControls: virginia-data-ownership
    {op} s3.BucketPolicy: virginia-data-policy
    {op} s3.BucketPublicAccessBlock: virginia-data-public-access
    {op} s3.BucketServerSideEncryptionConfiguration: virginia-data-encryption
    {op} s3.BucketVersioning: virginia-data-versioning
    {op} efs.FileSystem: virginia-files
    {op} efs.BackupPolicy: virginia-files-backup
    {op} efs.AccessPoint: virginia-files-data virginia-files-scratch
    {op} efs.MountTarget: virginia-files-use1-az1
    {op} ecr.Repository: us-east-1-images-worker
    {op} ecr.LifecyclePolicy: us-east-1-images-worker-lifecycle
    {op} iam.Policy: submit-virginia
    {op} kms.Alias: us-east-1-alarms-alias
    {op} kms.Key: us-east-1-alarms-key
    {op} sns.Topic: us-east-1-alarms
    {op} sns.TopicPolicy: us-east-1-alarms-policy
    {op} ssm.Parameter: outputs-sites-virginia-images outputs-sites-virginia-network
        outputs-sites-virginia-site outputs-sites-virginia-storage
"""
"""What a site in a region of its own consists of."""
JOINED = """
    {op} ec2.VpcPeeringConnection: oregon-virginia-request
    {op} ec2.VpcPeeringConnectionAccepter: oregon-virginia-accept
    {op} ec2.PeeringConnectionOptions: oregon-virginia-oregon-names oregon-virginia-virginia-names
    {op} ec2.Route: oregon-private-usw2-az1-to-10.17.0.0-16 oregon-public-to-10.17.0.0-16
        virginia-private-use1-az1-to-10.16.0.0-16 virginia-public-to-10.16.0.0-16
    {op} vpc.SecurityGroupIngressRule: oregon-files-nfs-from-10.17.0.0-16
    update ssm.Parameter: outputs-stack
    update iam.RolePolicy: oregon-batch-job
"""
"""What joins it to the other one."""
HELD = {"s3", "efs", "ecr"}


def test_a_site_comes_and_a_protected_one_leaves_its_data(engine: Start, cloud: Cloud) -> None:
    sky = small(engine)
    sky.up()
    change(sky, {"sites.virginia": VIRGINIA})
    assert told(sky.up(), "small") == meant((OWN + JOINED).format(op="create"))

    change(sky, {"protect": True})
    assert told(sky.up(), "small") == meant(
        """
        update s3.Bucket: oregon-data virginia-data
        update ecr.Repository: us-west-2-images-worker us-east-1-images-worker
        """
    )
    before = left(cloud, [WEST, EAST])
    _refused(sky, {"sites.oregon.cidr": "10.99.0.0/16"}, "oregon-vpc", "oregon-files-usw2-az1")
    change(sky, {"sites.oregon.cidr": "10.16.0.0/16"})
    _refused(
        sky,
        {"sites.east": VIRGINIA, "sites.virginia": None},
        "virginia-data-policy",
        "virginia-files-data",
    )
    change(sky, {"sites.east": None})
    _refused(sky, {}, "virginia-data-policy", "virginia-files-use1-az1")
    assert left(cloud, [WEST, EAST]) == before
    _let_go(sky, cloud)


def _refused(sky: Engine, values: dict[str, object], *named: str) -> None:
    """What would take data away is refused as a person runs it: by the preview, before anything."""
    change(sky, values)
    said = sky.run("up", "--yes", check=False)
    assert said.code
    errors = {urn.split("::")[-1]: message for urn, message in said.errors if urn}
    for name in named:
        assert "protect" in errors[f"small-{name}"]


def _let_go(sky: Engine, cloud: Cloud) -> None:
    """Let go of all for one `up`: what the settings still have is protected anew by that."""
    before = held(cloud, WEST, EAST)
    sky.run("state", "unprotect", "--all", "--yes", "--stack", "small")
    assert told(sky.up(), "small") == meant((OWN + JOINED).format(op="delete"))
    assert held(cloud, WEST, EAST) == before
    kept = [line for line in left(cloud, [EAST]) if line.startswith(EAST)]
    assert {line.split()[1] for line in kept} == {"efs", "ecr"}
    public = cloud.client("s3").get_public_access_block(
        Bucket="ems-small-virginia-123456789012-us-east-1-an"
    )
    assert all(public["PublicAccessBlockConfiguration"].values()), "it stays closed"
    protected = {each["urn"].split("::")[-1] for each in sky.resources() if each.get("protect")}
    assert {"small-oregon-data", "small-oregon-files", "small-oregon-vpc"} <= protected


CLUSTER = """
    {op} eks.Cluster: oregon
    {op} eks.Addon: oregon-efs-csi
    {op} eks.PodIdentityAssociation: oregon-job
    {op} eks.AccessEntry: oregon-access-123456789012-user/moto
    {op} eks.AccessPolicyAssociation: oregon-admin-123456789012-user/moto
    {op} cloudwatch.LogGroup: oregon-control-logs
    {op} ec2.SecurityGroup: oregon-api
    {op} iam.Role: oregon-control oregon-efs oregon-job oregon-node
    {op} iam.RolePolicy: oregon-control-tags oregon-efs-mounts oregon-job-data
    {op} iam.RolePolicyAttachment: oregon-control-AmazonEKSBlockStoragePolicy
        oregon-control-AmazonEKSClusterPolicy oregon-control-AmazonEKSComputePolicy
        oregon-control-AmazonEKSLoadBalancingPolicy oregon-control-AmazonEKSNetworkingPolicy
        oregon-efs-AmazonEFSCSIDriverPolicy oregon-node-AmazonEC2ContainerRegistryPullOnly
        oregon-node-AmazonEKSWorkerNodeMinimalPolicy
    {op} ssm.Parameter: outputs-sites-oregon-kubernetes
    update ssm.Parameter: outputs-sites-oregon-site
    update iam.Policy: submit-oregon
"""
POOLS = {"pools": {"cpu": {"families": ["c7i"]}}}


def test_a_cluster_comes_and_goes(engine: Start, cloud: Cloud) -> None:
    sky = small(engine, zones=["usw2-az1", "usw2-az2"])
    sky.up()
    change(sky, {"sites.oregon.kubernetes": POOLS})
    assert _without_api_rule(sky.up()) == meant(CLUSTER.format(op="create"))
    change(sky, {"sites.oregon.kubernetes.version": "1.37"})
    assert told(sky.up(), "small") == meant("update eks.Cluster: oregon")
    change(sky, {"sites.oregon.kubernetes": None})
    assert _without_api_rule(sky.up()) == meant(CLUSTER.format(op="delete"))
    assert not sky.up().changes


def _without_api_rule(result: Result) -> dict[str, list[str]]:
    """One rule for each network that may call the API: here for the site's own."""
    found = told(result, "small")
    (rules,) = [found.pop(head) for head in list(found) if "SecurityGroupIngressRule" in head]
    assert len(rules) == 1
    return found


def test_another_network_moves_everything_but_the_data(engine: Start, cloud: Cloud) -> None:
    """In an environment that is not protected, a network can be changed while nothing runs."""
    sky = small(engine)
    sky.up()
    before = held(cloud, WEST)
    change(sky, {"sites.oregon.cidr": "10.99.0.0/16"})
    moved = told(sky.up(), "small")
    rule, group = "vpc.SecurityGroupIngressRule", "oregon-files-nfs-from"
    assert moved.pop(f"create {rule}") == [f"{group}-10.99.0.0-16"]
    assert moved.pop(f"delete {rule}") == [f"{group}-10.16.0.0-16"]
    assert {head.split()[0] for head in moved} == {"replace", "update"}
    assert moved["replace ec2.Vpc"] == ["oregon-vpc"]
    assert moved["update batch.ComputeEnvironment"] == ["oregon-batch-c7i-xlarge-spot"]
    replaced = {head.split()[1] for head in moved if head.startswith("replace")}
    assert not {kind for kind in replaced if kind.split(".")[0] in HELD} - {"efs.MountTarget"}
    assert held(cloud, WEST) == before


def test_a_joined_site_gets_another_name(engine: Start, cloud: Cloud) -> None:
    """Its network stays, so the other one's routes lead to it as they did, by the new peering."""
    plain = {"batch": None, "storage": {"file_system": False}, "images": []}
    sky = small(engine, **plain)
    other = {**plain, "region": WEST, "cidr": "10.17.0.0/16", "zones": ["usw2-az1"]}
    change(sky, {"sites.texas": other})
    sky.up()
    change(sky, {"sites.texas": None, "sites.utah": other})
    result = sky.up()
    route = result.step("small-oregon-public-to-10.17.0.0-16")
    assert (route.op, route.changed) == ("update", ("vpcPeeringConnectionId",))
    assert not sky.up().changes
