"""Many small jobs as one Ray job on a real cluster, and what happens when parts of it die."""

from __future__ import annotations

import os
import time

import pytest

from ems.compute.job import JobState, Reason, Resources
from ems.compute.remote.order import Order
from tests.compute.ray.conftest import MakePlace, RayPlace
from tests.rigs import rig
from tests.rigs.ray import Cluster

# the first test waits for the cluster too
pytestmark = [rig("ray"), pytest.mark.timeout(180)]

LONG_S = 60.0
LONGER_S = 120.0


def shell(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


def test_200_jobs_at_once_are_one_ray_job(ray_place: RayPlace) -> None:
    digests = [ray_place.put(f"input {n}".encode()) for n in range(200)]
    tenth = Resources(cpus=0.5)
    jobs = [
        ray_place.job(
            shell(f"cat in >out; echo {n} >&2"), inputs={"in": digests[n]}, outputs={"made": "out"},
            resources=tenth,
        )
        for n in range(200)
    ]  # fmt: skip
    began = time.monotonic()
    handles = ray_place.backend.submit(jobs)
    ray_place.until(
        lambda: all(each.state.ended for each in ray_place.backend.poll(handles)), LONGER_S
    )
    print(f"200 jobs: {time.monotonic() - began:.1f} s")
    for n, handle in enumerate(handles):
        assert ray_place.status(handle).state is JobState.SUCCEEDED
        assert ray_place.log(handle) == f"{n}\n".encode()
        (end,) = ray_place.ends(handle)
        assert ray_place.read(end["files"][0][0]) == f"input {n}".encode()
    assert len(ray_place.drivers()) == 1


def test_a_killed_driver_loses_no_job_and_runs_none_twice(ray_place: RayPlace) -> None:
    jobs = [
        ray_place.job(shell(f"date +%s.%N >>{ray_place.folder}/ran-{n}; sleep 3; echo {n}"))
        for n in range(8)
    ]
    handles = ray_place.backend.submit(jobs)
    ray_place.until(
        lambda: (
            sum(each.state is JobState.RUNNING for each in ray_place.backend.poll(handles)) >= 3
        ),
        LONG_S,
    )
    (driver,) = ray_place.drivers()
    assert ray_place.ray.kill(ray_place.ray.head, f"driver.py {ray_place.there} {driver}") >= 1
    ended = [ray_place.finish(handle, LONG_S) for handle in handles]
    assert [each.state for each in ended] == [JobState.SUCCEEDED] * 8
    for n, handle in enumerate(handles):
        assert ray_place.log(handle) == f"{n}\n".encode()
        assert len((ray_place.folder / f"ran-{n}").read_text().splitlines()) == 1
    ray_place.until(lambda: sorted(ray_place.drivers().values()) == ["FAILED", "SUCCEEDED"], LONG_S)


def test_a_job_whose_runner_is_killed_is_lost(ray_place: RayPlace) -> None:
    jobs = [ray_place.job(shell(f"echo on; sleep {n}")) for n in (0, 600)]
    handles = ray_place.backend.submit(jobs)
    ray_place.until(lambda: ray_place.log(handles[1]) == b"on\n", LONG_S)
    machines = (ray_place.ray.head, ray_place.ray.worker)
    pid = ray_place.state_file(handles[1].native)["pid"]
    found = [each for each in machines if pid in ray_place.ray.processes(each, handles[1].native)]
    for machine in found:
        machine.run("kill", "-9", str(pid), check=False)
    assert found
    ended = ray_place.finish(handles[1], LONG_S)
    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.LOST)
    assert ended.detail == "its process is gone"
    for machine in machines:
        ray_place.ray.kill(machine, "sleep 600")


def test_a_batch_that_is_stopped_in_the_dashboard_is_canceled(ray_place: RayPlace) -> None:
    jobs = [ray_place.job(shell(f"echo on; sleep 60; # {n}")) for n in range(5)]
    handles = ray_place.backend.submit(jobs)
    ray_place.until(lambda: any(ray_place.log(each) for each in handles), LONG_S)
    (driver,) = ray_place.drivers()
    ray_place.dashboard.stop(driver)
    ended = [ray_place.finish(handle, LONG_S) for handle in handles]
    assert {each.state for each in ended} == {JobState.CANCELED}


def test_a_limit_of_the_whole_job_holds_with_nobody_watching(ray_place: RayPlace) -> None:
    """The worker ends its versions itself; this limit is for a worker that does not."""
    orders: list[Order] = []
    for _ in range(3):
        folder = ray_place.there / "jobs" / f"ems-{os.urandom(16).hex()}"
        folder.mkdir(parents=True)
        words = ("sh", "-c", "trap '' TERM; sleep 60; sleep 61")
        orders.append(Order(folder.name, "long", words, str(folder), wall_s=1.0, grace_s=0.5))
    ray_place.scheduler.start(orders[:2])
    ray_place.scheduler.start(orders[2:])
    ids = [order.id for order in orders]

    def all_ended() -> bool:
        seen = ray_place.scheduler.look(ids)
        return len(seen) == 3 and all(each.state.ended for each in seen.values())

    ray_place.until(all_ended, LONG_S)
    for native in ray_place.scheduler.look(ids).values():
        assert (native.reason, native.detail) == (Reason.TIMED_OUT, "ran longer than 1 s in all")


def test_places_with_the_same_folder_do_not_start_a_job_twice(
    ray_cluster: Cluster, make_place: MakePlace
) -> None:
    one, two = make_place(ray_cluster), make_place(ray_cluster)
    jobs = [
        one.job(shell(f"echo {n} >>{one.folder}/ran; echo {n}"), key=f"{n:02x}" * 16)
        for n in range(40, 46)
    ]
    handles = [one.backend.submit(jobs), two.backend.submit(jobs[:4]), two.backend.submit(jobs[4:])]
    for place, some in zip((one, two, two), handles, strict=True):
        assert all(place.finish(each, LONG_S).state is JobState.SUCCEEDED for each in some)
    assert sorted((one.folder / "ran").read_text().split()) == [str(n) for n in range(40, 46)]
