"""The scheduler over moto's Batch, whose jobs are processes with true exit codes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ems.compute.batch.scheduler import Choices
from ems.compute.job import JobState, Reason, Resources
from ems.compute.remote.order import Order, PlaceError, Refused, Unreachable
from ems.compute.remote.s3 import S3Site
from tests.compute.batch.cloud import FOLDER, IMAGE, Cloud, ended, order, running, until


def leave(orders: Sequence[Order]) -> None:
    """Put something into the jobs' folders, as workers do."""
    site = S3Site(FOLDER)
    site.write({f"jobs/{each.id}/output/0": b"something" for each in orders})
    site.close()


def test_a_job_runs_once_and_is_known_to_another_process(cloud: Cloud, out: Path) -> None:
    scheduler = cloud.scheduler()
    one = order("a1", out)
    assert scheduler.start([one]) == [None]
    seen = ended(scheduler, [one.id])
    assert seen[one.id].state is JobState.SUCCEEDED and seen[one.id].exit_code == 0
    leave([one])
    before = len(cloud.calls())
    other = cloud.scheduler()
    assert other.start([one]) == [None]
    assert other.look([one.id])[one.id].state is JobState.SUCCEEDED
    assert "submitjob" not in cloud.since(before)
    assert out.read_text() == f"{one.id} on 1\n"


def test_fifty_alike_are_one_array_and_each_knows_which_it_is(cloud: Cloud, out: Path) -> None:
    scheduler = cloud.scheduler()
    orders = [order(f"b{n:02}", out) for n in range(50)]
    before = len(cloud.calls())
    assert scheduler.start(orders) == [None] * 50
    assert cloud.since(before)["submitjob"] == 1
    seen = ended(scheduler, [each.id for each in orders])
    assert {each.state for each in seen.values()} == {JobState.SUCCEEDED}
    assert sorted(out.read_text().split("\n")[:-1]) == [f"{each.id} on 1" for each in orders]


def test_the_jobs_of_an_array_are_found_by_another_process(cloud: Cloud, out: Path) -> None:
    orders = [order(f"c{n}", out, "exit $AWS_BATCH_JOB_ARRAY_INDEX") for n in range(3)]
    leave(orders)
    cloud.scheduler().start(orders)
    other = cloud.scheduler()
    before = len(cloud.calls())
    later = [*orders, *(order(f"c{n}", out) for n in (7, 8))]
    assert other.start(later) == [None] * 5
    (body,) = cloud.bodies("submitjob", before)
    assert body["arrayProperties"] == {"size": 2}
    seen = ended(other, [each.id for each in later])
    assert [seen[each.id].exit_code for each in orders] == [0, 1, 2]


def test_a_definition_is_registered_once_for_a_shape_by_whomever(cloud: Cloud, out: Path) -> None:
    shape = Resources(cpus=3, memory_gib=5)
    before = len(cloud.calls())
    scheduler = cloud.scheduler()
    scheduler.start([order("d1", out, resources=shape)])
    scheduler.start([order("d2", out, resources=shape)])
    cloud.scheduler().start([order("d3", out, resources=shape)])
    counted = cloud.since(before)
    assert counted["registerjobdefinition"] == 1
    assert counted["describejobdefinitions"] == 2, "one look for each process"
    assert counted["submitjob"] == 3


def test_what_is_not_alike_is_not_in_one_array(cloud: Cloud, out: Path) -> None:
    orders = [
        *(order(f"e{n}", out) for n in range(2)),
        *(order(f"e{n}", out, wall_s=100.5) for n in range(2, 4)),
        order("e4", out, resources=Resources(cpus=2)),
        order("e5", out, variables={"OTHER": "1"}),
    ]
    before = len(cloud.calls())
    cloud.scheduler().start(orders)
    sizes = [
        (each.get("arrayProperties") or {}).get("size", 1)
        for each in cloud.bodies("submitjob", before)
    ]
    assert sorted(sizes) == [1, 1, 2, 2]
    limits = [each.get("timeout") for each in cloud.bodies("submitjob", before)]
    assert limits.count({"attemptDurationSeconds": 101}) == 1 and limits.count(None) == 3


@pytest.mark.parametrize(
    ("do", "reason", "code", "signal"),
    [
        ("exit 3", Reason.EXIT, 3, None),
        ("exit 101", Reason.PREEMPTED, 101, None),
        ("kill -9 $$", Reason.SIGNAL, None, 9),
        ("no-such-command-here", Reason.EXIT, 127, None),
    ],
)
def test_how_a_process_ends_is_told(
    cloud: Cloud, out: Path, do: str, reason: Reason, code: int | None, signal: int | None
) -> None:
    scheduler = cloud.scheduler()
    one = order(f"f{abs(hash(do)) % 10**8:x}", out, do)
    scheduler.start([one])
    seen = ended(scheduler, [one.id])[one.id]
    assert (seen.state, seen.reason) == (JobState.FAILED, reason)
    assert (seen.exit_code, seen.signal) == (code, signal)


