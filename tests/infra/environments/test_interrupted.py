"""An `up` that was cut off, raced or refused: what is left of it, who says so, and how it goes on.

What a person does then stands in docs/how-to/when-up-fails.md; the same commands run here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.infra.environments.sky import small
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.faults import Entry, Fault
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.left import left
from tests.rigs.sky.project import ROOT
from tests.rigs.sky.results import Result

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = [rig("pulumi"), pytest.mark.timeout(600)]

REGION = "us-west-2"
FILES, KEY, VPC = "small-oregon-files", "small-us-west-2-alarms-key", "small-oregon-vpc"
NEVER_S = 300
"""Longer than any test waits: what takes as long is cut off in the middle."""


def test_an_interrupt_leaves_nothing_unknown(engine: Start, cloud: Cloud) -> None:
    sky = small(engine)
    running = sky.start("up", faults=[Fault(FILES, after=True, wait_s=4)])
    running.until(FILES, when="made")
    running.interrupt()
    ended = running.wait()
    assert ended.code
    assert not _pending(sky)
    made = _made(ended)
    assert any(urn.endswith(f"::{FILES}") for urn in made)

    went_on = sky.up()
    assert not made & _made(went_on)
    assert {step.op for step in went_on.changes} == {"create"}
    assert not sky.preview().changes
    assert _not_in_state(sky, cloud) == set()


def test_a_kill_leaves_a_lock_and_orphans_that_are_named(engine: Start, cloud: Cloud) -> None:
    sky = small(engine)
    running = sky.start("up", faults=[Fault(f"{FILES}|{KEY}", after=True, wait_s=NEVER_S)])
    _quiet(sky, lambda busy: busy == {FILES, KEY})
    running.kill()

    locked = sky.up(check=False)
    assert locked.code
    assert "the stack is currently locked" in locked.stderr
    assert "pulumi cancel" in locked.stderr
    sky.cancel()
    assert _pending(sky) == {FILES, KEY}
    refused = sky.up(check=False)
    (warned,) = [each for each in refused.warnings if "interrupted while creating" in each]
    assert f"::{FILES}, interrupted" in warned and f"::{KEY}, interrupted" in warned
    assert _urns(refused.errors) == [FILES], "it has a fixed name, so there can't be two"

    sky.refresh("--clear-pending-creates")  # first: what is pending may name an orphan's id
    assert not _pending(sky)
    orphans = _not_in_state(sky, cloud)
    assert sorted(arn.split(":")[2] for arn in orphans) == ["elasticfilesystem", "kms"]
    _delete_orphans(cloud, orphans)
    sky.up()
    assert not sky.preview().changes
    # a key that is to be deleted is there for some days yet
    assert {arn.split(":")[2] for arn in _not_in_state(sky, cloud)} <= {"kms"}
    sky.destroy()
    assert left(cloud, [REGION]) == []


def test_the_page_goes_the_same_way() -> None:
    page = (ROOT / "docs/how-to/when-up-fails.md").read_text()
    way = (
        "$ pulumi cancel",
        "--clear-pending-creates --yes",
        "$ pulumi stack export",
        "$ aws efs delete-file-system",
    )
    places = [page.index(each) for each in way]
    assert places == sorted(places)


def test_what_a_kill_left_can_be_taken_over(engine: Start, cloud: Cloud) -> None:
    """For what takes long to make, or holds something by now."""
    sky = small(engine)
    running = sky.start("up", faults=[Fault(FILES, after=True, wait_s=NEVER_S)])
    _quiet(sky, lambda busy: busy == {FILES})
    running.kill()
    sky.cancel()
    sky.refresh("--clear-pending-creates")
    (made,) = cloud.client("efs", REGION).describe_file_systems()["FileSystems"]

    urns = {each["type"]: each["urn"] for each in sky.resources()}
    component, provider = urns["ems:data:FileSystem"], urns["pulumi:providers:aws"]
    words = ["aws:efs/fileSystem:FileSystem", FILES, made["FileSystemId"], "--yes"]
    words += ["--parent", f"parent={component}", "--provider", f"provider={provider}"]
    sky.run("import", *words, "--protect=false", "--generate-code=false", "--stack", "small")
    assert FILES not in sky.up().names("create")
    assert not sky.preview().changes
    (kept,) = cloud.client("efs", REGION).describe_file_systems()["FileSystems"]
    assert kept["FileSystemId"] == made["FileSystemId"]


def test_two_at_once_and_one_that_the_cloud_refuses(engine: Start, cloud: Cloud) -> None:
    sky = small(engine)
    denied = "UnauthorizedOperation: You are not authorized to perform: ec2:CreateVpc"
    running = sky.start("up", faults=[Fault(VPC, wait_s=10, refuse=denied)])
    running.until(VPC)
    second = sky.up(check=False)
    assert second.code
    assert "the stack is currently locked by 1 lock(s)" in second.stderr
    assert not second.steps

    ended = running.wait()
    assert ended.code
    assert _urns(ended.errors) == [VPC]
    assert [denied in message for urn, message in ended.errors if urn] == [True]
    assert not _pending(sky)
    made = _made(ended)
    assert any(urn.endswith(f"::{FILES}") for urn in made)

    went_on = sky.up()
    assert not made & _made(went_on)
    assert VPC in went_on.names("create")
    assert not sky.preview().changes
    assert _not_in_state(sky, cloud) == set()


def _pending(sky: Engine) -> set[str]:
    """Return what the state calls begun and not ended."""
    found = sky.export()["deployment"].get("pending_operations") or []
    return {each["resource"]["urn"].split("::")[-1] for each in found}


def _made(result: Result) -> set[str]:
    """Return the URNs of what a command made."""
    return {step.urn for step in result.changes if (step.op, step.state) == ("create", "done")}


def _urns(errors: tuple[tuple[str, str], ...]) -> list[str]:
    """Return the names of the resources that errors are about."""
    return [urn.split("::")[-1] for urn, _ in errors if urn]


def _not_in_state(sky: Engine, cloud: Cloud) -> set[str]:
    """Return what carries the environment's tag in the cloud, and stands in no state."""
    tagging = cloud.client("resourcegroupstaggingapi", REGION)
    mine = [{"Key": "ems-environment", "Values": [sky.stack]}]
    pages = tagging.get_paginator("get_resources").paginate(TagFilters=mine)
    tagged = {each["ResourceARN"] for page in pages for each in page["ResourceTagMappingList"]}
    state = json.dumps(sky.export())
    known = {arn for arn in tagged if f'"{arn}"' in state or f'"{_last(arn)}"' in state}
    return tagged - known


