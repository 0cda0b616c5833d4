"""Gangs on a real Slurm: one job for all members, each with a start and an end of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ems.compute.job import Handle, Job, JobState, Member, Reason, Resources
from ems.compute.remote.order import Order
from tests.compute.slurm.conftest import PYTHON, Cluster
from tests.compute.slurm.orders import order, ran, until_ended
from tests.rigs import rig

pytestmark = rig("slurm")

_MEET = """
echo >events.jsonl; echo run >>ran; echo "$SLURMD_NODENAME $NAME" >node; touch ../here.$RANK
while [ $(ls .. | grep -c here.) -lt 3 ]; do sleep 0.05; done
"""
_LISTEN = "trap 'echo told >told; exit 9' TERM; echo run >>ran; sleep 60 & wait"


def gang(
    place: Cluster, commands: Sequence[str], needs: Sequence[Resources] = (), first: int = 1
) -> list[Order]:
    """Return a gang of shell lines; with several `needs`, each makes a role of its own."""
    needs = needs or [Resources()] * len(commands)
    roles = sorted(set(needs), key=needs.index)
    made: list[Order] = []
    for rank, (command, need) in enumerate(zip(commands, needs, strict=True)):
        nth, role = needs[:rank].count(need), f"role{roles.index(need)}"
        member = Member(f"{first:08x}", role, nth, needs.count(need), rank, len(commands))
        plain = order(place, first + rank, command)
        variables = {"RANK": str(rank), "NAME": f"it's {rank}"}
        made.append(plain._replace(resources=need, variables=variables, member=member))
    return made


def files(orders: Sequence[Order], name: str) -> list[str]:
    """Return what each left in a file."""
    paths = [Path(each.folder) / name for each in orders]
    return [path.read_text().strip() if path.exists() else "" for path in paths]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 40
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def jobs(place: Cluster) -> int:
    """Return how many jobs this cluster has ever had."""
    return int(place.slurm.run("sbatch", "--parsable", "-o/dev/null", stdin=b"#!/bin/sh\n"))


def test_members_alike_are_the_tasks_of_one_job(place: Cluster) -> None:
    before = jobs(place)
    ends = ("exit 0", "exit 3", "kill -SEGV $$")
    needs = [Resources.of(cpus=2, memory="300MiB")] * 3
    orders = gang(place, [_MEET + end for end in ends], needs)
    scheduler = place.scheduler()
    assert scheduler.start(orders) == [None] * 3
    found = until_ended(scheduler, orders)
    assert [(n.reason, n.exit_code, n.signal) for n in map(found.__getitem__, _ids(orders))] == [
        (None, 0, None), (Reason.EXIT, 3, None), (Reason.SIGNAL, None, 11),
    ]  # fmt: skip
    nodes = files(orders, "node")
    assert [each.partition(" ")[2] for each in nodes] == ["it's 0", "it's 1", "it's 2"]
    assert len({each.partition(" ")[0] for each in nodes}) == 2, "three do not fit on one node"
    assert len({place.job_of(each.id) for each in orders}) == 1
    assert place.queue(orders[0].id, "%C %m") == ["6 150M"]
    assert jobs(place) - before == 2
    assert place.scheduler().look(_ids(orders)) == found


def test_roles_that_differ_are_the_parts_of_one_job(place: Cluster) -> None:
    """The one with GPUs gets one of them; the others see none."""
    needs = [Resources.of(cpus=2, gpus=1, gpu_kind="t4"), *[Resources.of(memory="200MiB")] * 2]
    show = 'echo "$CUDA_VISIBLE_DEVICES" >gpus'
    orders = gang(place, [f"{_MEET}{show}; exit {code}" for code in (0, 4, 5)], needs)
    scheduler = place.scheduler(partition="wide", site=("--partition=wide",))
    assert scheduler.start(orders) == [None] * 3
    found = until_ended(scheduler, orders)
    assert [found[each.id].exit_code for each in orders] == [0, 4, 5]
    assert ran(orders) == [1, 1, 1]
    assert files(orders, "gpus") == ["0", "", ""]
    assert sorted(place.queue(orders[0].id, "%C")) == ["2", "2"]


def test_all_start_or_none(place: Cluster) -> None:
    """Two of the three could start; none does, and ending one that waits ends them all."""
    scheduler = place.scheduler()
    other = order(place, 9, _LISTEN)._replace(resources=Resources.of(cpus=3))
    scheduler.start([other])
    until(lambda: ran([other]) == [1])
    orders = gang(place, ["echo run >>ran"] * 3, [Resources.of(cpus=2)] * 3)
    assert scheduler.start(orders) == [None] * 3
    until(lambda: "CPUs" in scheduler.look(_ids(orders))[orders[0].id].waiting)
    scheduler.stop([orders[1].id], 1)
    found = until_ended(scheduler, orders)
    assert {each.reason for each in found.values()} == {Reason.CANCELED}
    assert "before it started" in found[orders[1].id].detail
    assert ran(orders) == [0, 0, 0]


@pytest.mark.parametrize("roles", [1, 2])
def test_one_member_is_ended_and_the_others_are_not(place: Cluster, roles: int) -> None:
    needs = [Resources.of(cpus=1), Resources.of(cpus=1), Resources.of(cpus=roles)]
    orders = gang(place, [_LISTEN] * 3, needs)
    scheduler = place.scheduler()
    scheduler.start(orders)
    until(lambda: ran(orders) == [1, 1, 1])
    for number in (1, 2):  # the second has the first one's request before its eyes
        scheduler.stop([orders[number].id], 20)
        until(lambda number=number: scheduler.look(_ids(orders))[orders[number].id].state.ended)
        assert files(orders, "told") == ["", "told", "told" if number == 2 else ""]
    assert scheduler.look(_ids(orders))[orders[0].id].state is JobState.RUNNING
    place.slurm.run("scancel", place.job_of(orders[0].id))
    until_ended(scheduler, orders)
    assert files(orders, "told") == ["told"] * 3


def test_a_member_that_vanishes_is_lost_and_the_others_are_not(place: Cluster) -> None:
    said = "echo >events.jsonl; echo run >>ran"
    orders = gang(place, [f"{said}; sleep 1", f"{said}; kill -KILL $PPID; exit 3"])
    of_a_job = {"SLURM_MEM_PER_NODE": "64", "SLURM_CPUS_PER_TASK": "9", "SLURM_NTASKS": "7"}
    place.variables.update(of_a_job)  # which submits this one
    scheduler = place.scheduler()
    scheduler.start(orders)
    found = until_ended(scheduler, orders)
    assert [found[each.id].reason for each in orders] == [None, Reason.LOST]
    assert "ended without a word" in found[orders[1].id].detail


def test_a_part_that_can_never_start_takes_all_out_of_the_queue(place: Cluster) -> None:
    orders = gang(place, ["true"] * 2, [Resources.of(cpus=1), Resources.of(cpus=60)])
    scheduler = place.scheduler()
    assert scheduler.start(orders) == [None] * 2
    found = until_ended(scheduler, orders)
    assert {each.reason for each in found.values()} == {Reason.IMPOSSIBLE}
    until(lambda: place.queue(orders[0].id) == ["CANCELLED"] * 2)
    assert {each.reason for each in scheduler.look(_ids(orders)).values()} == {Reason.IMPOSSIBLE}


def test_nothing_of_a_gang_is_started_twice_nor_without_the_others(place: Cluster) -> None:
    orders = gang(place, ["echo run >>ran; sleep 1"] * 2)
    assert place.scheduler().start(orders) == [None] * 2
    assert place.scheduler().start(orders) == [None] * 2
    until(lambda: ran(orders) == [1, 1])
    native = [Path(each.folder) / "ems-native" for each in orders]
    for each in native:  # as where Slurm could not say that it has them
        each.unlink()
    second = place.scheduler()
    assert second.start(orders) == [None] * 2
    until_ended(second, orders)
    late = gang(place, ["echo run >>ran"] * 3)[2:]
    members = [orders[0], *(each._replace(member=orders[0].member) for each in late)]
    taken, refused = second.start(members)
    assert (taken, refused and refused.reason) == (None, Reason.LOST)
    time.sleep(1)
    assert ran([*orders, *late]) == [1, 1, 0]
    bad = gang(place, ["echo run >>ran"] * 2, first=20)
    bad[1] = bad[1]._replace(secrets={"TOKEN": "vault:x"})
    assert [each and each.reason for each in second.start(bad)] == [Reason.IMPOSSIBLE] * 2


LISTENS = """
import ems, time
def f():
    try:
        print("on", flush=True)
        time.sleep(200)
    except ems.Canceled:
        print("checkpoint", flush=True)
        raise
