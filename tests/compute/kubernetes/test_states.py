"""What pods, Jobs and events mean; one pod that is as it should be, changed in one place a case."""

from __future__ import annotations

from typing import Any

import pytest

from ems.compute.job import JobState, Reason
from ems.compute.kubernetes import members, states
from ems.compute.kubernetes.members import Member
from ems.compute.remote.order import Native


def pod(phase: str, state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    container = {"name": "job", "state": state or {}}
    # a sidecar that a mesh put beside it says nothing about the job
    mesh = {"name": "proxy", "state": {"terminated": {"exitCode": 9}}}
    seen = {"phase": phase, "containerStatuses": [mesh, container], **status}
    return {"spec": {"nodeName": "n1"}, "status": seen}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


def waits(reason: str, message: str = "the kubelet's words") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "message": "PreemptionByScheduler"}]


@pytest.mark.parametrize(
    ("seen", "reason", "code", "number"),
    [
        (pod("Failed", ended(3)), Reason.EXIT, 3, None),
        (pod("Running", ended(3)), Reason.EXIT, 3, None),
        (pod("Failed", ended(139)), Reason.SIGNAL, 139, 11),
        (pod("Failed", ended(137)), Reason.SIGNAL, 137, 9),
        (pod("Failed", ended(137, "OOMKilled")), Reason.OUT_OF_MEMORY, 137, 9),
        (pod("Failed", ended(1, "OOMKilled")), Reason.OUT_OF_MEMORY, 1, None),
        (pod("Failed", ended(128, "StartError")), Reason.BAD_IMAGE, 128, None),
        (pod("Failed", ended(143), conditions=DISRUPTED), Reason.PREEMPTED, 143, 15),
        (pod("Failed", ended(137), reason="Evicted"), Reason.PREEMPTED, 137, 9),
        (pod("Failed", ended(143), reason="DeadlineExceeded"), Reason.TIMED_OUT, 143, 15),
        (pod("Failed", reason="NodeLost"), Reason.PREEMPTED, None, None),
        (pod("Failed", reason="Terminated"), Reason.PREEMPTED, None, None),
        (pod("Failed", reason="OutOfcpu"), Reason.NO_CAPACITY, None, None),
        (pod("Failed", reason="UnexpectedAdmissionError"), Reason.NO_CAPACITY, None, None),
        (pod("Failed", reason="SomethingNew"), Reason.LOST, None, None),
        (pod("Failed", ended(137, "ContainerStatusUnknown")), Reason.LOST, None, None),
        (pod("Pending", waits("ErrImagePull")), Reason.BAD_IMAGE, None, None),
        (pod("Pending", waits("ImagePullBackOff")), Reason.BAD_IMAGE, None, None),
        (pod("Pending", waits("InvalidImageName")), Reason.BAD_IMAGE, None, None),
        (pod("Pending", waits("ErrImageNeverPull")), Reason.BAD_IMAGE, None, None),
        (pod("Pending", waits("CreateContainerConfigError")), Reason.IMPOSSIBLE, None, None),
    ],
)
def test_a_failed_pod(
    seen: dict[str, Any], reason: Reason, code: int | None, number: int | None
) -> None:
    said = states.of_pod(seen)
    assert (said.state, said.reason) == (JobState.FAILED, reason)
    assert (said.exit_code, said.signal, said.place) == (code, number, "n1")
    assert said.detail


@pytest.mark.parametrize(
    ("seen", "state", "waiting"),
    [
        (pod("Succeeded", ended(0, "Completed")), JobState.SUCCEEDED, ""),
        (pod("Succeeded", ended(0, "OOMKilled")), JobState.SUCCEEDED, ""),
        (pod("Succeeded"), JobState.SUCCEEDED, ""),
        (pod("Running", {"running": {}}), JobState.RUNNING, ""),
        (pod("Pending", waits("ContainerCreating")), JobState.SUBMITTED, "on n1"),
        (pod("Pending", waits("CreateContainerError")), JobState.SUBMITTED, "kubelet's words"),
        (pod("Pending", waits("ErrImagePull", "i/o timeout")), JobState.SUBMITTED, "i/o timeout"),
        (
            pod(
                "Pending",
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 3 Insufficient cpu.",
                    }
                ],
            ),
            JobState.SUBMITTED,
            "3 Insufficient cpu",
        ),
    ],
)
def test_a_pod_that_did_not_fail(seen: dict[str, Any], state: JobState, waiting: str) -> None:
    said = states.of_pod(seen)
    assert (said.state, said.reason) == (state, None)
    assert waiting in said.waiting


