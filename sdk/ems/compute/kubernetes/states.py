"""What pods and Jobs say, in EMS's words: the table of native states. Pure.

Sources, read 2025-11:
- https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ (phases, container states)
- https://kubernetes.io/docs/concepts/containers/images/ (ErrImagePull, ImagePullBackOff)
- https://kubernetes.io/docs/concepts/workloads/pods/disruptions/ (DisruptionTarget, its reasons)
- https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/ (Evicted)
- https://kubernetes.io/docs/concepts/workloads/controllers/job/ (Job conditions, failed indexes)
- the kubelet's words that no page lists: kubernetes v1.34.1, pkg/kubelet/images/types.go,
  kuberuntime/kuberuntime_container.go, lifecycle/predicate.go
"""

from __future__ import annotations

from typing import NamedTuple

from ems.compute.job import JobState, Reason
from ems.compute.kubernetes.api import Object
from ems.compute.kubernetes.manifests import CONTAINER, GPU
from ems.compute.kubernetes.quantities import amount, amounts
from ems.compute.remote.order import Native

_LONGEST = 300


class Row(NamedTuple):
    """Of the table: what a native word means."""

    reason: Reason
    says: str


_NEVER_STARTS = {
    "ErrImagePull": Row(Reason.BAD_IMAGE, "its image can't be pulled"),
    "ImagePullBackOff": Row(Reason.BAD_IMAGE, "its image can't be pulled"),
    "ErrImageNeverPull": Row(Reason.BAD_IMAGE, "its image is not on the node, and is never pulled"),
    "InvalidImageName": Row(Reason.BAD_IMAGE, "its image's name can't be"),
    "ImageInspectError": Row(Reason.BAD_IMAGE, "its image can't be read"),
    "CreateContainerConfigError": Row(Reason.IMPOSSIBLE, "its container can't be set up"),
}
"""A container's `waiting.reason` → why it will never run. Others (ContainerCreating,
CreateContainerError, CreatePodSandboxError) may pass."""

_PASSING = (
    "timeout",
    "timed out",
    "deadline exceeded",
    "toomanyrequests",
    "too many requests",
    "service unavailable",
)
"""In a message: the kubelet tries again, and has a chance. (`failed to sync secret cache: timed out
waiting for the condition` is a CreateContainerConfigError too.)"""

_POD_FAILED = {
    "Evicted": Row(Reason.PREEMPTED, "was evicted"),
    "Preempting": Row(Reason.PREEMPTED, "gave way to a more important pod"),
    "NodeLost": Row(Reason.PREEMPTED, "its node is lost"),
    "NodeShutdown": Row(Reason.PREEMPTED, "its node shuts down"),
    "Terminated": Row(Reason.PREEMPTED, "its node shut down"),
    "Shutdown": Row(Reason.PREEMPTED, "its node shut down"),
    "DeadlineExceeded": Row(Reason.TIMED_OUT, "ran longer than its limit"),
    "NodeAffinity": Row(Reason.PREEMPTED, "its node no longer fits"),
    "UnexpectedAdmissionError": Row(Reason.NO_CAPACITY, "its node could not take it"),
    "OutOfcpu": Row(Reason.NO_CAPACITY, "its node had no CPU left"),
    "OutOfmemory": Row(Reason.NO_CAPACITY, "its node had no memory left"),
    "OutOfpods": Row(Reason.NO_CAPACITY, "its node takes no more pods"),
    "OutOfephemeral-storage": Row(Reason.NO_CAPACITY, "its node had no disk left"),
    f"OutOf{GPU}": Row(Reason.NO_CAPACITY, "its node had no GPU left"),
}
"""A failed pod's `status.reason`."""

_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
"""A container's `terminated.reason` where its command is not in the image or can't be run."""

_JOB_FAILED = {
    "DeadlineExceeded": Row(Reason.TIMED_OUT, "ran longer than its limit"),
    "PodFailurePolicy": Row(Reason.PREEMPTED, "its pod was taken away"),
}
"""A Job's condition Failed, by reason, where its pod is gone; others: lost."""


def of_pod(pod: Object) -> Native:
    """Return what a pod says of its job."""
    status: Object = pod.get("status", {})
    place = str(pod.get("spec", {}).get("nodeName", ""))
    row = _POD_FAILED.get(status.get("reason", "")) if status.get("phase") == "Failed" else None
    disrupted = _condition(status, "DisruptionTarget")
    container = _container(status)
    ended: Object | None = container.get("state", {}).get("terminated")
    if row is not None:
        code = ended["exitCode"] if ended else None
        return _failed(row, status.get("message", ""), place, code)
    if ended is not None:
        return _ended(ended, place, disrupted)
    if status.get("phase") == "Failed":
        if disrupted:
            row = Row(Reason.PREEMPTED, "its pod was taken away")
            return _failed(row, disrupted.get("message", ""), place)
        return _failed(Row(Reason.LOST, "its pod failed"), status.get("message", ""), place)
    if status.get("phase") == "Succeeded":
        return Native(JobState.SUCCEEDED, exit_code=0, place=place)
    if container.get("state", {}).get("running") is not None:
        return Native(JobState.RUNNING, place=place)
    return _pending(status, container, place)


