"""Training jobs from request to end: idempotence, quotas, few calls, stopping, coming again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config

from ems.compute.job import JobState, Member, Reason, Resources
from ems.compute.remote.order import Native, Order, PlaceError, Unreachable
from ems.compute.remote.s3 import S3Site
from ems.compute.sagemaker.ground import Choices
from ems.compute.sagemaker.scheduler import SageMakerScheduler
from tests.compute.sagemaker.cloud import (
    FOLDER,
    IMAGE,
    Cloud,
    ended,
    order,
    until,
)
from tests.rigs import rig

pytestmark = rig("podman")


TOO_LONG = (
    "The account-level service limit 'Longest run time for a training job' is 432000 Seconds, with "
    "current utilization of 0 Seconds and a request delta of 519420 Seconds. Please use AWS "
    "Service Quotas to request an increase for this quota."
)


def counted(cloud: Cloud, since: int) -> Counter[str]:
    return Counter(name for name, _ in cloud.calls(since=since))


def impatient(service: str, region: str) -> Any:
    """Return a client that sends nothing again by itself."""
    return boto3.client(service, region, config=Config(retries={"max_attempts": 0}))  # type: ignore[call-overload]


def on(instance: str, spot: bool = False) -> Choices:
    """Return choices of one instance type, so that tests have quotas of their own."""
    return Choices(image=IMAGE, instance=instance, spot="always" if spot else "never")


def test_how_containers_end(cloud: Cloud) -> None:
    scheduler = cloud.scheduler()
    wanted = {"a0": "true", "a3": "exit 3", "a9": "exit 137"}
    assert scheduler.start([order(id, do) for id, do in wanted.items()]) == [None] * 3
    seen = ended(scheduler, [f"ems-{id}" for id in wanted])
    good, bad, killed = seen.values()
    assert good[0] is JobState.SUCCEEDED and good.place == "ml.c7i.large"
    assert (bad.reason, bad.exit_code) == (Reason.EXIT, 3)
    assert (killed.reason, killed.signal) == (Reason.OUT_OF_MEMORY, 9)


def test_nothing_is_started_twice(cloud: Cloud) -> None:
    """Neither by the same process, nor by another, nor where an answer was lost."""
    cloud.ask("hold", True)
    before = len(cloud.calls())
    scheduler = cloud.scheduler()
    cloud.fail("CreateTrainingJob", "InternalFailure", "500 Internal Server Error", after=True)
    for _ in range(2):
        assert scheduler.start([order("b1")]) == [None]
    assert counted(cloud, before)["CreateTrainingJob"] == 2  # boto3 sent it again
    other = cloud.scheduler()
    assert other.start([order("b1")]) == [None]
    names = {each["TrainingJobName"] for each in cloud.calls("CreateTrainingJob", before)}
    assert names == {"ems-dev--b1"}
    (seen,) = other.look(["ems-b1"]).values()
    assert (seen.state, seen.waiting) == (JobState.SUBMITTED, "Starting the training job")
    other.stop(["ems-b1"], 1)
    assert ended(scheduler, ["ems-b1"])["ems-b1"].state is JobState.CANCELED


def test_a_full_quota_makes_jobs_wait(cloud: Cloud) -> None:
    """Whoever looks starts them as soon as there is room; the one that submitted may be gone."""
    cloud.ask("hold", True)
    cloud.ask("quota", {"ml.g5.xlarge": 1})
    scheduler, ids = cloud.scheduler(on("ml.g5.xlarge")), ["ems-c1", "ems-c2", "ems-c3"]
    assert scheduler.start([order(id[4:]) for id in ids]) == [None] * 3
    seen = scheduler.look(ids)
    assert [each.state for each in seen.values()] == [JobState.SUBMITTED] * 3
    assert "'ml.g5.xlarge for training job usage' is 1 Instances" in seen["ems-c2"].waiting
    assert "is 1 Instances" in scheduler.room().why
    other = cloud.scheduler(on("ml.g5.xlarge"))
    assert "is 1 Instances" in other.look(ids)["ems-c3"].waiting
    other.stop(["ems-c2", "ems-c1"], 1)
    assert other.look(["ems-c2"])["ems-c2"].state is JobState.CANCELED

    def began(seen: Mapping[str, Native]) -> bool:
        return seen["ems-c3"].waiting == "Starting the training job"

    until(other, ids, began)
    assert not scheduler.look(["ems-c2"]), "the first process starts what the other took off"
    until(scheduler, ["ems-c3"], began)
    assert scheduler.room().why == ""
    other.stop(ids, 1)
    assert ended(other, ids)["ems-c3"].state is JobState.CANCELED


@pytest.mark.parametrize(
    ("code", "message", "reason", "instance"),
    [
        ("ValidationException", "Invalid role", Reason.IMPOSSIBLE, "ml.g6.2xlarge"),
        ("ResourceLimitExceeded", TOO_LONG, Reason.NO_CAPACITY, "ml.g6.4xlarge"),
    ],
)
def test_one_that_waited_may_be_refused_after_all(
    cloud: Cloud, code: str, message: str, reason: Reason, instance: str
) -> None:
    cloud.ask("hold", True)
    cloud.ask("quota", {instance: 1})
    scheduler, size = cloud.scheduler(on(instance)), instance[6]
    first, second = f"ca{size}", f"cb{size}"
    scheduler.start([order(first), order(second)])
    cloud.fail("CreateTrainingJob", code, message=message)
    for _ in range(2):
        seen = scheduler.look([f"ems-{second}"])[f"ems-{second}"]
        assert (seen.state, seen.reason) == (JobState.FAILED, reason)
        assert message in seen.detail
    assert scheduler.room().why == "", "others of its type wait behind it"
    scheduler.stop([f"ems-{first}"], 1)


def test_a_quota_of_nothing_is_no_place_to_wait_at(cloud: Cloud) -> None:
    cloud.ask("quota", {"ml.p5.48xlarge": 0})
    (no,) = cloud.scheduler(on("ml.p5.48xlarge")).start([order("d1")])
    assert no is not None and no.reason is Reason.NO_CAPACITY
    assert "is 0 Instances" in no.detail and "Service Quotas" in no.detail


def test_a_forgotten_order_that_comes_again_is_a_new_job(cloud: Cloud) -> None:
    """Names are never free again in SageMaker, and ids of the same work are the same."""
    site, scheduler = S3Site(FOLDER), cloud.scheduler()
    for life in (1, 2, 3):
        assert scheduler.start([order("e1")]) == [None]
        site.write({"jobs/ems-e1/output/0": b"done"})
        assert ended(scheduler, ["ems-e1"])["ems-e1"].state is JobState.SUCCEEDED
        fresh = cloud.scheduler()  # finds the present life, and starts no other
        assert fresh.look(["ems-e1"])["ems-e1"].state is JobState.SUCCEEDED
        assert fresh.start([order("e1")]) == [None]
        scheduler.forget(["ems-e1"])
        site.remove(["jobs/ems-e1"])
        made = [each["TrainingJobName"] for each in cloud.calls("CreateTrainingJob")]
        last = "ems-dev--e1" + ("" if life == 1 else f"-{life}")
        assert last in made and f"ems-dev--e1-{life + 1}" not in made
    site.close()


def test_one_that_comes_again_while_a_quota_is_full(cloud: Cloud) -> None:
    """It waits, and its earlier life is not taken for it, by whomever."""
    scheduler = cloud.scheduler(on("ml.g6.xlarge"))
    scheduler.start([order("0d")])
    assert ended(scheduler, ["ems-0d"])["ems-0d"].state is JobState.SUCCEEDED
    scheduler.forget(["ems-0d"])
    cloud.ask("hold", True)
    cloud.ask("quota", {"ml.g6.xlarge": 1})
    assert scheduler.start([order("0e"), order("0d")]) == [None, None]
    other = cloud.scheduler(on("ml.g6.xlarge"))
    for each in (scheduler, other):
        seen = each.look(["ems-0d"])["ems-0d"]
        assert (seen.state, "is 1 Instances" in seen.waiting) == (JobState.SUBMITTED, True)
    other.stop(["ems-0e"], 1)
    begun = lambda seen: seen["ems-0d"].waiting == "Starting the training job"  # noqa: E731
    until(other, ["ems-0d"], begun)
    assert cloud.calls("CreateTrainingJob")[-1]["TrainingJobName"] == "ems-dev--0d-2"
    until(cloud.scheduler(), ["ems-0d"], begun)
    scheduler.stop(["ems-0d"], 1)
    assert ended(other, ["ems-0d"])["ems-0d"].state is JobState.CANCELED


def test_who_is_throttled_comes_back_later(cloud: Cloud) -> None:
    scheduler = cloud.scheduler(clients=impatient)
    cloud.ask("hold", True)
    for operation, call in (
        ("CreateTrainingJob", lambda: scheduler.start([order("f1")])),
        ("DescribeTrainingJob", lambda: scheduler.look(["ems-f1"])),
        ("StopTrainingJob", lambda: scheduler.stop(["ems-f1"], 1)),
    ):
        cloud.fail(operation, "ThrottlingException")
        with pytest.raises(Unreachable):
            call()
        call()
    assert ended(scheduler, ["ems-f1"])["ems-f1"].state is JobState.CANCELED


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("ValidationException", "Could not access model data", Reason.IMPOSSIBLE),
        (
            "ResourceLimitExceeded",
            "The requested resource training-job/ml.p2.xlarge is not available in this region",
            Reason.IMPOSSIBLE,
        ),
        ("ResourceLimitExceeded", TOO_LONG, Reason.NO_CAPACITY),
    ],
)
def test_what_sagemaker_refuses(cloud: Cloud, code: str, message: str, reason: Reason) -> None:
    scheduler = cloud.scheduler()
    cloud.fail("CreateTrainingJob", code, message=message)
    (no,) = scheduler.start([order("0f")])
    assert no is not None and no.reason is reason and message in no.detail
    assert scheduler.room().why == ""


def test_what_is_denied_is_the_places_trouble(cloud: Cloud) -> None:
    cloud.fail("CreateTrainingJob", "AccessDeniedException", message="not authorized")
    with pytest.raises(PlaceError, match="not authorized"):
        cloud.scheduler().start([order("0f")])


def test_a_list_tells_of_many(cloud: Cloud) -> None:
    cloud.ask("hold", True)
    scheduler, ids = cloud.scheduler(), [f"ems-9{n:02}" for n in range(12)]
    orders = [order(id[4:]) for id in ids]
    before = len(cloud.calls())
    assert scheduler.start(orders) == [None] * 12
    assert counted(cloud, before) == {"CreateTrainingJob": 12}
    for _ in range(3):
        before = len(cloud.calls())
        assert len(scheduler.look(ids)) == 12
        assert counted(cloud, before) == {"ListTrainingJobs": 1}
    scheduler.stop(ids, 1)
    until(cloud.scheduler(), ids[:1], lambda seen: seen[ids[0]].state.ended)
    before = len(cloud.calls())
    seen = ended(scheduler, ids)
    assert {each.state for each in seen.values()} == {JobState.CANCELED}
    assert counted(cloud, before)["DescribeTrainingJob"] <= 12 + 4
    before = len(cloud.calls())
    scheduler.look(ids)
    scheduler.stop(ids, 1)  # they have ended: no call
    assert not counted(cloud, before)


def test_time_that_runs_out(cloud: Cloud) -> None:
    scheduler = cloud.scheduler()
    scheduler.start([order("0a", "trap 'exit 101' TERM; echo on; sleep 600 & wait")])
    until(scheduler, ["ems-0a"], lambda _: "on" in cloud.ask("log", "ems-dev--0a"))
    assert scheduler.look(["ems-0a"])["ems-0a"].state is JobState.RUNNING
    cloud.end("ems-dev--0a", "expire")
    seen = ended(scheduler, ["ems-0a"])["ems-0a"]
    assert (seen.state, seen.reason) == (JobState.FAILED, Reason.TIMED_OUT)


def test_one_that_ends_already_is_not_in_the_way(cloud: Cloud) -> None:
    scheduler = cloud.scheduler()
    scheduler.start([order("1a", "trap 'sleep 1; exit 0' TERM; echo on; sleep 600 & wait")])
    until(scheduler, ["ems-1a"], lambda _: "on" in cloud.ask("log", "ems-dev--1a"))
    cloud.fail("StopTrainingJob", "ValidationException", message="is in status Running")
    with pytest.raises(PlaceError, match="is in status Running"):
        scheduler.stop(["ems-1a"], 1)
    message = "The request was rejected because the training job is in status Stopping."
    cloud.fail("StopTrainingJob", "ValidationException", message=message, after=True)
    scheduler.stop(["ems-1a"], 1)
    assert ended(scheduler, ["ems-1a"])["ems-1a"].state is JobState.CANCELED


def test_what_is_not_there(cloud: Cloud) -> None:
    scheduler = cloud.scheduler()
    assert scheduler.look(["ems-0b"]) == {}
    scheduler.stop(["ems-0b"], 1)
    scheduler.forget(["ems-0b"])
    assert scheduler.version() == "SageMaker training at oregon (us-west-2)"


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"resources": Resources(gpus=16)}, Reason.IMPOSSIBLE, "16 GPUs"),
        ({"member": Member("ab", "robot", 0, 2, 0, 2)}, Reason.IMPOSSIBLE, "`vpc: always`"),
        ({"modules": ("cuda/12",)}, Reason.IMPOSSIBLE, "cuda/12"),
        ({"secrets": {"KEY": "asm:wandb"}}, Reason.IMPOSSIBLE, "ems/dev/NAME"),
        ({"image": "docker.io/library/python:3.11"}, Reason.BAD_IMAGE, "ECR of us-west-2"),
        ({"variables": {"LONG": "x" * 513}}, Reason.IMPOSSIBLE, "allowed in SageMaker: 512"),
        ({"variables": {f"V{n}": "x" for n in range(99)}}, Reason.IMPOSSIBLE, "103 variables"),
    ],
)
def test_what_can_never_be(
    cloud: Cloud, changes: dict[str, Any], reason: Reason, said: str
) -> None:
    before = len(cloud.calls())
    wanted: Order = order("0c", **changes)
    scheduler: SageMakerScheduler = cloud.scheduler()
    (no,) = scheduler.start([wanted])
    assert no is not None and no.reason is reason and said in no.detail
    assert not cloud.calls(since=before)
