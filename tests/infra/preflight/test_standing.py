"""Which clusters stand, asked of moto."""

from __future__ import annotations

import pytest

from infra.plan.tags import ENVIRONMENT_TAG
from infra.preflight.standing import Standing, ask, log_group
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.fixtures import cloud, shared_cloud

__all__ = ["cloud", "shared_cloud"]
pytestmark = rig("pulumi")


def _asked(cloud: Cloud) -> Standing:
    eks, logs = cloud.client("eks", "us-west-2"), cloud.client("logs", "us-west-2")
    return ask(eks, logs, "dev", ["oregon", "texas"])


def test_what_stands_and_what_outlived_its_cluster(cloud: Cloud) -> None:
    logs = cloud.client("logs", "us-west-2")
    assert _asked(cloud) == Standing()
    cloud.client("eks", "us-west-2").create_cluster(
        name="dev-oregon",
        roleArn="arn:aws:iam::123456789012:role/eks",
        resourcesVpcConfig={"subnetIds": ["subnet-1"]},
    )
    for site in ("oregon", "texas"):
        logs.create_log_group(logGroupName=log_group("dev", site))
    assert _asked(cloud) == Standing(frozenset({"oregon"}), frozenset({"texas"}))


@pytest.mark.parametrize("site", ["oregon", "texas"])
def test_the_programs_own_log_group_stands_in_nobodys_way(cloud: Cloud, site: str) -> None:
    logs = cloud.client("logs", "us-west-2")
    logs.create_log_group(logGroupName=log_group("dev", site), tags={ENVIRONMENT_TAG: "dev"})
    assert _asked(cloud) == Standing()
