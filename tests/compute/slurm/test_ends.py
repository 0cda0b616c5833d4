"""How jobs end on a real Slurm, by their own fault, by Slurm's, and by being canceled."""

from __future__ import annotations

import signal
import time

import pytest

from ems.compute.job import JobState, Member, Reason, Resources
from tests.compute.slurm.conftest import PYTHON, Cluster, Places
from tests.rigs import rig
from tests.rigs.slurm import Slurm

pytestmark = rig("slurm")

SLEEP = "import time\ndef f(s):\n    print('on', flush=True)\n    time.sleep(s)\n    return s\n"
LISTENS = """
import ems, time
def f(s):
    try:
        print("on", flush=True)
        time.sleep(s)
    except ems.Canceled:
        (ems.context().checkpoint / "half").write_text("done")
        raise
"""
DEAF = """
import time
def f():
    print("on", flush=True)
    while True:
        try:
            time.sleep(30)
        except BaseException:
            pass
"""


def test_exit_code_and_signal(place: Cluster) -> None:
    handles = place.backend.submit(
        [place.job(["sh", "-c", "exit 3"]), place.job(["sh", "-c", "kill -SEGV $$"])]
    )
    three, segv = (place.finish(handle) for handle in handles)
    assert (three.state, three.reason, three.exit_code) == (JobState.FAILED, Reason.EXIT, 3)
    assert (segv.state, segv.reason) == (JobState.FAILED, Reason.SIGNAL)
    assert segv.signal == signal.SIGSEGV


def test_the_kernels_memory_limit_is_out_of_memory(place: Cluster) -> None:
    """The limit is Slurm's alone: the job declares none. Its other versions live on."""
    place.backend = place.open(site=("--mem=100M",))
    source = """
        def f(mib):
            held = bytearray(mib * 2**20)
            return len(held)
    """
    calls = [("f", {"mib": 1}), ("f", {"mib": 500}), ("f", {"mib": 1})]
    handle = place.submit(place.parcel(source, calls))
    status = place.finish(handle)
    ends = place.ends(handle)
    assert [e["ok"] for e in ends] == [True, False, True]
    assert (ends[1]["reason"], ends[1]["signal"]) == ("out_of_memory", signal.SIGKILL)
    assert "memory limit of 100 MiB" in ends[1]["error"]["message"]
    assert (status.state, status.reason) == (JobState.FAILED, Reason.OUT_OF_MEMORY)


def test_a_program_that_the_kernel_ended_for_its_memory(place: Cluster) -> None:
    plain = place.job([PYTHON, "-c", "held = bytearray(500 * 2**20)"])
    place.backend = place.open(site=("--mem=100M",))
    status = place.finish(place.backend.submit([plain])[0])
    assert (status.state, status.reason) == (JobState.FAILED, Reason.OUT_OF_MEMORY)
    assert "100 MiB" in status.detail


def test_slurms_limit_of_time(place: Cluster) -> None:
    """Slurm looks for such jobs twice a minute; the task gets its SIGTERM and its seconds."""
    job = place.parcel(LISTENS, [("f", {"s": 200}), ("f", {"s": 200})])
    handle = place.submit(job)
    place.until(lambda: b"on" in place.log(handle))
    place.slurm.run("scontrol", "update", f"jobid={place.job_of(handle.native)}", "EndTime=now+1")
    status = place.finish(handle, 45)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.TIMED_OUT)
    assert [e["reason"] for e in place.ends(handle)] == ["timed_out", "timed_out"]
    first = place.root / "attempts" / job["versions"][0]["v"]
    assert (first / "checkpoint" / "half").read_text() == "done"


def test_the_limit_of_a_whole_job_is_slurms(place: Cluster) -> None:
    parcel = place.parcel(SLEEP, [("f", {"s": 30})], {"timeout_s": 90})
    handle = place.submit(parcel)
    place.until(lambda: b"on" in place.log(handle))
    assert place.queue(handle.native, "%l") == ["3:00"], (
        "a minute beyond its versions', in whole minutes"
    )


def test_a_preempted_job(place: Cluster) -> None:
    """A partition of higher priority takes its nodes; its task may write a checkpoint."""
    place.backend = place.open(preemptible=("--partition=spare",))
    parcel = place.parcel(LISTENS, [("f", {"s": 200})])
    handle = place.submit(parcel, spot=True, resources=Resources.of(cpus=4))
    place.until(lambda: b"on" in place.log(handle))
    assert place.queue(handle.native, "%P") == ["spare"]
    for _ in range(2):
        place.slurm.run("sbatch", "-c4", "-o/dev/null", stdin=b"#!/bin/sh\nsleep 60\n")
    status = place.finish(handle, 40)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.PREEMPTED)
    assert [e["reason"] for e in place.ends(handle)] == ["preempted"]
    checkpoint = place.root / "attempts" / parcel["versions"][0]["v"] / "checkpoint"
    assert (checkpoint / "half").read_text() == "done"


