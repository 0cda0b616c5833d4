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
    if name == "dev":
        sky.nothing_to_do()
    else:
        _stays(sky)

    _outputs_mean_what_they_say(sky, cloud, name)
    if name == "dev":
        _protected(sky, cloud)
    if name == "prod":
        _data_is_protected(sky)
    sky.destroy()
    assert left(cloud, REGIONS) == []


def _stays(sky: Engine) -> None:
    """The cloud is as the state says, and the program wants what it is, before and after."""
    for command in (sky.preview, sky.refresh, sky.preview):
        assert not command().changes


def _outputs_mean_what_they_say(sky: Engine, cloud: Cloud, name: str) -> None:
    exported = sky.outputs()[STACK_OUTPUT]
    stack = parse(exported)
    assert plain(stack) == exported
    assert stack.environment == name
    gathered = ssm.read(cloud.client("ssm", "us-west-2"), "us-west-2", name)
    assert gathered.outputs == stack
    assert gathered.left_over == ()


def _data_is_protected(sky: Engine) -> None:
    """What holds data can't go, as the environment's own file says."""
    holding = ("aws:s3/bucket:", "aws:efs/fileSystem:", "aws:ecr/repository:")
    kept = [each for each in sky.resources() if each["type"].startswith(holding)]
    assert {each["type"].split("/")[0] for each in kept} == {"aws:s3", "aws:efs", "aws:ecr"}
    assert all(each.get("protect") for each in kept)
    refused = sky.run("destroy", "--yes", "--stack", sky.stack, check=False)
    assert refused.code and "protect" in refused.shown()
    with sky.settings() as settings:
        settings["ems:protect"] = False
    sky.up()


def _protected(sky: Engine, cloud: Cloud) -> None:
    """A destroy that nobody previews takes what holds no data, and leaves what does."""
    with sky.settings() as settings:
        settings["ems:protect"] = True
    sky.up()
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