"""


def submit(place: Cluster, count: int, *, spot: bool = False, cpus: int = 1) -> list[Handle]:
    """Submit a gang of tasks through a backend, and wait until all run."""
    code = place.code(LISTENS)
    made = [
        Job(
            f"part-{rank}", place.parcel(code, [("f", {})]), spot=spot,
            resources=Resources.of(cpus=cpus), member=Member("ab", "all", rank, count, rank, count),
        )
        for rank in range(count)
    ]  # fmt: skip
    handles = place.backend.submit(made)
    place.until(lambda: all(b"on" in place.log(each) for each in handles))
    return handles


def test_what_slurm_does_to_the_job_it_does_to_all_members(place: Cluster) -> None:
    place.backend = place.open(preemptible=("--partition=spare",))
    handles = submit(place, 2, spot=True, cpus=3)
    for _ in range(2):
        place.slurm.run("sbatch", "-c4", "-o/dev/null", stdin=b"#!/bin/sh\nsleep 60\n")
    for each in handles:
        status = place.finish(each, 40)
        assert (status.state, status.reason) == (JobState.FAILED, Reason.PREEMPTED)
        assert place.log(each) == b"on\ncheckpoint\n"


def test_a_member_is_canceled_and_one_runs_out_of_memory(place: Cluster) -> None:
    place.backend = place.open(site=("--mem-per-cpu=200M",))
    plain = [_LISTEN, _LISTEN, f"exec {PYTHON} -c 'held = bytearray(900 * 2**20)'"]
    made = [
        place.job(["sh", "-c", line])._replace(member=Member("ac", "all", rank, 3, rank, 3))
        for rank, line in enumerate(plain)
    ]
    handles = place.backend.submit(made)
    meet(place, handles)
    killed = place.finish(handles[2])
    assert (killed.state, killed.reason) == (JobState.FAILED, Reason.OUT_OF_MEMORY)
    place.backend.cancel([handles[0]], 20)
    assert place.finish(handles[0]).state is JobState.CANCELED
    assert place.status(handles[1]).state is JobState.RUNNING
    place.backend.cancel([handles[1]], 0)
    assert place.finish(handles[1]).state is JobState.CANCELED


def meet(place: Cluster, handles: Sequence[Handle]) -> None:
    """Tell members of each other, as who follows a gang does."""
    rows: list[dict[str, object]] = []
    for rank, handle in enumerate(handles):
        place.until(lambda handle=handle: bool(_ready(place, handle)), 60)
        said = _ready(place, handle)[0]
        where = {"address": said["address"], "port": said["port"]}
        rows.append({"role": "all", "role_rank": rank, "rank": rank, **where})
    place.opened[-1].brief(handles, json.dumps(rows).encode())


def _ready(place: Cluster, handle: Handle) -> list[dict[str, Any]]:
    return [each for each in place.messages(handle) if each["ev"] == "ready"]


def _ids(orders: Sequence[Order]) -> list[str]:
    return [each.id for each in orders]
