"""What each change of settings does, whole: every resource that is made, changed or goes.

Changes follow each other on one stack; each is a line of a table (`Change`) and one `up`. Nothing
that holds data may be replaced by any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.infra.environments.sky import small
from tests.infra.environments.steps import change, held, meant, told
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.results import Result

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = [rig("pulumi"), pytest.mark.timeout(900)]

REGION, ELSEWHERE = "us-west-2", "us-east-1"
BUCKET = "ems-small-oregon-123456789012-us-west-2-an"
C7I = {"type": "c7i.xlarge", "max_vcpus": 16}
G5 = {"type": "g5.xlarge", "max_vcpus": 16}
LAB = {"address": "203.0.113.10", "networks": ["192.168.10.0/24"], "sites": ["oregon"]}


@dataclass(frozen=True)
class Change:
    """A change of settings by dotted path, and all that it does."""

    title: str
    settings: Mapping[str, Any]
    does: str


NETWORK = [
    Change(
        "a zone is added",
        {"sites.oregon.zones": ["usw2-az1", "usw2-az2"]},
        """
        create ec2.Subnet: oregon-public-usw2-az2 oregon-private-usw2-az2
        create ec2.RouteTable: oregon-private-usw2-az2
        create ec2.RouteTableAssociation: oregon-public-usw2-az2 oregon-private-usw2-az2
        create efs.MountTarget: oregon-files-usw2-az2
        update ec2.VpcEndpoint: oregon-s3
        update batch.ComputeEnvironment: oregon-batch-c7i-xlarge-spot
        update ssm.Parameter: outputs-sites-oregon-network outputs-sites-oregon-storage
        """,
    ),
    Change(
        "NAT: jobs move into private subnets",
        {"sites.oregon.nat": "one"},
        """
        create ec2.Eip: oregon-nat-usw2-az1
        create ec2.NatGateway: oregon-nat-usw2-az1
        create ec2.Route: oregon-private-usw2-az1-out oregon-private-usw2-az2-out
        update ec2.Subnet: oregon-public-usw2-az1 oregon-public-usw2-az2
        update batch.ComputeEnvironment: oregon-batch-c7i-xlarge-spot
        update ssm.Parameter: outputs-sites-oregon-network
        """,
    ),
    Change(
        "a NAT gateway in each zone",
        {"sites.oregon.nat": "zone"},
        """
        create ec2.Eip: oregon-nat-usw2-az2
        create ec2.NatGateway: oregon-nat-usw2-az2
        update ec2.Route: oregon-private-usw2-az2-out
        """,
    ),
    Change(
        "interface endpoints",
        {"sites.oregon.endpoints": ["ecr.api", "logs"]},
        """
        create ec2.SecurityGroup: oregon-endpoints-group
        create vpc.SecurityGroupIngressRule: oregon-endpoints-https
        create ec2.VpcEndpoint: oregon-endpoints-ecr.api oregon-endpoints-logs
        """,
    ),
    Change(
        "flow logs",
        {"sites.oregon.flow_logs": True},
        "create ec2.FlowLog: oregon-flow-logs",
    ),
    Change(
        "NAT, endpoints and flow logs off again",
        {
            "sites.oregon.nat": None,
            "sites.oregon.endpoints": None,
            "sites.oregon.flow_logs": None,
        },
        """
        delete ec2.Eip: oregon-nat-usw2-az1 oregon-nat-usw2-az2
        delete ec2.NatGateway: oregon-nat-usw2-az1 oregon-nat-usw2-az2
        delete ec2.Route: oregon-private-usw2-az1-out oregon-private-usw2-az2-out
        delete ec2.SecurityGroup: oregon-endpoints-group
        delete vpc.SecurityGroupIngressRule: oregon-endpoints-https
        delete ec2.VpcEndpoint: oregon-endpoints-ecr.api oregon-endpoints-logs
        delete ec2.FlowLog: oregon-flow-logs
        update ec2.Subnet: oregon-public-usw2-az1 oregon-public-usw2-az2
        update batch.ComputeEnvironment: oregon-batch-c7i-xlarge-spot
        update ssm.Parameter: outputs-sites-oregon-network
        """,
    ),
    Change(
        "a lab is added",
        {"labs.usc": LAB},
        """
        create ec2.VpnGateway: oregon-vpn-gateway
        create ec2.VpnGatewayAttachment: oregon-vpn-attached
        create ec2.VpnGatewayRoutePropagation: oregon-vpn-public
            oregon-vpn-private-usw2-az1 oregon-vpn-private-usw2-az2
        create ec2.CustomerGateway: oregon-usc-device
        create ec2.VpnConnection: oregon-usc-connection
        create ec2.VpnConnectionRoute: oregon-usc-192.168.10.0-24
        create cloudwatch.MetricAlarm: oregon-usc-down
        create vpc.SecurityGroupIngressRule: oregon-files-nfs-from-192.168.10.0-24
        create ssm.Parameter: outputs-labs-usc
        update ssm.Parameter: outputs-stack
        """,
    ),
    Change(
        "the lab gets another name: its tunnels are others, who may mount stays",
        {"labs": {"sc": LAB}},
        """
        create ec2.CustomerGateway: oregon-sc-device
        create ec2.VpnConnection: oregon-sc-connection
        create ec2.VpnConnectionRoute: oregon-sc-192.168.10.0-24
        create cloudwatch.MetricAlarm: oregon-sc-down
        create ssm.Parameter: outputs-labs-sc
        update vpc.SecurityGroupIngressRule: oregon-files-nfs-from-192.168.10.0-24
        update ssm.Parameter: outputs-stack
        delete ec2.CustomerGateway: oregon-usc-device
        delete ec2.VpnConnection: oregon-usc-connection
        delete ec2.VpnConnectionRoute: oregon-usc-192.168.10.0-24
        delete cloudwatch.MetricAlarm: oregon-usc-down
        delete ssm.Parameter: outputs-labs-usc
        """,
    ),
    Change(
        "the lab's address changes: the connection and its keys stay",
        {"labs.sc.address": "203.0.113.11"},
        """
        replace ec2.CustomerGateway: oregon-sc-device
        update ec2.VpnConnection: oregon-sc-connection
        update ssm.Parameter: outputs-labs-sc
        """,
    ),
    Change(
        "the lab is removed",
        {"labs": None},
        """
        delete ec2.VpnGateway: oregon-vpn-gateway
        delete ec2.VpnGatewayAttachment: oregon-vpn-attached
        delete ec2.VpnGatewayRoutePropagation: oregon-vpn-public
            oregon-vpn-private-usw2-az1 oregon-vpn-private-usw2-az2
        delete ec2.CustomerGateway: oregon-sc-device
        delete ec2.VpnConnection: oregon-sc-connection
        delete ec2.VpnConnectionRoute: oregon-sc-192.168.10.0-24
        delete cloudwatch.MetricAlarm: oregon-sc-down
        delete vpc.SecurityGroupIngressRule: oregon-files-nfs-from-192.168.10.0-24
        delete ssm.Parameter: outputs-labs-sc
        update ssm.Parameter: outputs-stack
        """,
    ),
]


def test_networks_and_labs(engine: Start, cloud: Cloud) -> None:
    sky = small(engine)
    for _ in _each(sky, cloud, NETWORK):
        pass


FAIR = "oregon-batch-c7i-xlarge-on-demand-fair oregon-batch-c7i-xlarge-spot-fair"
QUEUES = [
    Change(
        "an instance type is added",
        {"sites.oregon.batch.queues": [C7I, G5]},
        """
        create batch.ComputeEnvironment: oregon-batch-g5-xlarge-spot
        create batch.JobQueue: oregon-batch-g5-xlarge-spot-fair
        create ssm.Parameter: outputs-sites-oregon-queues-g5-xlarge-spot
        update ssm.Parameter: outputs-sites-oregon-batch
        update iam.Policy: submit-oregon
        """,
    ),
    Change(
        "a market is added, and the order in the list is another",
        {"sites.oregon.batch.queues": [G5, {**C7I, "markets": ["spot", "on-demand"]}]},
        """
        create batch.ComputeEnvironment: oregon-batch-c7i-xlarge-on-demand
        create batch.JobQueue: oregon-batch-c7i-xlarge-on-demand-fair
        create ssm.Parameter: outputs-sites-oregon-queues-c7i-xlarge-on-demand
        update ssm.Parameter: outputs-sites-oregon-batch
        update iam.Policy: submit-oregon
        """,
    ),
    Change(
        "an instance type is removed, the other gets more vCPUs",
        {"sites.oregon.batch.queues": [{**C7I, "markets": ["spot", "on-demand"], "max_vcpus": 32}]},
        """
        update batch.ComputeEnvironment: oregon-batch-c7i-xlarge-on-demand
            oregon-batch-c7i-xlarge-spot
        update ssm.Parameter: outputs-sites-oregon-batch
            outputs-sites-oregon-queues-c7i-xlarge-on-demand
            outputs-sites-oregon-queues-c7i-xlarge-spot
        update iam.Policy: submit-oregon
        delete batch.ComputeEnvironment: oregon-batch-g5-xlarge-spot
        delete batch.JobQueue: oregon-batch-g5-xlarge-spot-fair
        delete ssm.Parameter: outputs-sites-oregon-queues-g5-xlarge-spot
        """,
    ),
    Change(
        "the launch template changes",
        {"sites.oregon.batch.disk_gib": 200},
        """
        update ec2.LaunchTemplate: oregon-batch-instances
        update batch.ComputeEnvironment: oregon-batch-c7i-xlarge-on-demand
            oregon-batch-c7i-xlarge-spot
        """,
    ),
    Change(
        "the image is another",
        {"sites.oregon.batch.image_version": "ami-0123456789abcdef0"},
        """
        update batch.ComputeEnvironment: oregon-batch-c7i-xlarge-on-demand
            oregon-batch-c7i-xlarge-spot
        """,
    ),
    Change(
        "how long jobs wait, and how shares fade",
        {
            "sites.oregon.batch.runnable_minutes": 20,
            "sites.oregon.batch.share_decay_minutes": 30,
        },
        f"""
        update batch.JobQueue: {FAIR}
        update batch.SchedulingPolicy: oregon-batch-fair
        """,
    ),
    Change(
        "no more shares: queues of the other kind",
        {"sites.oregon.batch.fair_share": False},
        f"""
        create batch.JobQueue: {FAIR.replace("-fair", "-fifo")}
        delete batch.JobQueue: {FAIR}
        delete batch.SchedulingPolicy: oregon-batch-fair
        update iam.Policy: submit-oregon
        update ssm.Parameter: outputs-sites-oregon-queues-c7i-xlarge-on-demand
            outputs-sites-oregon-queues-c7i-xlarge-spot
        """,
    ),
    Change(
        "logs are kept longer",
        {"log_retention_days": 90},
        """
        update cloudwatch.LogGroup: oregon-batch-jobs
        update s3.BucketLifecycleConfiguration: oregon-data-lifecycle
        """,
    ),
]


def test_queues(engine: Start, cloud: Cloud) -> None:
    sky = small(engine)
    for change_, result in _each(sky, cloud, QUEUES):
        if "fair_share" in "".join(change_.settings):
            _new_before_old(sky)
        if "disk_gib" in "".join(change_.settings):
            template = result.step("small-oregon-batch-c7i-xlarge-spot")
            assert template.changed == ("computeResources.launchTemplate.version",)


def _new_before_old(sky: Engine) -> None:
    """Jobs find a queue at every moment: the new ones stood before the old ones went."""
    done = [f"{each.op} {each.name}" for each in sky.journal() if each.when == "done"]
    old = [f"small-{name}" for name in FAIR.split()]
    made = max(done.index(f"create {name.replace('-fair', '-fifo')}") for name in old)
    assert made < min(done.index(f"delete {name}") for name in old)


ROLE = "arn:aws:iam::123456789012:role/researcher"
AROUND = [
    Change(
        "storage",
        {
            "sites.oregon.storage": {
                "backup": True,
                "throughput": "elastic",
                "infrequent_access_after_days": 7,
                "old_versions_days": 60,
                "scratch_days": 7,
            }
        },
        """
        update efs.FileSystem: oregon-files
        update efs.BackupPolicy: oregon-files-backup
        update s3.BucketLifecycleConfiguration: oregon-data-lifecycle
        """,
    ),
    Change(
        "an image repository is added",
        {"sites.oregon.images": ["robot", "worker"]},
        """
        create ecr.Repository: us-west-2-images-robot
        create ecr.LifecyclePolicy: us-west-2-images-robot-lifecycle
        update iam.Policy: submit-oregon
        update ssm.Parameter: outputs-sites-oregon-images
        """,
    ),
    Change(
        "a budget, and who is told of alarms",
        {"budget": {"monthly_usd": 100}, "alarm_emails": ["lab@example.org"]},
        """
        create budgets.Budget: budget
        create sns.TopicSubscription: us-west-2-alarms-lab@example.org
        """,
    ),
    Change(
        "SageMaker, and somebody who may submit",
        {"sites.oregon.sagemaker": True, "access.researchers": [ROLE]},
        """
        create iam.Role: oregon-sagemaker submit
        create iam.RolePolicy: oregon-sagemaker
        create iam.RolePolicyAttachment: submit-oregon-role
        create ssm.Parameter: outputs-sites-oregon-sagemaker
        update iam.Policy: submit-oregon
        update ssm.Parameter: outputs-sites-oregon-site outputs-stack
        """,
    ),
]


def test_what_stands_around(engine: Start, cloud: Cloud) -> None:
    sky = small(engine)
    for _ in _each(sky, cloud, AROUND):
        pass
    _tags_change_in_place(sky)


def _tags_change_in_place(sky: Engine) -> None:
    """Everything that can have tags gets the new one by an update, and nothing else happens."""
    change(sky, {"tags.team": "robots"})
    result = sky.up()
    assert {step.op for step in result.changes} == {"update"}
    resources = [each for each in sky.resources() if each["custom"] and "outputs" in each]
    tagged = {each["urn"]: each["outputs"]["tagsAll"] for each in resources if _has_tags(each)}
    assert {step.urn for step in result.changes} == set(tagged)
    assert len(tagged) > 25
    assert all(tags["team"] == "robots" for tags in tagged.values())


def _has_tags(resource: Mapping[str, Any]) -> bool:
    return "tagsAll" in resource["outputs"]


def _each(sky: Engine, cloud: Cloud, changes: Sequence[Change]) -> Iterator[tuple[Change, Result]]:
    """Make each change, and hold that it does what its table says and keeps what holds data."""
    sky.up()
    cloud.client("s3", REGION).put_object(Bucket=BUCKET, Key="runs/1", Body=b"kept")
    for each in changes:
        before = held(cloud, REGION)
        change(sky, each.settings)
        result = sky.up()
        assert told(result, "small") == meant(each.does), each.title
        assert before <= held(cloud, REGION), each.title
        yield each, result
    assert not sky.up().changes
    answer = cloud.client("s3", REGION).get_object(Bucket=BUCKET, Key="runs/1")
    assert answer["Body"].read() == b"kept"