def job(annotations: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    ids = ["job", "ems-a", "ems-b", "ems-c", "ems-d", "ems-e", "ems-f"]
    meta = {"name": "ems-a-1", "uid": "u", "labels": {"ems.dev/array": "true"}}
    spec = {"template": {"spec": {"containers": [{"args": ids}]}}}
    return {"metadata": {**meta, "annotations": annotations or {}}, "spec": spec, "status": status}


def failed(reason: str, message: str = "") -> list[dict[str, str]]:
    return [{"type": "Failed", "status": "True", "reason": reason, "message": message}]


def test_a_job_whose_pods_are_gone() -> None:
    seen = job(completedIndexes="0,2-3", failedIndexes="1")
    said = [states.of_job(seen, index) for index in range(5)]
    assert [each and each.state for each in said] == [
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.SUCCEEDED,
        JobState.SUCCEEDED,
        None,
    ]
    assert said[1] is not None
    assert said[1].reason is Reason.LOST
    for reason, meant in (
        ("BackoffLimitExceeded", Reason.LOST),
        ("PodFailurePolicy", Reason.PREEMPTED),
        ("DeadlineExceeded", Reason.TIMED_OUT),
    ):
        native = states.of_job(job(conditions=failed(reason, "words")), 0)
        assert native is not None
        assert native.reason is meant
        assert "words" in native.detail


def test_why_there_is_no_pod() -> None:
    quota = (
        'Error creating: pods "x" is forbidden: exceeded quota: ems, requested: '
        "requests.cpu={asked},requests.memory=1Gi, used: requests.cpu=1,requests.memory=0, "
        "limited: requests.cpu=2,requests.memory=4Gi"
    )
    for asked, ended in (("1500m", False), ("2", False), ("2500m", True)):
        said = states.of_event(quota.format(asked=asked))
        assert said.state.ended is ended
        assert "exceeded quota" in (said.detail if ended else said.waiting)
    assert states.of_event(quota.format(asked="3")).reason is Reason.NO_CAPACITY
    for message in (
        'Error creating: pods "x" is forbidden: violates PodSecurity "baseline:latest"',
        'Error creating: admission webhook "y" denied the request: no such team',
        'Error creating: Pod "x" is invalid: spec: too long',
        'Error creating: pods "x" is forbidden: error looking up service account a/b: '
        'serviceaccount "b" not found',
    ):
        assert states.of_event(message).reason is Reason.IMPOSSIBLE
    soon = states.of_event("Error creating: etcdserver: request timed out")
    assert (soon.state, soon.waiting) == (JobState.SUBMITTED, "etcdserver: request timed out")


def test_what_was_decided_goes_before_what_the_job_says() -> None:
    canceled = Native(JobState.CANCELED, Reason.CANCELED, "was canceled")
    change = members.verdicts(job(), {1: canceled})
    assert "spec" not in change
    seen = job(change["metadata"]["annotations"], failedIndexes="0-1")
    assert members.judge(Member(seen, 1), None) == canceled
    assert members.judge(Member(seen, 1), pod("Running", {"running": {}})) != canceled
    late = members.judge(Member(seen, 1), pod("Failed", ended(143)))
    assert late is not None
    assert (late.state, late.exit_code) == (JobState.CANCELED, 143)
    lost = members.judge(Member(seen, 0), None)
    assert lost is not None
    assert lost.reason is Reason.LOST
    # the last one's verdict ends the Job itself
    rest = {index: canceled for index in range(6) if index != 1}
    assert members.verdicts(seen, rest)["spec"] == {"activeDeadlineSeconds": 0}


def test_what_is_forgotten_is_no_member_any_more() -> None:
    seen = job(members.forgetting([0, 4])["metadata"]["annotations"])
    assert set(members.members([seen])) == {"ems-b", "ems-c", "ems-d", "ems-f"}
    seen["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert members.members([seen]) == {}


def test_a_pod_of_an_earlier_job_of_that_name_is_not_its_own() -> None:
    def owned(uid: str, index: int) -> dict[str, Any]:
        key = "batch.kubernetes.io/job-completion-index"
        return {"metadata": {"ownerReferences": [{"uid": uid}], "annotations": {key: str(index)}}}

    pods = [owned("u", 3), owned("old", 4)]
    assert members.pods_of(job(), pods) == {3: pods[0]}


def test_long_words_are_cut() -> None:
    assert len(states.cut("word\n" * 400)) == 300
