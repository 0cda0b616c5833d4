"""Jobs on a real Ray cluster: how they end, what they get, where they run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from ems.compute.job import JobState, Reason, Resources
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.order import Order
from tests.compute.ray.conftest import MakePlace, RayPlace
from tests.rigs import rig
from tests.rigs.ray import Cluster

# the first test waits for the cluster too
pytestmark = [rig("ray"), pytest.mark.timeout(180)]

LONG_S = 40.0


def shell(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


def copies(alone: bool) -> int:
    """One job goes as a Ray job of its own, two as tasks of a driver."""
    return 1 if alone else 2


def any_left(ray: Cluster, text: str) -> bool:
    return any(ray.processes(machine, text) for machine in (ray.head, ray.worker))


both_ways = pytest.mark.parametrize("alone", [True, False], ids=["alone", "batch"])


@both_ways
def test_success_exit_3_and_a_signal(ray_place: RayPlace, alone: bool) -> None:
    lines = ("echo hello", "echo before; exit 3", "kill -9 $$")
    jobs = [ray_place.job(shell(line)) for line in lines]
    if alone:
        handles = [ray_place.backend.submit([job])[0] for job in jobs[:1]]
        ray_place.finish(handles[0], LONG_S)
        for job in jobs[1:]:
            handles += ray_place.backend.submit([job])
            ray_place.finish(handles[-1], LONG_S)
    else:
        handles = ray_place.backend.submit(jobs)
    ended = [ray_place.finish(handle, LONG_S) for handle in handles]
    assert [each.state.value for each in ended] == ["succeeded", "failed", "failed"]
    assert (ended[1].reason, ended[1].exit_code) == (Reason.EXIT, 3)
    assert (ended[2].reason, ended[2].signal) == (Reason.SIGNAL, 9)
    assert ray_place.log(handles[0]) == b"hello\n"
    assert ray_place.log(handles[1]) == b"before\n"
    assert len(ray_place.drivers()) == (0 if alone else 1)


@both_ways
def test_variables_secrets_inputs_and_outputs(
    ray_place: RayPlace, tmp_path: Path, alone: bool
) -> None:
    (tmp_path / "key").write_text("of a file\n")
    digest = ray_place.put(b"what goes in")
    jobs = [
        ray_place.job(
            shell(f'echo "$A, $S, $F"; cat in/data >made; echo {n} >>made'),
            variables={"A": "it's $HOME"},
            secrets={"S": "env:EMS_TEST_SECRET", "F": f"file:{tmp_path}/key"},
            inputs={"in/data": digest},
            outputs={"made": "made"},
        )
        for n in range(copies(alone))
    ]
    for n, handle in enumerate(ray_place.backend.submit(jobs)):
        assert ray_place.finish(handle, LONG_S).state is JobState.SUCCEEDED
        assert ray_place.log(handle) == b"it's $HOME, of the node, of a file\n"
        (end,) = ray_place.ends(handle)
        (made,) = end["files"]
        assert ray_place.read(made[0]) == f"what goes in{n}\n".encode()
    told = str(ray_place.dashboard.jobs())
    assert "of the node" not in told and "of a file" not in told


@both_ways
def test_a_secret_that_no_node_has(ray_place: RayPlace, alone: bool) -> None:
    jobs = [
        ray_place.job(("true", str(n)), secrets={"S": "env:NO_SUCH"}) for n in range(copies(alone))
    ]
    ended = ray_place.finish(ray_place.backend.submit(jobs)[0], LONG_S)
    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.ENVIRONMENT)
    assert "secret S: 'env:NO_SUCH' can't be had" in ended.detail


@both_ways
def test_a_custom_resource_leads_to_its_node(
    ray_cluster: Cluster, make_place: MakePlace, alone: bool
) -> None:
    place = make_place(ray_cluster, rollout=1)
    line = "ip -brief address show dev lo"
    handles = place.backend.submit(
        [place.job(shell(f"{line} # {n}")) for n in range(copies(alone))]
    )
    for handle in handles:
        assert place.finish(handle, LONG_S).state is JobState.SUCCEEDED
        assert b"10.81.0.2/32" in place.log(handle)


def test_what_can_never_start_is_told_at_once(ray_cluster: Cluster, make_place: MakePlace) -> None:
    place = make_place(ray_cluster)
    jobs = [place.job(("true",), resources=Resources(cpus=n)) for n in (100, 3, 1)]
    handles = place.backend.submit(jobs)
    ended = [place.finish(handle, LONG_S) for handle in handles]
    assert [each.reason for each in ended] == [Reason.IMPOSSIBLE, Reason.IMPOSSIBLE, None]
    assert ended[0].detail == "no node of 2 has 100 CPUs"
    with_rest = make_place(ray_cluster, arms=1)
    ended = [with_rest.finish(with_rest.backend.submit([with_rest.job(("true",))])[0], LONG_S)]
    assert ended[0].detail == "no node of 2 has 1 CPUs, 1 arms"


@both_ways
def test_cancel_of_what_waits_and_what_runs(ray_place: RayPlace, alone: bool) -> None:
    all_of_it = Resources(cpus=2)
    tag = os.urandom(3).hex().translate(str.maketrans("abcdef", "012345"))
    jobs = [ray_place.job(shell(f"trap '' TERM; echo on; while :; do sleep 1.{tag}; done # {n}"),
                          resources=all_of_it) for n in range(3)]  # fmt: skip
    handles = []
    for part in [[job] for job in jobs] if alone else [jobs]:
        handles += ray_place.backend.submit(part)
        ray_place.backend.wait(0.5)

    def logs() -> list[bytes]:
        return [ray_place.log(each) for each in handles]

    ray_place.until(lambda: sum(log == b"on\n" for log in logs()) == 2, LONG_S)
    waiting = handles[logs().index(b"")]
    running = [each for each in handles if each != waiting]
    assert ray_place.status(waiting).state is JobState.SUBMITTED
    ray_place.until(lambda: bool(ray_place.spool.waiting(waiting)), LONG_S)
    began = time.monotonic()
    ray_place.backend.cancel([waiting], 1.0)
    assert ray_place.finish(waiting, LONG_S).state is JobState.CANCELED
    assert time.monotonic() - began < 5
    ray_place.backend.cancel(running, 1.0)
    for handle in running:
        assert ray_place.finish(handle, LONG_S).state is JobState.CANCELED
    assert time.monotonic() - began < 20
    assert ray_place.log(waiting) == b""
    ray_place.until(lambda: not any_left(ray_place.ray, f"sleep 1.{tag}"), 10)
    # Ray has not forgotten the one that waited, and it must not run after all
    last = ray_place.backend.submit([ray_place.job(("true",), resources=all_of_it)])[0]
    assert ray_place.finish(last, LONG_S).state is JobState.SUCCEEDED
    assert not (ray_place.there / "jobs" / waiting.native / "events.jsonl").exists()


@both_ways
def test_a_new_process_goes_on_by_the_handle(
    ray_cluster: Cluster, make_place: MakePlace, alone: bool
) -> None:
    place = make_place(ray_cluster)
    jobs = [place.job(shell(f"echo begun; sleep 2; echo done {n}")) for n in range(copies(alone))]
    handles = place.backend.submit(jobs)
    place.until(lambda: place.log(handles[0]) == b"begun\n", LONG_S)
    place.backend.close()
    other = make_place(ray_cluster)
    for n, handle in enumerate(handles):
        assert other.finish(handle, LONG_S).state is JobState.SUCCEEDED
        assert other.log(handle) == f"begun\ndone {n}\n".encode()
    other.backend.forget(handles)
    other.until(lambda: not any(each.native in other.dashboard.jobs() for each in handles), 10)
    other.until(lambda: not list((other.there / "jobs").iterdir()), 10)
    other.until(lambda: other.drivers() == {}, 10)


@both_ways
def test_started_twice_is_started_once(ray_place: RayPlace, alone: bool) -> None:
    root = ray_place.there
    orders: list[Order] = []
    for _ in range(copies(alone)):
        id = f"ems-{os.urandom(16).hex()}"
        folder = f"{root}/jobs/{id}"
        Path(folder).mkdir(parents=True)
        orders.append(Order(id, "job", ("sh", "-c", "echo ran"), folder))
    scheduler = ray_place.scheduler
    assert scheduler.start(orders) == [None] * len(orders)
    assert scheduler.start(orders) == [None] * len(orders)
    fresh = type(scheduler)(ray_place.dashboard, FolderSite(root), python=sys.executable)
    assert fresh.start(orders) == [None] * len(orders)
    ids = [order.id for order in orders]

    def all_ended() -> bool:
        seen = fresh.look(ids)
        return len(seen) == len(ids) and all(each.state.ended for each in seen.values())

    ray_place.until(all_ended, LONG_S)
    assert scheduler.start(orders) == [None] * len(orders)
    time.sleep(1)
    for order in orders:
        assert (Path(order.folder) / "output").read_text() == "ran\n"
