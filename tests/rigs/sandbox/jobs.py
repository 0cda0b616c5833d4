"""Batch jobs in moto as processes of this machine, where moto itself would want Docker.

A job's command runs in a folder of its own, with its environment, retries, timeout and array index;
its exit code and log are true. Its image, resources and mounts are not looked at: its `python3` is
the clone's, with its packages, as an image of the project would have them. Knows moto's Batch;
nothing of EMS.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.batch import models
from moto.core.utils import unix_time_millis

from tests.rigs.sky.clients import KEYS

_EVERY_S = 0.1
_GRACE_S = 30.0
"""What a job has between SIGTERM and SIGKILL, as ECS's agent gives it."""
_CODES = {"not found": 127, "not executable": 126}
_details = models.Job._container_details


def install(folder: Path, endpoint: Callable[[], str]) -> None:
    """Let this process's moto run jobs below `folder`; they reach it at its `endpoint`."""

    def run(job: Any) -> None:
        try:
            _run(job, folder, {"AWS_ENDPOINT_URL": endpoint(), **KEYS})
        except Exception as error:
            job.job_stopped_reason = f"{type(error).__name__}: {error}"
            job._mark_stopped(success=False)

    setattr(models.Job, "run", run)  # noqa: B010 - a function of another shape, as types go
    setattr(models.Job, "_container_details", _with_exit_code)  # noqa: B010


def _with_exit_code(job: Any) -> dict[str, Any]:
    details = _details(job)
    if job.exit_code is not None:
        details["exitCode"] = job.exit_code
    return details


def _run(job: Any, folder: Path, cloud: Mapping[str, str]) -> None:
    job.status = "PENDING"
    if job.depends_on and not job._wait_for_dependencies():
        return
    for status in ("RUNNABLE", "STARTING"):
        job.status = status
    job.job_started_at = datetime.now()  # noqa: DTZ005 - moto's own are naive
    attempts = int((job.job_definition.retry_strategy or {}).get("attempts") or 1)
    for number in range(1, attempts + 1):
        job.log_stream_name = f"{_log(job)[1]}/default/{job.job_id}-{number}"
        job._start_attempt()
        job.status = "RUNNING"
        work = folder / job.job_id.replace(":", "-") / str(number)
        work.mkdir(parents=True)
        job.exit_code = _attempt(job, work, {**_environment(job, number), **cloud})
        job.latest_attempt["container"] |= {
            "exitCode": job.exit_code,
            "logStreamName": job.log_stream_name,
        }
        if job.exit_code == 0 or job.stop:
            break
    job.job_stopped_reason = job.job_stopped_reason or "Essential container in task exited"
    job._mark_stopped(success=job.exit_code == 0 and not job.stop)


def _attempt(job: Any, work: Path, environment: Mapping[str, str]) -> int:
    """Run the command once, send its log, and return its exit code."""
    command = job._add_parameters_to_command(job._get_container_property("command", []))
    words = shlex.split(command) if isinstance(command, str) else list(command)
    output = work / "log"
    with output.open("wb") as log:
        try:
            process = subprocess.Popen(
                words or ["true"],
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            log.write(f"{words[0]}: {error.strerror}\n".encode())
            code = _CODES["not found" if missing else "not executable"]
        else:
            code = _watch(job, process)
    _send(job, output.read_text(errors="replace").splitlines())
    return code


def _watch(job: Any, process: subprocess.Popen[bytes]) -> int:
    limit_s = job._get_attempt_duration()
    end = time.monotonic() + limit_s if limit_s else None
    while process.poll() is None:
        if job.stop or (end and time.monotonic() > end):
            if not job.stop:
                job.job_stopped_reason = "Job attempt duration exceeded timeout"
            process.terminate()
            break
        time.sleep(_EVERY_S)
    try:
        code = process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        code = -signal.SIGKILL
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # a container ends with its first process
    process.wait()
    return code if code >= 0 else 128 - code


def _environment(job: Any, number: int) -> dict[str, str]:
    given = {one["name"]: one["value"] for one in job._get_container_property("environment", [])}
    index = job.array_properties.get("index")
    bin = str(Path(sys.prefix) / "bin")
    return {
        **os.environ,
        "PATH": os.pathsep.join([bin, os.environ.get("PATH", "")]),
        **given,
        "AWS_BATCH_JOB_ID": job.job_id,
        "AWS_BATCH_JOB_ATTEMPT": str(number),
        "AWS_BATCH_JQ_NAME": job.job_queue.name,
        **({} if index is None else {"AWS_BATCH_JOB_ARRAY_INDEX": str(index)}),
    }


def _log(job: Any) -> tuple[str, str]:
    """Return the log group and the prefix of streams in it."""
    told = (job.job_definition.container_properties or {}).get("logConfiguration") or {}
    options = told.get("options") or {}
    prefix = options.get("awslogs-stream-prefix") or job.job_definition.name
    return options.get("awslogs-group") or "/aws/batch/job", prefix


def _send(job: Any, lines: Sequence[str]) -> None:
    group, _ = _log(job)
    now = int(unix_time_millis())
    job._log_backend.ensure_log_group(group)
    job._log_backend.ensure_log_stream(group, job.log_stream_name)
    if lines:
        events = [{"timestamp": now, "message": line} for line in lines]
        job._log_backend.put_log_events(group, job.log_stream_name, events)
