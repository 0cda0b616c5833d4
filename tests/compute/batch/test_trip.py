"""The whole way: the target of a project's settings, S3, Batch, and real workers as its jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.compute.backend import Backend
from ems.compute.batch.kind import BatchKind, BatchSettings
from ems.compute.job import Job, JobState, Reason, Resources
from ems.compute.kinds import Setting
from tests.compute.batch.cloud import IMAGE, REGION, Cloud
from tests.contract.place import Kept, Place

SOURCE = """
    import os, time
    def square(n):
        print("n is", n)
        return n * n
    def leave():
        os._exit(7)
    def sleep():
        print("asleep", flush=True)
        time.sleep(60)
"""


class Trip:
    """Backends of one target, as several processes would open them."""

    def __init__(self, cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.folder, self.said = cloud, folder, list[str]()
        monkeypatch.setenv("AWS_REGION", REGION)
        self.opened: list[Backend] = []

    def open(self, batch: str = "oregon/plain") -> Place:
        kind = BatchKind(read=lambda *_: self.cloud.outputs)
        settings = BatchSettings(
            batch=batch, image=IMAGE, folder=f"s3://bucket-of-dev/scratch/{self.folder.name}",
            python=sys.executable, stack="dev",
        )  # fmt: skip
        objects = Kept(self.folder / "objects")
        setting = Setting(objects, self.folder / "cache", self.said.append, self.folder)
        (backend,) = kind.open("sky", settings, setting)
        self.opened.append(backend)
        return Place(backend, self.folder)


@pytest.fixture
def trip(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trip]:
    made = Trip(cloud, tmp_path, monkeypatch)
    yield made
    for each in made.opened:
        each.close()


def test_a_job_goes_there_and_its_result_comes_back(trip: Trip) -> None:
    place = trip.open()
    assert place.backend.name == "sky" and place.backend.capabilities.images
    handle = place.submit(place.parcel(SOURCE, [("square", {"n": 7})]))
    status = place.finish(handle, 60)
    assert status.state is JobState.SUCCEEDED, (status, trip.said)
    (end,) = place.ends(handle)
    assert end["ok"] and place.log(handle) == b"n is 7\n"
    assert trip.said == []


def test_jobs_alike_go_as_an_array_and_one_fails(trip: Trip) -> None:
    place = trip.open()
    calls = [("square", {"n": n}) for n in range(4)]
    before = len(trip.cloud.calls())
    parcels = [place.parcel(SOURCE, [each]) for each in (*calls, ("leave", {}))]
    handles = place.backend.submit([Job("work", each) for each in parcels])
    states = [place.finish(each, 60) for each in handles]
    assert [each.state for each in states] == [*[JobState.SUCCEEDED] * 4, JobState.FAILED]
    assert states[4].reason is Reason.EXIT and states[4].exit_code == 7
    sizes = [each["arrayProperties"]["size"] for each in trip.cloud.bodies("submitjob", before)]
    assert sizes == [5]
    place.backend.forget(handles)


def test_another_process_goes_on_watching_and_cancels(trip: Trip) -> None:
    place = trip.open()
    handle = place.submit(place.parcel(SOURCE, [("sleep", {})]))
    place.until(lambda: place.log(handle) == b"asleep\n", 60)
    trip.opened.pop().close()
    other = trip.open()
    other.until(lambda: other.status(handle).state is JobState.RUNNING, 30)
    other.backend.cancel([handle], 10)
    status = other.finish(handle, 60)
    assert (status.state, status.reason) == (JobState.CANCELED, Reason.CANCELED)


def test_what_no_queue_takes_has_failed(trip: Trip) -> None:
    place = trip.open()
    handle = place.submit(place.parcel(SOURCE, [("square", {"n": 1})]), resources=Resources(gpus=1))
    status = place.finish(handle, 30)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.IMPOSSIBLE)
    assert "has no GPU" in status.detail
