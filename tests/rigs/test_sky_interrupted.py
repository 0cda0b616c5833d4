"""The real engine cut off in the middle, and two of them at once."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine, EngineError
from tests.rigs.sky.faults import Fault
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = rig("pulumi")
REGION = "eu-central-1"
SLOW = Fault("second", after=True, wait_s=4)


def three() -> None:
    import pulumi
    import pulumi_aws as aws

    first = aws.sqs.Queue("first")
    second = aws.sqs.Queue("second", opts=pulumi.ResourceOptions(depends_on=[first]))
    aws.sqs.Queue("third", opts=pulumi.ResourceOptions(depends_on=[second]))


@pytest.fixture
def it(engine: Start) -> Engine:
    return engine(
        three, config={"aws:region": REGION}, environment={"SKY_KINDS": "tests.rigs.sky.sample"}
    )


def queues(cloud: Cloud) -> list[str]:
    """Which of the three are in the cloud, by their names in the program."""
    urls = cloud.client("sqs", REGION).list_queues().get("QueueUrls", [])
    return sorted(url.rsplit("/", 1)[-1].rsplit("-", 1)[0] for url in urls)


def kept(it: Engine) -> list[str]:
    """Which of the three are in the state."""
    found = [r["urn"].split("::")[-1] for r in it.resources() if r["type"] == "aws:sqs/queue:Queue"]
    return sorted(found)


def test_an_interrupt_ends_what_was_begun_and_the_next_up_goes_on(it: Engine, cloud: Cloud) -> None:
    running = it.start("up", faults=[SLOW])
    running.until("second", when="made")
    running.interrupt()
    ended = running.wait()
    assert ended.code != 0
    assert kept(it) == queues(cloud) == ["first", "second"]
    assert it.up().names("create") == ["third"]
    it.nothing_to_do()


def test_a_kill_leaves_a_lock_and_an_orphan(it: Engine, cloud: Cloud) -> None:
    running = it.start("up", faults=[SLOW])
    running.until("second", when="made")
    running.kill()
    assert kept(it) == ["first"]
    assert queues(cloud) == ["first", "second"]
    with pytest.raises(EngineError, match="currently locked"):
        it.up()
    it.cancel()
    pending = it.export()["deployment"]["pending_operations"]
    assert [operation["resource"]["urn"].split("::")[-1] for operation in pending] == ["second"]
    it.refresh("--clear-pending-creates")
    assert it.up().names("create") == ["second", "third"]
    # what was made and never heard of has no owner now
    assert queues(cloud) == ["first", "second", "second", "third"]
    it.nothing_to_do()


def test_one_stack_is_changed_by_one_engine_at_a_time(it: Engine) -> None:
    running = it.start("up", faults=[SLOW])
    running.until("second")
    with pytest.raises(EngineError, match="currently locked"):
        it.up()
    assert running.wait().code == 0


def test_two_engines_run_side_by_side(it: Engine, engine: Start, cloud: Cloud) -> None:
    other = engine(
        three, config={"aws:region": REGION}, environment={"SKY_KINDS": "tests.rigs.sky.sample"}
    )
    both = [one.start("up") for one in (it, other)]
    assert [running.wait().code for running in both] == [0, 0]
    assert queues(cloud) == ["first", "first", "second", "second", "third", "third"]
    it.destroy()
    assert queues(cloud) == ["first", "second", "third"]
    other.nothing_to_do()


def test_a_killed_engine_leaves_no_process(it: Engine) -> None:
    running = it.start("up", faults=[SLOW])
    running.until("second")
    assert processes(it)
    it.close()
    end = time.monotonic() + 10
    while processes(it) and time.monotonic() < end:
        time.sleep(0.1)
    assert processes(it) == []


def processes(it: Engine) -> list[str]:
    """What runs with this engine's journal in its environment."""
    listed = subprocess.run(
        ["ps", "axeww", "-o", "pid,command"], capture_output=True, text=True, check=True
    ).stdout
    return [line for line in listed.splitlines() if f"SKY_JOURNAL={it.journal_file}" in line]