def _last(arn: str) -> str:
    """Return the id: what stands in the state where the ARN does not (a NAT gateway's)."""
    return arn.rsplit("/", maxsplit=1)[-1]


def _delete_orphans(cloud: Cloud, arns: set[str]) -> None:
    delete: Mapping[str, Callable[[str], Any]] = {
        "elasticfilesystem": lambda id_: cloud.client("efs", REGION).delete_file_system(
            FileSystemId=id_
        ),
        "kms": lambda id_: cloud.client("kms", REGION).schedule_key_deletion(KeyId=id_),
    }
    for arn in arns:
        delete[arn.split(":")[2]](_last(arn))


def _quiet(sky: Engine, wanted: Callable[[set[str]], bool], wait_s: float = 120) -> None:
    """Wait until nothing is under way but what is `wanted`, for a second."""
    end, since = time.monotonic() + wait_s, time.monotonic()
    while time.monotonic() - since < 1:
        if time.monotonic() > end:
            raise TimeoutError(f"still under way: {_busy(sky.journal())}")
        if not wanted(_busy(sky.journal())):
            since = time.monotonic()
        time.sleep(0.05)


def _busy(journal: list[Entry]) -> set[str]:
    begun = {each.name for each in journal if (each.op, each.when) == ("create", "begun")}
    return begun - {each.name for each in journal if each.when in ("done", "failed")}
