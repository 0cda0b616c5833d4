"""Every environment of the repository: from nothing to nothing, with no change in between."""

from __future__ import annotations

import pytest

from ems.stack import ssm
from ems.stack.reading import STACK_OUTPUT, parse, plain
from tests.infra.environments.sky import REGIONS, environment
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.left import left

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = [rig("pulumi"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", ["dev", "staging", "prod", "paper", "sandbox"])
def test_an_environment_comes_stays_and_goes(engine: Start, cloud: Cloud, name: str) -> None:
    sky = environment(engine, name)
    foreseen = sky.preview()
    assert set(foreseen.counts) == {"create"}

    made = sky.up()
    assert made.names("create") == foreseen.names("create")
    assert not made.names("replace", "delete")
    sky.nothing_to_do()

    _outputs_mean_what_they_say(sky, cloud, name)
    if name == "prod":
        _protected(sky, cloud)
    sky.destroy()
    assert left(cloud, REGIONS) == []


def _outputs_mean_what_they_say(sky: Engine, cloud: Cloud, name: str) -> None:
    exported = sky.outputs()[STACK_OUTPUT]
    stack = parse(exported)
    assert plain(stack) == exported
    assert stack.environment == name
    gathered = ssm.read(cloud.client("ssm", "us-west-2"), "us-west-2", name)
    assert gathered.outputs == stack
    assert gathered.left_over == ()


def _protected(sky: Engine, cloud: Cloud) -> None:
    before = left(cloud, REGIONS)
    refused = sky.destroy(check=False)
    assert refused.code
    assert "protect" in refused.shown()
    kept = {"s3", "efs", "ecr"}
    assert [line for line in left(cloud, REGIONS) if line.split()[1] in kept] == [
        line for line in before if line.split()[1] in kept
    ]
    with sky.settings() as settings:
        settings["ems:protect"] = False
    sky.up()
