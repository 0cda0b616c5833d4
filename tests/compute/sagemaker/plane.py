"""What runs training jobs where moto runs nothing: a control plane over podman.

It stands for SageMaker itself: requests come in, containers run as it runs them (entry point,
arguments, variables, /opt/ml, SIGTERM and 120 seconds, checkpoints kept in S3), states go on as
its pages say. Its sentences are those that the table of states cites. It knows no tasks, and
nothing of EMS but that it is a client. What it can't show: how long instances take, and what AWS
checks of a request beyond its shape.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.rigs.podman import NO_IMAGE, Podman

ARN = "arn:aws:sagemaker:us-west-2:123456789012:training-job/"
GRACE_S = 120.0
_TURN_S = 0.05
_NOT_PULLED = (
    "ClientError: Cannot pull algorithm container. Either the image does not exist or its "
    "permissions are incorrect."
)
_OVER = ("Completed", "Failed", "Stopped")


class Refusal(Exception):
    """What SageMaker refuses: a code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Job:
    """One training job: its request, and how it stands."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self.name: str = request["TrainingJobName"]
        self.status, self.second, self.reason = "InProgress", "Starting", ""
        self.created = self.changed = time.time()
        self.transitions: list[dict[str, Any]] = []
        self.asked = ""
        """How it is to end before its time: stop, interrupt, expire."""
        self.starts = 0
        self.resume = threading.Event()

    def go(self, second: str, status: str = "InProgress", message: str = "") -> None:
        self.second, self.status, self.changed = second, status, time.time()
        now = {"Status": second, "StartTime": self.changed}
        self.transitions.append({**now, "StatusMessage": message} if message else now)

    @property
    def over(self) -> bool:
        return self.status in _OVER

    def summary(self) -> dict[str, Any]:
        return {
            "TrainingJobName": self.name,
            "TrainingJobArn": ARN + self.name,
            "CreationTime": self.created,
            "LastModifiedTime": self.changed,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.second,
        }

    def described(self) -> dict[str, Any]:
        told = {key: value for key, value in self.request.items() if key != "Tags"}
        told |= {**self.summary(), "SecondaryStatusTransitions": list(self.transitions)}
        told["ModelArtifacts"] = {"S3ModelArtifacts": "s3://nowhere/model.tar.gz"}
        return {**told, "FailureReason": self.reason} if self.reason else told


class Plane:
    """All jobs of one account; calls come from several threads."""

    def __init__(
        self, folder: Path, podman: Podman, variables: Mapping[str, str], s3: Callable[[], Any]
    ) -> None:
        self._folder, self._podman, self._variables, self._s3 = folder, podman, variables, s3
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self.quotas: dict[str, int] = {}
        self.held = self._closed = False
        self._threads: list[threading.Thread] = []

    # -- operations -------------------------------------------------------------------------------

    def create(self, request: Mapping[str, Any]) -> None:
        """Take a job in, and start it."""
        name, instance = request["TrainingJobName"], request["ResourceConfig"]["InstanceType"]
        with self._lock:
            if name in self._jobs:
                raise Refusal(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, and a "
                    f"training job with this name already exists ({ARN}{name})",
                )
            live = [job for job in self._jobs.values() if not job.over]
            used = sum(job.request["ResourceConfig"]["InstanceType"] == instance for job in live)
            most = self.quotas.get(instance, used + 1)
            if used >= most:
                raise Refusal(
                    "ResourceLimitExceeded",
                    f"The account-level service limit '{instance} for training job usage' is "
                    f"{most} Instances, with current utilization of {used} Instances and a request "
                    "delta of 1 Instances. Please contact AWS support to request an increase for "
                    "this limit.",
                )
            job = self._jobs[name] = Job(request)
        job.go("Starting", message="Starting the training job.")
        thread = threading.Thread(target=self._live, args=(job,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """End all jobs at once."""
        self._closed = True
        self._podman.remove_all()
        for each in self._threads:
            each.join(30)

    def describe(self, name: str) -> dict[str, Any]:
        """Return what is told of a job."""
        return self._job(name).described()

    def list(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of jobs, newest first."""
        created, changed = (
            wanted.get("CreationTimeAfter", 0),
            wanted.get("LastModifiedTimeAfter", 0),
        )
        with self._lock:
            jobs = sorted(self._jobs.values(), key=lambda job: -job.created)
        found = [
            job.summary()
            for job in jobs
            if wanted.get("NameContains", "") in job.name
            and job.created > created
            and job.changed > changed
        ]
        at, most = int(wanted.get("NextToken") or 0), wanted.get("MaxResults", 10)
        more = {"NextToken": str(at + most)} if len(found) > at + most else {}
        return {"TrainingJobSummaries": found[at : at + most], **more}

    def stop(self, name: str) -> None:
        """Ask a job to end."""
        job = self._job(name)
        if job.over:
            message = (
                f"The request was rejected because the training job is in status {job.status}."
            )
            raise Refusal("ValidationException", message)
        job.asked = "stop"
        job.go("Stopping", "Stopping")
        job.resume.set()

    def end(self, name: str, how: str) -> None:
        """Take a job's instance back (`interrupt`), or let its time run out (`expire`)."""
        self._job(name).asked = how

    def resume(self, name: str) -> None:
        """Give an interrupted job an instance again."""
        self._job(name).resume.set()

    def _job(self, name: str) -> Job:
        with self._lock:
            if name not in self._jobs:
                raise Refusal("ValidationException", "Requested resource not found.")
            return self._jobs[name]

    # -- running ----------------------------------------------------------------------------------

    def _live(self, job: Job) -> None:
        while self.held and not job.asked and not self._closed:
            time.sleep(_TURN_S)
        code = None if job.asked or self._closed else self._run(job)
        while job.asked == "interrupt":
            job.asked = ""
            job.go("Interrupted")
            while not job.resume.wait(_TURN_S) and not self._closed:
                pass
            job.resume.clear()
            if not job.asked and not self._closed:
                job.go("Starting", message="Launching requested ML instances.")
                code = self._run(job)
        if job.asked == "stop":
            job.go("Stopped", "Stopped")
        elif job.asked == "expire":
            job.go("MaxRuntimeExceeded", "Stopped")
        elif code == 0:
            job.go("Completed", "Completed")
        else:
            job.reason = _NOT_PULLED if code == NO_IMAGE else f"AlgorithmError: , exit code: {code}"
            job.go("Failed", "Failed", "Training job failed")

    def _run(self, job: Job) -> int:
        """Run a job's container to its end, on a fresh instance; return its exit code."""
        job.starts += 1
        home = self._folder / f"{job.name}-{job.starts}"
        self._furnish(home, job)
        what = job.request["AlgorithmSpecification"]
        container = f"{job.name}-{job.starts}"
        job.go("Downloading", message="Downloading the training image")
        job.go("Training", message="Training image download completed. Training in progress.")
        process = self._podman.run(
            container,
            what["TrainingImage"],
            what.get("ContainerEntrypoint", []),
            what.get("ContainerArguments", ["train"]),
            {**self._variables, "TRAINING_JOB_NAME": job.name, **job.request["Environment"]},
            {home: "/opt/ml"},
            self._folder / f"{job.name}.log",
        )
        code = self._waited(job, container, process)
        self._podman.remove(container)
        self._keep_checkpoints(home, job)
        shutil.rmtree(home)
        return code

    def _waited(self, job: Job, container: str, process: subprocess.Popen[bytes]) -> int:
        asked = 0.0
        while process.poll() is None:
            if job.asked and not asked and self._podman.signal(container, "TERM"):
                asked = time.monotonic()
            if asked and time.monotonic() - asked > GRACE_S:
                self._podman.signal(container, "KILL")
            time.sleep(_TURN_S)
        return process.returncode

    def _furnish(self, home: Path, job: Job) -> None:
        for folder in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            (home / folder).mkdir(parents=True)
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        for file, said in (
            ("hyperparameters", job.request.get("HyperParameters", {})),
            ("inputdataconfig", {}),
            ("resourceconfig", hosts),
        ):
            (home / "input/config" / f"{file}.json").write_text(json.dumps(said))
        for key, path in self._kept(job):
            target = home / "checkpoints" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._s3().download_file(*key, str(target))

    def _kept(self, job: Job) -> Iterator[tuple[tuple[str, str], str]]:
        bucket, prefix = _place(job)
        found = self._s3().list_objects_v2(Bucket=bucket, Prefix=prefix)
        for each in found.get("Contents", ()):
            yield (bucket, each["Key"]), each["Key"].removeprefix(prefix)

    def _keep_checkpoints(self, home: Path, job: Job) -> None:
        bucket, prefix = _place(job)
        for path in (home / "checkpoints").rglob("*"):
            if path.is_file():
                key = prefix + str(path.relative_to(home / "checkpoints"))
                self._s3().upload_file(str(path), bucket, key)

    def log(self, name: str) -> str:
        """Return what a job's containers printed, as CloudWatch would have it."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / f"{name}.log").read_text(errors="replace")
        return ""


def _place(job: Job) -> tuple[str, str]:
    bucket, _, prefix = job.request["CheckpointConfig"]["S3Uri"][5:].partition("/")
    return bucket, f"{prefix}/"