def _pending(status: Object, container: Object, place: str) -> Native:
    waits: Object = container.get("state", {}).get("waiting") or {}
    word, message = str(waits.get("reason", "")), str(waits.get("message", ""))
    passing = any(each in message.lower() for each in _PASSING)
    if (row := _NEVER_STARTS.get(word)) and not passing:
        return _failed(row, message or word, place)
    scheduled = _condition(status, "PodScheduled")
    if scheduled and scheduled.get("status") == "False":
        said = scheduled.get("message") or scheduled.get("reason", "")
        return Native(JobState.SUBMITTED, waiting=cut(f"no node takes it yet: {said}"))
    if word and word != "ContainerCreating":
        return Native(JobState.SUBMITTED, waiting=cut(f"{word}: {message}"), place=place)
    waiting = f"its image is fetched, or its container made, on {place}" if place else ""
    return Native(JobState.SUBMITTED, waiting=waiting, place=place)


def _ended(ended: Object, place: str, disrupted: Object | None) -> Native:
    code = int(ended["exitCode"])
    word, message = str(ended.get("reason", "")), str(ended.get("message", ""))
    if code == 0:  # whatever the reason: on cgroup v1 a killed child alone makes it OOMKilled
        return Native(JobState.SUCCEEDED, exit_code=0, place=place)
    if word == "OOMKilled":
        row = Row(Reason.OUT_OF_MEMORY, "used more memory than it asked for")
        return _failed(row, message, place, code)
    if word in _NOT_STARTED:
        row = Row(Reason.BAD_IMAGE, "its image can't run sh")
        return _failed(row, message, place, code)
    if disrupted:
        row = Row(Reason.PREEMPTED, "its pod was taken away")
        return _failed(row, disrupted.get("message", ""), place, code)
    if word == "ContainerStatusUnknown":
        return _failed(Row(Reason.LOST, "its node does not know how it ended"), message, place)
    if code > 128:
        detail = f"was ended by signal {code - 128}"
        return Native(JobState.FAILED, Reason.SIGNAL, detail, code, code - 128, place=place)
    return Native(JobState.FAILED, Reason.EXIT, f"exit code {code}", code, place=place)


def of_job(job: Object, index: int) -> Native | None:
    """Return what a Job says of an index that has no pod; None while that is nothing."""
    status: Object = job.get("status", {})
    if index in _indexes(status.get("completedIndexes", "")):
        return Native(JobState.SUCCEEDED, exit_code=0)
    if _condition(status, "Complete") or _condition(status, "SuccessCriteriaMet"):
        return Native(JobState.SUCCEEDED, exit_code=0)
    failed = _condition(status, "Failed") or _condition(status, "FailureTarget")
    gone = Row(Reason.LOST, "its pod is gone: somebody deleted it, or its node is lost")
    if index in _indexes(status.get("failedIndexes", "")):
        return _failed(gone)
    if failed:
        return _failed(_JOB_FAILED.get(failed.get("reason", ""), gone), failed.get("message", ""))
    return None


def waits_for_ever(job: Object, index: int, pod: Object | None) -> bool:
    """Whether nothing but EMS would end a job that can't start: its pod is still there to wait, or
    its Job still tries to make one."""
    if pod is not None:
        return pod.get("status", {}).get("phase") == "Pending"
    return of_job(job, index) is None


def waits(job: Object) -> str:
    """Return why a Job has no pod yet, as far as the Job knows."""
    if job["spec"].get("suspend"):
        return "its Job is suspended: a queue (such as Kueue) holds it"
    return "its Job has no pod yet"


def of_event(message: str) -> Native:
    """Return what it means that a Job's pod could not be made (event FailedCreate)."""
    said = message.removeprefix("Error creating: ")
    if "exceeded quota" in said:
        if _beyond(said):
            return _failed(Row(Reason.NO_CAPACITY, "asks for more than its namespace may"), said)
        return Native(JobState.SUBMITTED, waiting=cut(said))
    if "serviceaccount" in said and "not found" in said:
        row = Row(Reason.IMPOSSIBLE, "its service account is missing (service_account: names it)")
        return _failed(row, said)
    if "forbidden" in said or "denied the request" in said or "is invalid" in said:
        return _failed(Row(Reason.IMPOSSIBLE, "the cluster refuses its pod"), said)
    return Native(JobState.SUBMITTED, waiting=cut(said))


def _beyond(said: str) -> bool:
    """Whether one pod alone asks for more than a quota allows to all.

    `exceeded quota: ems, requested: requests.cpu=4, used: requests.cpu=0, limited: requests.cpu=2`
    """
    asked, _, rest = said.partition("requested: ")[2].partition(", used: ")
    limits = amounts(rest.partition("limited: ")[2])
    return any(amount(text) > limits[key] for key, text in _pairs(asked) if key in limits)


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (each.partition("=") for each in text.split(","))]


def cut(text: str) -> str:
    """Return a sentence of the cluster's on one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _failed(row: Row, message: str = "", place: str = "", code: int | None = None) -> Native:
    detail = cut(f"{row.says}: {message}" if message else row.says)
    number = code - 128 if code is not None and code > 128 else None
    return Native(JobState.FAILED, row.reason, detail, code, number, place=place)


def _condition(status: Object, kind: str) -> Object | None:
    """Return a condition that holds; PodScheduled also where it does not."""
    for each in status.get("conditions") or ():
        if each["type"] == kind and (each["status"] == "True" or kind == "PodScheduled"):
            return each
    return None


def _container(status: Object) -> Object:
    for each in status.get("containerStatuses") or ():
        if each["name"] == CONTAINER:
            return each
    return {}


def _indexes(text: str) -> set[int]:
    """Return the indexes that a Job lists: `1,3-5,7`."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
