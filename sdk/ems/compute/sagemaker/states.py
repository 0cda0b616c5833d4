"""What SageMaker says of a training job, in EMS's words.

Pure. The states are those of API_DescribeTrainingJob (botocore 1.44.5) and of
docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training-status.html. Why a job failed is
a sentence; nothing lists them, so the table names where each was seen. All read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ems.compute.job import JobState, Reason
from ems.compute.refusals import inner
from ems.compute.remote.order import Native

STATES: Mapping[str, JobState] = {
    "InProgress": JobState.RUNNING,
    "Stopping": JobState.RUNNING,
    "Deleting": JobState.RUNNING,
    "Completed": JobState.SUCCEEDED,
    "Failed": JobState.FAILED,
    "Stopped": JobState.CANCELED,
}
WAITING: Mapping[str, str] = {
    "Starting": "its instance starts",
    "Pending": "waits for capacity",
    "LaunchingMLInstances": "its instance starts",
    "PreparingTrainingStack": "its instance starts",
    "Downloading": "its input is downloaded",
    "DownloadingTrainingImage": "its image is downloaded",
    "Restarting": "starts again after an error of SageMaker's own",
    "Interrupted": "its spot instance was taken back; it starts again",
}
"""Secondary states of a job in progress that does not run now."""


class Cause(NamedTuple):
    """A sentence in FailureReason, what it comes to, and where it was seen."""

    pattern: str
    reason: Reason
    page: str


CAUSES: tuple[Cause, ...] = (
    Cause(
        r"CapacityError|[Ii]nsufficient capacity",
        Reason.NO_CAPACITY,
        "github.com/DIAGNijmegen/rse-grand-challenge/issues/2631; API_SecondaryStatusTransition",
    ),
    # of processing and inference the same sentences are told, which are made by the same platform
    Cause(
        r"instance type with more memory|Out of Memory",
        Reason.OUT_OF_MEMORY,
        "github.com/DIAGNijmegen/rse-grand-challenge (its table of failure reasons)",
    ),
    Cause(
        r"[Cc]annot pull|image does not exist",
        Reason.BAD_IMAGE,
        "github.com/aws/sagemaker-python-sdk/issues/1968",
    ),
    Cause(
        r"^InternalServerError",
        Reason.LOST,
        "API_RetryStrategy; github.com/aws/sagemaker-python-sdk/issues/70",
    ),
    # a role that can't be assumed, a place in S3 that the role may not write, …
    Cause(r"^ClientError", Reason.WORKER, "github.com/aws/sagemaker-python-sdk/issues/35"),
)
"""In the order of looking: the first that is found counts."""
_CODE = re.compile(r"exit code:? *(-?\d+)", re.IGNORECASE)
"""`AlgorithmError: , exit code: 1` (github.com/aws-samples/
amazon-sagemaker-ml-pipeline-deploy-with-terraform/issues/12)."""

PREEMPTED, NOT_RUN = 101, 70
"""What the worker returns after a SIGTERM that EMS did not ask for, and where it could not begin
(`ems.worker.alone`, `ems.worker.courier`)."""
_KILLED = 137
_NO_COMMAND = (126, 127)
LOGS = "/aws/sagemaker/TrainingJobs"
"""The log group that has what containers print (docs.aws.amazon.com/sagemaker/latest/dg/
logging-cloudwatch.html); a stream begins with the job's name."""


def native(job: Mapping[str, Any]) -> Native:
    """Return what is told of one job (DescribeTrainingJob, or an entry of ListTrainingJobs)."""
    status, second = job["TrainingJobStatus"], job.get("SecondaryStatus") or ""
    state = STATES.get(status, JobState.RUNNING)
    if state is JobState.RUNNING:
        if status == "InProgress" and second in WAITING:
            return Native(JobState.SUBMITTED, waiting=_why(job) or WAITING[second])
        return Native(state, place=_place(job))
    if state is JobState.SUCCEEDED:
        return Native(state, exit_code=0, place=_place(job))
    made = _stopped(job, second) if state is JobState.CANCELED else _failed(job)
    return made._replace(place=_place(job))


def says_all(job: Mapping[str, Any]) -> bool:
    """Whether an entry of a list tells as much as DescribeTrainingJob would.

    Why one ended stands in no list, and older lists have no secondary states.
    """
    return job["TrainingJobStatus"] in ("InProgress", "Stopping") and "SecondaryStatus" in job


def _stopped(job: Mapping[str, Any], second: str) -> Native:
    if second == "MaxRuntimeExceeded":
        detail = "ran longer than SageMaker was told to let it (MaxRuntimeInSeconds)"
        return Native(JobState.FAILED, Reason.TIMED_OUT, detail)
    if second == "MaxWaitTimeExceeded":
        began = any(each.get("Status") == "Interrupted" for each in _transitions(job))
        what = "was taken its spot instance, and waited" if began else "waited"
        detail = f"{what} for spot capacity longer than it may (MaxWaitTimeInSeconds)"
        return Native(JobState.FAILED, Reason.PREEMPTED if began else Reason.NO_CAPACITY, detail)
    return Native(JobState.CANCELED, Reason.CANCELED, "was stopped in SageMaker")


def _failed(job: Mapping[str, Any]) -> Native:
    said = str(job.get("FailureReason") or "")
    if said.startswith("AlgorithmError") and (found := _CODE.search(said)):
        return _by_code(int(found[1]), said)  # what else stands there, the container may have said
    cause = next((each for each in CAUSES if re.search(each.pattern, said)), None)
    reason = Reason.LOST if cause is None else cause.reason
    return Native(JobState.FAILED, reason, said or "SageMaker does not say why it failed")


def _by_code(code: int, said: str) -> Native:
    if code == PREEMPTED:
        text = "its worker got a SIGTERM that EMS did not send"
        return Native(JobState.FAILED, Reason.PREEMPTED, text, code)
    if code == NOT_RUN:
        text = f"its worker could not begin; {LOGS} in CloudWatch says why"
        return Native(JobState.FAILED, Reason.WORKER, text, code)
    if code in _NO_COMMAND:
        text = f"its image has no such Python ({said})"
        return Native(JobState.FAILED, Reason.BAD_IMAGE, text, code)
    if code == _KILLED:
        # nothing else kills in a job that nobody stopped
        text = f"was killed, most likely for the instance's memory ({said})"
        return Native(JobState.FAILED, Reason.OUT_OF_MEMORY, text, None, code - 128)
    if 128 < code <= 128 + 64:
        return Native(JobState.FAILED, Reason.SIGNAL, said, None, code - 128)
    return Native(JobState.FAILED, Reason.EXIT, said, code)


def _transitions(job: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return job.get("SecondaryStatusTransitions") or ()


def _why(job: Mapping[str, Any]) -> str:
    """Return SageMaker's own words for a state, where it gives any."""
    last = _transitions(job)[-1:]
    return str(last[0].get("StatusMessage") or "").rstrip(".") if last else ""


def _place(job: Mapping[str, Any]) -> str:
    return str(inner(job, "ResourceConfig").get("InstanceType") or "")
