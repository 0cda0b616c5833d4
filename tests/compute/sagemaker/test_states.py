"""What SageMaker says of a job, in EMS's words."""

from __future__ import annotations

from typing import Any

import pytest

from ems.compute.job import JobState, Reason
from ems.compute.sagemaker.states import STATES, WAITING, native, says_all


def told(status: str, second: str = "", reason: str = "", **more: Any) -> dict[str, Any]:
    made = {"TrainingJobStatus": status, "SecondaryStatus": second or status, **more}
    return {**made, "FailureReason": reason} if reason else made


def test_every_state_that_botocore_knows_has_a_meaning() -> None:
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    states: list[str] = getattr(model.shape_for("TrainingJobStatus"), "enum")  # noqa: B009
    seconds: list[str] = getattr(model.shape_for("SecondaryStatus"), "enum")  # noqa: B009
    assert set(states) == set(STATES)
    ran = {"Training", "Uploading", "Stopping", "Updating"}
    ended = {"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"}
    assert set(seconds) == set(WAITING) | ran | ended


@pytest.mark.parametrize(
    ("job", "state", "waiting"),
    [
        (told("InProgress", "Starting"), JobState.SUBMITTED, "its instance starts"),
        (told("InProgress", "Pending"), JobState.SUBMITTED, "waits for capacity"),
        (told("InProgress", "Interrupted"), JobState.SUBMITTED, "taken back; it starts again"),
        (told("InProgress", "Training"), JobState.RUNNING, ""),
        (told("InProgress", "Uploading"), JobState.RUNNING, ""),
        (told("InProgress", "SomethingNew"), JobState.RUNNING, ""),
        (told("Stopping"), JobState.RUNNING, ""),
        (told("Completed"), JobState.SUCCEEDED, ""),
    ],
)
def test_jobs_that_go_on_and_end_well(job: dict[str, Any], state: JobState, waiting: str) -> None:
    seen = native(job)
    assert seen.state is state and seen.reason is None
    assert waiting in seen.waiting and bool(waiting) == bool(seen.waiting)


def test_why_it_waits_in_its_own_words() -> None:
    said = "Insufficient capacity error from EC2 while launching instances, retrying!"
    steps = [{"Status": "Starting", "StatusMessage": said}]
    assert native(told("InProgress", "Starting", SecondaryStatusTransitions=steps)).waiting == said


@pytest.mark.parametrize(
    ("reason", "meaning", "code", "signal"),
    [
        (
            "CapacityError: Unable to provision requested ML compute capacity. Please retry using "
            "a different ML instance type.",
            Reason.NO_CAPACITY, None, None,
        ),
        (
            "ClientError: Cannot pull algorithm container. Either the image does not exist or its "
            "permissions are incorrect.",
            Reason.BAD_IMAGE, None, None,
        ),
        (
            "ClientError: Please use an instance type with more memory, or reduce the size of job "
            "data processed on an instance.",
            Reason.OUT_OF_MEMORY, None, None,
        ),
        ("ClientError: SageMaker was unable to assume the role", Reason.WORKER, None, None),
        ("InternalServerError: We encountered an internal error.", Reason.LOST, None, None),
        ("AlgorithmError: , exit code: 3", Reason.EXIT, 3, None),
        ("AlgorithmError: Exit Code: 139", Reason.SIGNAL, None, 11),
        ("AlgorithmError: , exit code: 137", Reason.OUT_OF_MEMORY, None, 9),
        ("AlgorithmError: , exit code: 127", Reason.BAD_IMAGE, 127, None),
        ("AlgorithmError: , exit code: 101", Reason.PREEMPTED, 101, None),
        ("AlgorithmError: , exit code: 70", Reason.WORKER, 70, None),
        # what the container itself wrote to /opt/ml/output/failure decides nothing
        ("AlgorithmError: CapacityError, exit code: 1", Reason.EXIT, 1, None),
        ("", Reason.LOST, None, None),
        ("Something new", Reason.LOST, None, None),
    ],
)  # fmt: skip
def test_why_a_job_failed(
    reason: str, meaning: Reason, code: int | None, signal: int | None
) -> None:
    seen = native(told("Failed", reason=reason))
    assert (seen.state, seen.reason) == (JobState.FAILED, meaning)
    assert (seen.exit_code, seen.signal) == (code, signal)
    assert seen.detail


@pytest.mark.parametrize(
    ("second", "steps", "state", "reason"),
    [
        ("Stopped", (), JobState.CANCELED, Reason.CANCELED),
        ("MaxRuntimeExceeded", (), JobState.FAILED, Reason.TIMED_OUT),
        ("MaxWaitTimeExceeded", ("Starting",), JobState.FAILED, Reason.NO_CAPACITY),
        ("MaxWaitTimeExceeded", ("Training", "Interrupted"), JobState.FAILED, Reason.PREEMPTED),
    ],
)
def test_stopped_jobs(second: str, steps: tuple[str, ...], state: JobState, reason: Reason) -> None:
    went = [{"Status": each} for each in steps]
    seen = native(told("Stopped", second, SecondaryStatusTransitions=went))
    assert (seen.state, seen.reason) == (state, reason)


def test_what_a_list_does_not_tell() -> None:
    assert says_all(told("InProgress", "Training"))
    assert not says_all({"TrainingJobStatus": "InProgress"})
    assert not any(says_all(told(each)) for each in ("Failed", "Stopped", "Completed"))
