"""The broker: the first target that can, waiting where none can, and handles before hand-over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ems.compute.backend import Backend, Room
from ems.compute.broker import Broker, choices
from ems.compute.job import Handle, Job, JobState, Reason, Resources
from ems.compute.local import LocalBackend
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.spool import SpoolBackend
from ems.errors import UsageError
from tests.contract.place import Kept
from tests.contract.processes import Processes


class Full(Processes):
    """A place that others fill."""

    def room(self) -> Room:
        return Room(0.0, 4.0)


Opening = Callable[[], Sequence[Backend]]


def _local(folder: Path, name: str, cpus: int) -> Opening:
    def opening() -> Sequence[Backend]:
        made = LocalBackend(
            cpus=cpus, memory_gib=4, gpus=(), cache=folder / "c", folder=folder / name
        )
        made.name = name
        return [made]

    return opening


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One place of one CPU, and one of two."""
    targets = {"small": _local(tmp_path, "small", 1), "large": _local(tmp_path, "large", 2)}
    made = Broker(targets, ("small",))
    yield made
    made.close()


def _job(*on: str, seconds: float = 0.0, cpus: int = 1) -> Job:
    return Job("nap", command=("sleep", str(seconds)), on=on, resources=Resources.of(cpus))


def _until(broker: Broker, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        broker.wait(0.1)


def _finish(broker: Broker, handles: Sequence[Handle]) -> list[JobState]:
    _until(broker, lambda: all(each.state.ended for each in broker.poll(handles)))
    return [each.state for each in broker.poll(handles)]


def test_what_names_no_target_goes_to_the_default(broker: Broker) -> None:
    handles = broker.submit([_job()])
    assert _finish(broker, handles) == [JobState.SUCCEEDED]
    assert handles[0].backend == "small"


def test_a_full_place_spills_over_and_a_full_lab_waits(broker: Broker) -> None:
    handles = broker.submit([_job("auto", seconds=1) for _ in range(5)])
    assert [handle.backend for handle in handles] == ["small", "large", "large", *["broker"] * 2]
    assert "small: " in broker.waiting(handles[4]) and "large: " in broker.waiting(handles[4])
    assert {each.state for each in broker.poll(handles[3:])} == {JobState.SUBMITTED}
    assert _finish(broker, handles) == [JobState.SUCCEEDED] * 5
    assert broker.now(handles[4]).backend in ("small", "large")


def test_the_order_of_a_list_counts(broker: Broker) -> None:
    assert broker.submit([_job("large", "small")])[0].backend == "large"
    assert broker.submit([_job("large", "small", cpus=2)])[0].backend == "broker"


def test_a_large_job_that_waits_does_not_hold_up_a_small_one(broker: Broker) -> None:
    first, large, small = broker.submit(
        [_job("large", seconds=20), _job("auto", cpus=2), _job("auto", cpus=1)]
    )
    assert (first.backend, large.backend, small.backend) == ("large", "broker", "small")
    broker.cancel([first], grace_s=0)
    assert _finish(broker, [large, small]) == [JobState.SUCCEEDED] * 2


def test_what_no_place_could_ever_start_is_refused(broker: Broker) -> None:
    (handle,) = broker.submit([_job("auto", cpus=3)])
    assert _finish(broker, [handle]) == [JobState.FAILED]
    assert broker.poll([handle])[0].reason is Reason.IMPOSSIBLE


def test_what_waits_is_canceled_at_once(broker: Broker) -> None:
    handles = broker.submit([_job("auto", seconds=20) for _ in range(4)])
    broker.cancel(handles, grace_s=0)
    assert broker.poll(handles[3:])[0].state is JobState.CANCELED
    assert set(_finish(broker, handles)) == {JobState.CANCELED}


def test_a_target_that_is_not_there_ends_the_job_and_not_the_run(broker: Broker) -> None:
    good, bad = broker.submit([_job(), _job("smal")])
    status = broker.poll([bad])[0]
    assert (status.state, status.reason) == (JobState.FAILED, Reason.IMPOSSIBLE)
    assert "did you mean 'small'?" in status.detail
    assert _finish(broker, [good]) == [JobState.SUCCEEDED]


def test_choices() -> None:
    there = {"local": 1, "robots": 1}
    assert choices(["auto"], there) == ("local", "robots")
    assert choices(["cluster", "robots"], there) == ("robots",)
    with pytest.raises(UsageError, match=r"on='robot': names no place .*did you mean 'robots'"):
        choices(["robot"], there)


def test_a_place_that_lasts_is_told_of_before_it_gets_a_job(tmp_path: Path) -> None:
    """And another process, with the handle alone, goes on with it."""
    there, told = tmp_path / "there", list[str]()

    def opening() -> Sequence[Backend]:
        kept = Kept(tmp_path / "objects")
        return [SpoolBackend("far", FolderSite(there), Processes(there), kept, tmp_path / "cache")]

    def tell(going: Sequence[tuple[Handle, Job]]) -> None:
        assert not list(there.glob("jobs/*"))
        told.extend(handle.native for handle, _ in going)

    first = Broker({"far": opening}, ("far",), tell)
    (handle,) = first.submit([_job(seconds=1)._replace(key="ab" * 16)])
    assert told == [handle.native] and first.lasts(handle)
    _until(first, lambda: first.handed([handle])[0])
    first.close()
    second = Broker({"far": opening}, ("far",))
    assert second.knows(handle)
    assert _finish(second, [handle]) == [JobState.SUCCEEDED]
    second.close()
    nowhere = Broker({}, ())
    assert not nowhere.knows(handle)
    status = nowhere.poll([handle])[0]  # others may know it: nothing is decided here
    assert status.state is JobState.SUBMITTED and "no target here is called far" in status.detail
    assert nowhere.waiting(handle) == status.detail and nowhere.handed([handle]) == [True]


def test_what_waits_for_a_place_that_others_fill_does_not_spin(tmp_path: Path) -> None:
    full, cache = Full(tmp_path / "there"), tmp_path / "cache"
    kept = Kept(tmp_path / "objects")

    def opening(name: str) -> Opening:
        return lambda: [SpoolBackend(name, FolderSite(tmp_path / "there"), full, kept, cache)]

    broker = Broker({"one": opening("one"), "two": opening("two")}, ("one",))
    _until(broker, lambda: broker.fits(_job("one", "two")).count("are not free") == 2)
    (handle,) = broker.submit([_job("one", "two")])
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < 0.5:
        assert broker.poll([handle])[0].state is JobState.SUBMITTED
        broker.wait(0.5)
        rounds += 1
    assert rounds < 10
    broker.close()
