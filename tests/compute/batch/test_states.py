"""What Batch answers, as it has been seen and as its pages show it, in EMS's words."""

from __future__ import annotations

from typing import Any

import pytest

from ems.compute.batch.states import CAUSES, STATES, native
from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Native

INSTANCE = "arn:aws:ecs:us-west-2:123456789012:container-instance/env_Batch_1/4f2c"


def failed(
    said: str, code: int | None = None, reason: str | None = None, **more: Any
) -> dict[str, Any]:
    """A failed job as DescribeJobs tells of it."""
    container: dict[str, Any] = {"containerInstanceArn": INSTANCE}
    container |= {} if code is None else {"exitCode": code}
    container |= {} if reason is None else {"reason": reason}
    attempt = {"container": container, "statusReason": said}
    return {
        "jobId": "4a1c", "jobName": "ems-1", "status": "FAILED", "statusReason": said,
        "container": container, "attempts": [attempt], **more,
    }  # fmt: skip


ENDED = "Essential container in task exited"
OOM = "OutOfMemoryError: Container killed due to memory usage"
PULL = "CannotPullContainerError: Error response from daemon: "


@pytest.mark.parametrize(
    ("told", "state", "reason", "code", "signal"),
    [
        (failed(ENDED, 1), JobState.FAILED, Reason.EXIT, 1, None),
        (failed(ENDED, 137), JobState.FAILED, Reason.SIGNAL, None, 9),
        (failed(ENDED, 139), JobState.FAILED, Reason.SIGNAL, None, 11),
        (failed(ENDED, 101), JobState.FAILED, Reason.PREEMPTED, 101, None),
        (failed(ENDED, 255), JobState.FAILED, Reason.EXIT, 255, None),
        (failed(ENDED, 137, OOM), JobState.FAILED, Reason.OUT_OF_MEMORY, None, 9),
        (
            failed("Host EC2 (instance i-0a1b2c3d4e5f60718) terminated."),
            JobState.FAILED, Reason.PREEMPTED, None, None,
        ),
        (
            failed("Task failed to start", None, PULL + "manifest for x:1 not found"),
            JobState.FAILED, Reason.BAD_IMAGE, None, None,
        ),
        (
            failed("Task failed to start", None, PULL + "write: no space left on device"),
            JobState.FAILED, Reason.LOST, None, None,
        ),
        (
            failed(
                "Task failed to start", 127,
                'CannotStartContainerError: exec: "python3": executable file not found in $PATH',
            ),
            JobState.FAILED, Reason.BAD_IMAGE, 127, None,
        ),
        (
            failed(
                "ResourceInitializationError: unable to pull secrets or registry auth: "
                "AccessDeniedException"
            ),
            JobState.FAILED, Reason.WORKER, None, None,
        ),
        (failed("Task failed to start"), JobState.FAILED, Reason.BAD_IMAGE, None, None),
        (
            failed("Job attempt duration exceeded timeout", 137, isTerminated=True),
            JobState.FAILED, Reason.TIMED_OUT, None, 9,
        ),
        (
            failed(
                "Canceled by JobStateTimeLimit action due to reason: "
                "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", isCancelled=True,
            ),
            JobState.FAILED, Reason.NO_CAPACITY, None, None,
        ),
        (
            failed(
                "Canceled by JobStateTimeLimit action due to reason: "
                "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
            ),
            JobState.FAILED, Reason.IMPOSSIBLE, None, None,
        ),
        (
            failed("Container Overrides length must be at most 8192"),
            JobState.FAILED, Reason.IMPOSSIBLE, None, None,
        ),
        (
            failed("stopped, the robot is needed", 143, isTerminated=True),
            JobState.CANCELED, Reason.CANCELED, None, None,
        ),
        (failed("ems: canceled by ana", 143), JobState.CANCELED, Reason.CANCELED, None, None),
        ({"status": "FAILED"}, JobState.FAILED, Reason.LOST, None, None),
    ],
)  # fmt: skip
def test_why_a_job_failed(
    told: dict[str, Any], state: JobState, reason: Reason, code: int | None, signal: int | None
) -> None:
    found = native(told)
    assert (found.state, found.reason, found.exit_code, found.signal) == (
        state, reason, code, signal,
    )  # fmt: skip
    assert found.detail, "a person is told something in any case"


def test_the_sentences_of_batch_and_ecs_are_both_told() -> None:
    found = native(failed("Task failed to start", None, PULL + "x:1 not found"))
    assert found.detail == f"Task failed to start: {PULL}x:1 not found"
    assert found.place == "4f2c"


def test_an_answer_that_tells_of_the_last_attempt_alone() -> None:
    told = failed(ENDED, 1)
    told["container"] = {}
    told["attempts"].insert(0, {"container": {"exitCode": 9}})
    assert native(told).exit_code == 1


def test_why_a_job_waits() -> None:
    reason = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - all are too small"
    blocked = {"status": "RUNNABLE", "statusReason": reason}
    assert native(blocked) == Native(JobState.SUBMITTED, waiting=reason)
    assert native({"status": "RUNNABLE"}).waiting == "waits for an instance"
    assert native({"status": "STARTING"}).waiting == "its container starts"
    assert native({"status": None}) == Native(JobState.SUBMITTED)


def test_every_state_that_boto3_knows_is_in_the_table() -> None:
    import botocore.session

    model = botocore.session.get_session().get_service_model("batch")
    assert set(STATES) == set(model.shape_for("JobStatus").enum)


def test_each_cause_names_a_page() -> None:
    assert all(each.page.startswith("docs.aws.amazon.com/") for each in CAUSES)