def test_cancel_in_an_array_what_waits_and_what_runs_and_nothing_else(place: Cluster) -> None:
    code = place.code(LISTENS)
    two = Resources.of(cpus=4)
    jobs = [place.parcel(code, [("f", {"s": 60})]) for _ in range(5)]
    handles = place.backend.submit(
        [place.job([], payload=job, resources=two)._replace(command=()) for job in jobs]
    )
    place.until(lambda: sum(b"on" in place.log(each) for each in handles) == 2)
    running = [each for each in handles if b"on" in place.log(each)]
    waiting = [each for each in handles if each not in running]
    place.until(lambda: "CPUs" in place.opened[-1].waiting(waiting[0]))
    started = time.monotonic()
    place.backend.cancel([waiting[0], running[0]], 20)
    for each in (waiting[0], running[0]):
        status = place.finish(each)
        assert (status.state, status.reason) == (JobState.CANCELED, Reason.CANCELED)
        assert [e["reason"] for e in place.ends(each)] == ["canceled"]
    assert time.monotonic() - started < 8
    version = jobs[handles.index(running[0])]["versions"][0]["v"]
    assert (place.root / "attempts" / version / "checkpoint" / "half").read_text() == "done"
    place.until(lambda: b"on" in place.log(waiting[1]) or b"on" in place.log(waiting[2]))
    assert place.status(running[1]).state is JobState.RUNNING
    states = {place.status(each).state for each in waiting[1:]}
    assert states <= {JobState.RUNNING, JobState.SUBMITTED}


def test_cancel_what_does_not_listen_with_nobody_watching(place: Cluster) -> None:
    handle = place.submit(place.parcel(DEAF, [("f", {}), ("f", {})]))
    place.until(lambda: b"on" in place.log(handle))
    place.backend.cancel([handle], 1.0)
    place.until((place.root / "jobs" / handle.native / "ems-grace").exists)
    place.leave()
    time.sleep(4)
    assert place.queue(handle.native) in (["COMPLETED"], ["FAILED"], ["COMPLETING"])
    place.backend = place.open()
    assert place.finish(handle).state is JobState.CANCELED
    assert [e["reason"] for e in place.ends(handle)] == ["canceled", "canceled"]


def test_a_second_cancel_may_shorten_the_grace_period(place: Cluster) -> None:
    handle = place.submit(place.parcel(DEAF, [("f", {})]))
    place.until(lambda: b"on" in place.log(handle))
    scheduler = place.scheduler()
    scheduler.stop([handle.native], 60)
    place.backend.cancel([handle], 0)
    assert place.finish(handle, 10).state is JobState.CANCELED


def test_canceled_by_somebody_with_scancel(place: Cluster) -> None:
    handle = place.submit(place.parcel(SLEEP, [("f", {"s": 60})]))
    place.until(lambda: b"on" in place.log(handle))
    place.slurm.run("scancel", place.job_of(handle.native))
    status = place.finish(handle)
    assert (status.state, status.reason) == (JobState.CANCELED, Reason.CANCELED)
    assert [e["reason"] for e in place.ends(handle)] == ["canceled"]


@pytest.mark.parametrize(
    ("site", "amounts", "said"),
    [
        (("--partition=nosuch",), {}, "Invalid partition name specified"),
        ((), {"cpus": 40}, "asks for more than its partition has or allows (PartitionConfig)"),
        ((), {"memory": "900GiB"}, "Requested node configuration is not available"),
        ((), {"gpus": 1, "gpu_kind": "h100"}, "Requested node configuration is not available"),
        (("--constraint=red",), {}, "Invalid feature specification"),
        (("--time=3:00:00", "--partition=big"), {}, "can never start here: "),
    ],
)
def test_what_this_cluster_can_never_run(
    place: Cluster, site: tuple[str, ...], amounts: dict[str, float | str], said: str
) -> None:
    place.backend = place.open(site=site)
    handle = place.submit(place.parcel(SLEEP, [("f", {"s": 0})]), resources=Resources.of(**amounts))  # type: ignore[arg-type]
    status = place.finish(handle)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.IMPOSSIBLE)
    assert said in status.detail
    assert "PENDING" not in place.slurm.run("squeue", "-h", "-o", "%T")


def test_a_python_that_is_not_there(place: Cluster) -> None:
    place.backend = place.open("no-python-here")
    status = place.finish(place.submit(place.parcel(SLEEP, [("f", {"s": 0})])))
    assert (status.state, status.reason) == (JobState.FAILED, Reason.WORKER)
    assert "no-python-here" in status.detail


def test_a_node_that_fails(place_at: Places, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Slurm(tmp_path_factory.mktemp("slurm"), node_timeout=3) as slurm:
        place = place_at(slurm)
        place.backend = place.open(site=(f"--nodelist={slurm.node}1",))
        handle = place.submit(place.parcel(SLEEP, [("f", {"s": 60})]))
        place.until(lambda: b"on" in place.log(handle))
        gang = [
            place.job([], payload=place.parcel(SLEEP, [("f", {"s": 60})]))._replace(
                command=(), resources=Resources.of(cpus=3), member=Member("f1", "all", n, 2, n, 2)
            )
            for n in range(2)
        ]
        other = place.open()
        members = other.submit(gang)  # one on each node
        place.until(lambda: all(other.logs(each, 0)[0] for each in members), 40)
        slurm.break_node(1)
        status = place.finish(handle, 60)
        assert (status.state, status.reason) == (JobState.FAILED, Reason.LOST)
        assert "its node failed" in status.detail
        place.until(lambda: all(each.state.ended for each in other.poll(members)), 60)
        ends = {each.reason for each in other.poll(members)}
        assert ends == {Reason.LOST, Reason.PREEMPTED}, "the other one had its SIGTERM"
        place.leave()