def test_a_running_job_is_terminated(cloud: Cloud, out: Path) -> None:
    scheduler = cloud.scheduler()
    one = order("aa1", out, "sleep 60")
    scheduler.start([one])
    running(scheduler, [one.id])
    scheduler.stop([one.id], 5)
    seen = ended(scheduler, [one.id])[one.id]
    assert (seen.state, seen.reason) == (JobState.CANCELED, Reason.CANCELED)
    assert seen.detail == "ems: canceled by ana-maria@lab"


def test_waiting_jobs_say_why_and_are_terminated(cloud: Cloud, out: Path) -> None:
    scheduler = cloud.scheduler("oregon/plain")
    orders = [order(f"ab{n}", out, resources=Resources(cpus=2)) for n in range(3)]
    ids = [each.id for each in orders]
    queue = cloud.ground().batch.queues["plain"].name
    cloud.hold({queue: ""})
    scheduler.start(orders)
    seen = until(scheduler, ids, lambda seen: len(seen) == 3)
    assert {each.state for each in seen.values()} == {JobState.SUBMITTED}
    assert {each.waiting for each in seen.values()} == {"waits for an instance"}
    reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no instance has 3 vCPUs"
    cloud.hold({queue: reason})
    until(scheduler, ids, lambda seen: seen[ids[0]].waiting == reason)
    scheduler.stop(ids[:2], 5)
    seen = until(scheduler, ids, lambda seen: seen[ids[1]].state.ended)
    assert seen[ids[0]].state is seen[ids[1]].state is JobState.CANCELED
    cloud.hold({})
    assert ended(scheduler, ids)[ids[2]].state is JobState.SUCCEEDED
    assert out.read_text() == f"{ids[2]} on 1\n"


def test_a_limit_below_a_minute_is_a_minute(cloud: Cloud, out: Path) -> None:
    before = len(cloud.calls())
    cloud.scheduler().start([order("ac1", out, wall_s=2.0)])
    (body,) = cloud.bodies("submitjob", before)
    assert body["timeout"] == {"attemptDurationSeconds": 60}


def test_nothing_is_started_twice_when_an_answer_is_lost(cloud: Cloud, out: Path) -> None:
    scheduler = cloud.scheduler()
    orders = [order(f"ad{n}", out) for n in range(4)]
    leave(orders)
    before = len(cloud.calls())
    cloud.fail("submitjob", "ServerException", "503 Service Unavailable", after=True)
    with pytest.raises(Unreachable):
        scheduler.start(orders)
    assert cloud.since(before)["submitjob"] == 1, "boto3 must not send it again by itself"
    assert scheduler.start(orders) == [None] * 4
    assert cloud.scheduler().start(orders) == [None] * 4
    assert cloud.since(before)["submitjob"] == 1
    ended(scheduler, [each.id for each in orders])
    assert len(out.read_text().split("\n")) == 5


def test_a_throttled_call_is_asked_again_by_boto3_and_then_told(cloud: Cloud, out: Path) -> None:
    scheduler = cloud.scheduler()
    one = order("ae1", out)
    scheduler.start([one])
    throttled = ("TooManyRequestsException", "429 Too Many Requests")
    cloud.fail("describejobs", *throttled)
    ended(scheduler, [one.id])
    other = cloud.scheduler()
    cloud.fail("listjobs", *throttled, times=4)
    with pytest.raises(Unreachable, match="told to fail"):
        other.look([one.id])
    assert other.look([one.id])[one.id].state is JobState.SUCCEEDED


def test_jobs_are_described_in_hundreds_and_arrays_by_their_sums(cloud: Cloud, out: Path) -> None:
    scheduler = cloud.scheduler("oregon/spots", Choices(image=IMAGE, spot="always"))
    queue = cloud.ground().batch.queues["spots"].name
    cloud.hold({queue: ""})
    alike = [order(f"af{n:03}", out) for n in range(248)]
    others = [order(f"af{n:03}", out, wall_s=n) for n in (248, 249)]
    ids = [each.id for each in (*alike, *others)]
    before = len(cloud.calls())
    scheduler.start([*alike, *others])
    counted = cloud.since(before)
    assert counted["submitjob"] == 3, "an array, two alone"
    assert counted["listjobs"] == 1, "250 orders are not asked for one by one"
    until(scheduler, ids, lambda seen: len(seen) == 250)
    time.sleep(0.5)  # all of them are RUNNABLE by now
    scheduler.look(ids)
    before = len(cloud.calls())
    scheduler.look(ids)
    assert cloud.since(before) == {"describejobs": 1}, "an array, its head, two alone"
    scheduler.stop(ids, 1)
    ended(scheduler, ids, 60)
    before = len(cloud.calls())
    assert len(scheduler.look(ids)) == 250
    assert cloud.since(before) == {}, "what has ended is not asked for"


