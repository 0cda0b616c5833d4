"""The jobs inside of a Job: which index is whose, and what EMS wrote about each.

What EMS decided about a job stands in the Job's annotations, so that every process knows it:

    ems.dev/ended.<index>      the verdict, as JSON: canceled, or why it could never start
    ems.dev/forgotten.<index>  nobody asks for it any more, and its id may be used anew

A key for each index, so that two processes don't overwrite each other. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ems.compute.job import JobState, Reason
from ems.compute.kubernetes import manifests, states
from ems.compute.kubernetes.api import Object
from ems.compute.remote.order import Native

_ENDED, _FORGOTTEN = "ems.dev/ended.", "ems.dev/forgotten."
_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Member:
    """One job: the Job that it is in, and its index there."""

    job: Object
    index: int

    @property
    def home(self) -> str:
        """Return the Job's name."""
        return self.job["metadata"]["name"]

    @property
    def verdict(self) -> Native | None:
        """Return what EMS decided about it."""
        text = _annotations(self.job).get(f"{_ENDED}{self.index}")
        if text is None:
            return None
        said = json.loads(text)
        return Native(JobState(said["state"]), Reason(said["reason"]), said["detail"])


def members(jobs: Iterable[Object]) -> dict[str, Member]:
    """Return the jobs in some Jobs, by id, without those that are forgotten."""
    found: dict[str, Member] = {}
    for job in jobs:
        gone = forgotten(job)
        for index, each in enumerate(manifests.ids_of(job)):
            if index not in gone and not job["metadata"].get("deletionTimestamp"):
                found[each] = Member(job, index)
    return found


def forgotten(job: Object) -> set[int]:
    """Return the indexes that are forgotten."""
    return _indexes(job, _FORGOTTEN)


def decided(job: Object) -> set[int]:
    """Return the indexes that have a verdict."""
    return _indexes(job, _ENDED)


def verdicts(job: Object, made: Mapping[int, Native]) -> Object:
    """Return the change that writes verdicts; once nothing is left to run, the Job ends its pods.

    A Job that is deleted would be forgotten too; one past its deadline stays, without its pods.
    """
    written = {f"{_ENDED}{index}": _text(native) for index, native in made.items()}
    change: Object = {"metadata": {"annotations": written}}
    if len(decided(job) | set(made)) == len(manifests.ids_of(job)):
        change["spec"] = {"activeDeadlineSeconds": 0}
    return change


def forgetting(indexes: Iterable[int]) -> Object:
    """Return the change that forgets indexes."""
    return {"metadata": {"annotations": {f"{_FORGOTTEN}{index}": "true" for index in indexes}}}


def pods_of(job: Object, pods: Iterable[Object]) -> dict[int, Object]:
    """Return the pods of a Job by index: its own, and none of an earlier one of its name."""
    uid = job["metadata"]["uid"]
    found: dict[int, Object] = {}
    for pod in pods:
        meta = pod["metadata"]
        if any(owner["uid"] == uid for owner in meta.get("ownerReferences", ())):
            found[int(meta.get("annotations", {}).get(_INDEX, 0))] = pod
    return found


def judge(member: Member, pod: Object | None) -> Native | None:
    """Return what is known of a job; None where neither pod nor Job says anything yet."""
    verdict = member.verdict
    if pod is not None:
        said = states.of_pod(pod)
        if verdict is None or (said.state is JobState.RUNNING):
            return said
        return verdict._replace(exit_code=said.exit_code, signal=said.signal, place=said.place)
    return verdict or states.of_job(member.job, member.index)


def _annotations(job: Object) -> Mapping[str, str]:
    return job["metadata"].get("annotations") or {}


def _indexes(job: Object, prefix: str) -> set[int]:
    return {int(key.removeprefix(prefix)) for key in _annotations(job) if key.startswith(prefix)}


def _text(native: Native) -> str:
    reason = native.reason or Reason.CANCELED
    said = {"state": native.state.value, "reason": reason.value, "detail": native.detail}
    return json.dumps(said)
