"""The whole way: the target of a project's settings, S3, training jobs, real workers in them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.compute.backend import Backend
from ems.compute.job import Handle, Job, JobState, Reason, Resources
from ems.compute.kinds import Setting
from ems.compute.sagemaker.kind import SageMakerKind, SageMakerSettings
from tests.compute.sagemaker.cloud import BUCKET, IMAGE, Cloud
from tests.contract.place import Kept, Place
from tests.rigs import rig

pytestmark = rig("podman")

SOURCE = """
    import os, time
    def square(n):
        print("n is", n)
        return n * n
    def leave():
        os._exit(3)
    def sleep():
        print("asleep", flush=True)
        time.sleep(600)
    def surroundings():
        ml = "/opt/ml/input/config/resourceconfig.json"
        names = ("TRAINING_JOB_NAME", "AWS_REGION", "EMS_GRACE_S")
        return [os.getpid() > 1, os.path.exists(ml), *(os.environ[name] for name in names)]
    def count():
        import ems
        from pathlib import Path
        own, theirs = ems.context().checkpoint / "n", Path("/opt/ml/checkpoints/n")
        at = own.read_text() if own.exists() else "none"
        kept = theirs.read_text() if theirs.exists() else "none"
        print("found", at, kept, flush=True)
        if at != "none":
            return [at, kept]
        own.write_text("7")
        theirs.write_text("8")
        print("saved", flush=True)
        time.sleep(600)
"""


MANY = Resources(cpus=10_000)


class Trip:
    """Backends of one target, as several processes would open them."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder, self.said = cloud, folder, list[str]()
        self.opened: list[Backend] = []

    def open(self, **more: object) -> Place:
        kind = SageMakerKind(read=lambda *_: self.cloud.outputs, poll_s=0.3)
        said: dict[str, object] = {
            "sagemaker": "oregon", "image": IMAGE, "stack": "dev",
            "folder": f"s3://{BUCKET}/scratch/{self.folder.name}", **more,
        }  # fmt: skip
        objects = Kept(self.folder / "objects")
        setting = Setting(objects, self.folder / "cache", self.said.append, self.folder)
        (backend,) = kind.open("gpu", SageMakerSettings(**said), setting)  # type: ignore[arg-type]
        self.opened.append(backend)
        return Place(backend, self.folder)

    def name(self, handle: Handle) -> str:
        return f"ems-dev--{handle.native.removeprefix('ems-')}"


@pytest.fixture
def trip(cloud: Cloud, tmp_path: Path) -> Iterator[Trip]:
    made = Trip(cloud, tmp_path)
    yield made
    for each in made.opened:
        each.close()


def test_jobs_go_there_and_what_becomes_of_them_comes_back(trip: Trip) -> None:
    place = trip.open()
    calls = [("square", {"n": 7}), ("leave", {}), ("surroundings", {})]
    jobs = [Job("work", place.parcel(SOURCE, [each])) for each in calls]
    again = place.parcel(SOURCE, calls[:1])
    jobs += [Job("work", again, image="worker:gone"), Job("work", again, resources=MANY)]
    handles = place.backend.submit(jobs)
    done, left, seen, gone, never = [place.finish(each, 120) for each in handles]
    assert done.state is JobState.SUCCEEDED, (done, trip.said)
    assert place.log(handles[0]) == b"n is 7\n"
    assert (left.state, left.reason, left.exit_code) == (JobState.FAILED, Reason.EXIT, 3)
    assert seen.state is JobState.SUCCEEDED
    (end,) = place.ends(handles[2])
    assert end["out"] == [True, True, trip.name(handles[2]), "us-west-2", "120"]
    assert (gone.state, gone.reason) == (JobState.FAILED, Reason.BAD_IMAGE)
    assert "Cannot pull" in gone.detail
    assert (never.state, never.reason) == (JobState.FAILED, Reason.IMPOSSIBLE)
    # what a job prints is in its container's log as well, where SageMaker looks for metrics
    assert "n is 7\n" in trip.cloud.ask("log", trip.name(handles[0]))
    assert trip.said == []


def test_another_process_goes_on_watching_and_cancels(trip: Trip) -> None:
    place = trip.open()
    handle = place.submit(place.parcel(SOURCE, [("sleep", {})]))
    place.until(lambda: place.log(handle) == b"asleep\n", 60)
    trip.opened.pop().close()
    other = trip.open()
    other.until(lambda: other.status(handle).state is JobState.RUNNING, 30)
    began = time.monotonic()
    other.backend.cancel([handle], 10)
    status = other.finish(handle, 60)
    assert (status.state, status.reason) == (JobState.CANCELED, Reason.CANCELED)
    assert time.monotonic() - began < 60, "its worker was killed instead of ended"
    assert trip.cloud.calls("StopTrainingJob")[-1] == {"TrainingJobName": trip.name(handle)}


def test_a_stop_that_is_refused_leaves_the_others_followed(trip: Trip) -> None:
    place = trip.open()
    stuck = place.submit(place.parcel(SOURCE, [("sleep", {})]))
    place.until(lambda: place.log(stuck) == b"asleep\n", 60)
    code, message = "ValidationException", "can't be stopped"
    trip.cloud.fail("StopTrainingJob", code, message=message, times=100_000)
    graces = (100 * 0.99**n for n in itertools.count())

    def cancel() -> None:
        place.backend.cancel([stuck], next(graces))  # ever sooner: each is told at once

    def follow() -> bool:
        cancel()
        return place.status(other).state.ended

    try:
        cancel()
        other = place.submit(place.parcel(SOURCE, [("square", {"n": 7})]))
        place.until(follow, 60)
        assert place.status(other).state is JobState.SUCCEEDED
        assert any(message in each for each in trip.said)
    finally:
        trip.cloud.fail("StopTrainingJob", code, times=0)
    cancel()
    assert place.finish(stuck, 60).state is JobState.CANCELED


def test_a_job_whose_spot_instance_was_taken_back_finds_its_checkpoint(trip: Trip) -> None:
    place = trip.open(spot="always")
    handle = place.submit(place.parcel(SOURCE, [("count", {})]))
    place.until(lambda: b"saved" in place.log(handle), 60)
    trip.cloud.end(trip.name(handle), "interrupt")
    place.until(lambda: "taken back" in place.backend.waiting(handle), 60)
    trip.cloud.ask("resume", trip.name(handle))
    status = place.finish(handle, 60)
    assert status.state is JobState.SUCCEEDED, (status, place.log(handle))
    assert place.ends(handle)[-1]["out"] == ["7", "8"]
    assert place.log(handle) == b"found none none\nsaved\nfound 7 8\n"
