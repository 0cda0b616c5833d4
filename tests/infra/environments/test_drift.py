"""What somebody changed behind the program's back: found, named, and mended by the next `up`.

What no resource of the program holds is not found: a rule that was added to a group whose rules are
resources of their own. That too is shown here, so that nobody relies on it. moto changes nothing of
a compute environment but its state, so what differs there can't be tried.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ems.cli.main import main
from ems.stack.reading import STACK_OUTPUT
from tests.infra.environments.sky import small
from tests.infra.environments.steps import meant, told
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = [rig("pulumi"), pytest.mark.timeout(600)]

REGION = "us-west-2"
CHANGED_BY_PULUMI = 7
"""The exit code of `--expect-no-changes` where there are some."""
EVERYBODY = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
FOUND = """
    delete ec2.Route: oregon-public-out
    update ec2.DefaultSecurityGroup: oregon-default
    update batch.JobQueue: oregon-batch-c7i-xlarge-spot-fair
    update s3.BucketPolicy: oregon-data-policy
    update ec2.Vpc: oregon-vpc
    delete efs.AccessPoint: oregon-files-scratch
"""
MENDED = FOUND.replace("delete", "create")


def test_drift_is_found_named_and_mended(engine: Start, cloud: Cloud, tmp_path: Path) -> None:
    sky = small(engine)
    sky.up()
    assert _check(sky, cloud, tmp_path)["problems"] == []
    ids = {each["urn"].split("::")[-1]: each["id"] for each in sky.resources() if "id" in each}
    _meddle(cloud, ids)

    seen = sky.refresh("--preview-only", "--expect-no-changes", check=False)
    assert seen.code == CHANGED_BY_PULUMI
    assert told(seen, "small") == meant(FOUND)
    assert seen.step("small-oregon-batch-c7i-xlarge-spot-fair").changed == ("state",)

    said = " ".join(f"{each['where']}: {each['what']}" for each in _problems(sky, cloud, tmp_path))
    assert "oregon queue c7i-xlarge-spot: state DISABLED (in the outputs: ENABLED)" in said
    assert "access point scratch" in said

    assert told(sky.up("--refresh"), "small") == {
        **meant(MENDED),
        # another access point, which the outputs and the jobs' role name
        **meant("update ssm.Parameter: outputs-sites-oregon-storage"),
        **meant("update iam.RolePolicy: oregon-batch-job"),
    }
    sky.nothing_to_do()
    assert _check(sky, cloud, tmp_path)["problems"] == []
    assert _rules(cloud, ids["small-oregon-default"]) == 0
    # nobody's resource: it stays, and is found by a look at the group alone
    assert _rules(cloud, ids["small-oregon-jobs"]) == 2


def _meddle(cloud: Cloud, ids: Mapping[str, str]) -> None:
    ec2, batch = cloud.client("ec2", REGION), cloud.client("batch", REGION)
    table, bucket = ids["small-oregon-public"], ids["small-oregon-data"]
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    for group in ("small-oregon-default", "small-oregon-jobs"):
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
        opened = [{**ssh, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.authorize_security_group_ingress(GroupId=ids[group], IpPermissions=opened)
    queue = ids["small-oregon-batch-c7i-xlarge-spot-fair"]
    batch.update_job_queue(jobQueue=queue, state="DISABLED")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{**EVERYBODY, "Resource": f"arn:aws:s3:::{bucket}/*"}],
    }
    cloud.client("s3", REGION).put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    ec2.delete_tags(Resources=[ids["small-oregon-vpc"]], Tags=[{"Key": "ems-environment"}])
    point = ids["small-oregon-files-scratch"]
    cloud.client("efs", REGION).delete_access_point(AccessPointId=point)


def _rules(cloud: Cloud, group: str) -> int:
    (found,) = cloud.client("ec2", REGION).describe_security_groups(GroupIds=[group])[
        "SecurityGroups"
    ]
    return len(found["IpPermissions"])


def _problems(sky: Engine, cloud: Cloud, folder: Path) -> list[dict[str, Any]]:
    return _check(sky, cloud, folder)["problems"]


def _check(sky: Engine, cloud: Cloud, folder: Path) -> dict[str, Any]:
    """Return what `emsctl check --stack FILE` says of the sky."""
    file = folder / "sky.json"
    file.write_text(json.dumps(sky.outputs()[STACK_OUTPUT]))
    runner = CliRunner(env=dict(cloud.environment))
    said = runner.invoke(main, ["check", "--stack", str(file), "-o", "json"])
    return json.loads(said.stdout)