def test_a_queue_that_is_gone_or_closed_is_told(cloud: Cloud, out: Path) -> None:
    import boto3
    import msgspec

    from ems.compute.batch.calls import BatchCalls
    from ems.compute.batch.ground import ground
    from ems.compute.batch.scheduler import BatchScheduler
    from ems.compute.batch.submissions import Submitter
    from tests.stack.sky import REGION

    oregon = cloud.outputs.sites["oregon"]
    assert oregon.batch is not None
    gone = msgspec.structs.replace(oregon.batch.queues["cpus"], name="dev-oregon-gone")
    batch = msgspec.structs.replace(oregon.batch, queues={"cpus": gone})
    outputs = msgspec.structs.replace(
        cloud.outputs, sites={"oregon": msgspec.structs.replace(oregon, batch=batch)}
    )
    scheduler = BatchScheduler(
        "sky", ground(outputs, "oregon"), lambda _: ("true",), S3Site(FOLDER), BatchCalls(REGION),
        Submitter("dev", "ana"), Choices(image=IMAGE),
    )  # fmt: skip
    with pytest.raises(PlaceError, match="dev-oregon-gone"):
        scheduler.start([order("ba1", out)])
    with pytest.raises(PlaceError, match="is not there"):
        scheduler.version()
    assert "is not there" in scheduler.room().why

    client = boto3.client("batch", region_name=REGION)
    queue = cloud.ground().batch.queues["plain"].name
    client.update_job_queue(jobQueue=queue, state="DISABLED")
    try:
        closed = cloud.scheduler("oregon/plain").room()
        assert closed.free == 0 and closed.why == f"{queue} is disabled"
    finally:
        client.update_job_queue(jobQueue=queue, state="ENABLED")
    room = cloud.scheduler("oregon/plain").room()
    assert (room.free, room.total, room.why) == (64, 64, "")
    assert cloud.scheduler("oregon/plain").version() == (
        f"AWS Batch, queue {queue} of oregon ({REGION})"
    )
    assert cloud.scheduler("oregon").version().startswith("AWS Batch, 4 queues of oregon")


def test_what_can_never_run_is_refused_and_the_rest_goes_on(cloud: Cloud, out: Path) -> None:
    orders = [
        order("ca1", out),
        order("ca2", out, variables={"BIG": "x" * 8000}),
        order("ca3", out, variables={"AWS_BATCH_X": "1"}),
        order("ca4", out, resources=Resources(cpus=99)),
        order("ca5", out, secrets={"TOKEN": "file:/etc/passwd"}),
        order("ca6", out, modules=("cuda/12",)),
        order("ca7", out, resources=Resources(gpus=1)),
    ]
    answers = cloud.scheduler().start(orders)
    assert answers[0] is None
    details = [each.detail for each in answers if isinstance(each, Refused)]
    assert len(details) == 6
    for found, said in zip(
        details,
        ["allowed: 6500", "AWS_BATCH", "64 vCPUs at most", "asm:NAME", "cuda/12", "has no GPU"],
        strict=True,
    ):
        assert said in found
    none = cloud.scheduler(choices=Choices()).start([order("ca8", out)])
    assert isinstance(none[0], Refused) and "no image" in none[0].detail


def test_what_is_over_for_ems_does_not_begin_anew(cloud: Cloud, out: Path) -> None:
    """A worker had its last word, and Batch has the job wait for another instance all the same."""
    scheduler = cloud.scheduler("oregon/plain")
    queue = cloud.ground().batch.queues["plain"].name
    one, two = order("da1", out), order("da2", out, wall_s=90)
    cloud.hold({queue: ""})
    scheduler.start([one, two])
    until(scheduler, [one.id, two.id], lambda seen: len(seen) == 2)
    before = len(cloud.calls())
    scheduler.forget([one.id])
    assert cloud.since(before) == {"describejobs": 1}, "it never ran: nobody ended it"
    other = cloud.scheduler("oregon/plain")
    assert other.look([one.id])[one.id].state is JobState.SUBMITTED
    cloud.hold({queue: "Host EC2 (instance i-0a1b) terminated."})
    until(other, [two.id], lambda seen: seen[two.id].waiting.startswith("Host EC2"))
    scheduler.forget([two.id])
    seen = ended(other, [two.id])[two.id]
    assert seen.state is JobState.CANCELED and "known already" in seen.detail


def test_a_job_that_left_nothing_may_be_started_again(cloud: Cloud, out: Path) -> None:
    """Nothing of these jobs is at the place: they write no messages there."""
    one, rest = order("ea9", out), [order(f"eb{n}", out) for n in range(2)]
    scheduler = cloud.scheduler()
    ids = [each.id for each in (one, *rest)]
    scheduler.start([one])
    scheduler.start(rest)
    ended(scheduler, ids)
    scheduler.start([one, *rest])
    assert len(out.read_text().split("\n")) == 4, "this process knows of them"
    other = cloud.scheduler()
    other.start([one])
    ended(other, [one.id])
    assert out.read_text().count(one.id) == 2
    newest = cloud.scheduler().look([one.id])
    assert newest[one.id].state is JobState.SUCCEEDED
    leave([one, *rest])
    cloud.scheduler().start([one, *rest])
    assert out.read_text().count("\n") == 4, "what is there is not started again"
