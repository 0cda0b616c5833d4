"""The words of Ray as its dashboard answered them, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from ems.compute.job import JobState, Reason, Resources
from ems.compute.ray.cluster import Needs, fit, grows, room
from ems.compute.ray.states import native_of, native_of_child

NODE_DIED = (
    "Job supervisor actor died: The actor died unexpectedly before finishing this task.\n"
    "\tip: 10.81.0.2\nThe actor died because its node has died. Node Id: 7a0e\n"
    "\tthe actor's node was terminated unexpectedly: health check failed"
)
OUT_OF_MEMORY = "Job supervisor actor died: Task was killed due to the node running low on memory."


def job(status: str, error: str = "", message: str = "", code: int | None = None) -> dict[str, Any]:
    address = "http://10.81.0.2:52365"
    return {"status": status, "error_type": error or None, "message": message,
            "driver_exit_code": code, "driver_agent_http_address": address}  # fmt: skip


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (job("FAILED", "RUNTIME_ENV_SETUP_FAILURE", "runtime_env setup failed"), "environment"),
        (job("FAILED", "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "failed to start"), "no_capacity"),
        (job("FAILED", "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE", "could not"), "impossible"),
        (job("FAILED", "JOB_SUPERVISOR_ACTOR_DIED", NODE_DIED), "lost"),
        (job("FAILED", "JOB_SUPERVISOR_ACTOR_DIED", OUT_OF_MEMORY), "out_of_memory"),
        (job("FAILED", "JOB_SUPERVISOR_ACTOR_DIED", "node was preempted"), "preempted"),
        (job("FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", "failed with exit code 3", 3), "exit"),
        (job("FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", "not found", 127), "environment"),
        (job("FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", "exit code -9", -9), "signal"),
        (job("FAILED", "", "something new"), "lost"),
        (job("STOPPED"), "canceled"),
    ],
)
def test_each_end_has_a_reason(record: dict[str, Any], reason: str) -> None:
    native = native_of(record)
    assert native.reason is Reason(reason)
    assert native.detail and "\n" not in native.detail
    assert native.place == "10.81.0.2"


def test_what_goes_on_and_what_ended_well() -> None:
    waiting = native_of(job("PENDING", message="It may be waiting for resources"))
    assert (waiting.state, waiting.waiting) == (
        JobState.SUBMITTED,
        "It may be waiting for resources",
    )
    assert native_of(job("RUNNING")).state is JobState.RUNNING
    ended = native_of(job("SUCCEEDED", code=0))
    assert (ended.state, ended.exit_code) == (JobState.SUCCEEDED, 0)


def test_what_child_wrote() -> None:
    ended = {"state": "ended", "why": "", "detail": "", "code": 0, "signal": None, "node": "n"}
    assert native_of_child(ended).state is JobState.SUCCEEDED
    assert native_of_child({**ended, "code": 3}).exit_code == 3
    assert native_of_child({**ended, "code": None, "signal": 9}).signal == 9
    assert native_of_child({**ended, "why": "canceled"}).state is JobState.CANCELED
    assert native_of_child({**ended, "why": "timed_out"}).reason is Reason.TIMED_OUT
    assert native_of_child({"state": "running", "node": "n"}).state is JobState.RUNNING


def node(state: str, **total: float) -> dict[str, Any]:
    return {"state": state, "resources_total": {"memory": 2e9, **total}}


def test_what_can_start_some_day() -> None:
    nodes = [node("ALIVE", CPU=2), node("DEAD", CPU=2, rollout=2)]
    assert fit(Needs.of(Resources(cpus=2), {}), nodes, False) == (False, "")
    big = Needs.of(Resources(cpus=4, gpus=1, gpu_kind="a100"), {})
    assert fit(big, nodes, True).why.endswith("the autoscaler may add one")
    never = fit(big, nodes, False)
    assert never.never and "4 CPUs, 1 GPUs, 0.001 accelerator_type:A100" in never.why
    gone = fit(Needs.of(Resources(), {"rollout": 1}), nodes, False)
    assert not gone.never and gone.why.endswith("one that did is dead")
    too_much = Needs.of(Resources(memory_gib=2), {})
    assert fit(too_much, nodes, False).never


def test_an_autoscaler_is_known_by_its_kinds_of_nodes() -> None:
    fixed = {"autoscalerReport": {"nodeTypeMapping": {"8bb0": "node_8bb0"}, "pendingNodes": []}}
    assert not grows(fixed) and not grows({})
    assert grows({"autoscalerReport": {"nodeTypeMapping": {"10.0.0.3": "gpu-group"}}})


def test_room() -> None:
    usage = {"CPU": [1.5, 4.0], "GPU": [1.0, 2.0]}
    assert room({"loadMetricsReport": {"usage": usage}})[:3] == (2.5, 4.0, 1)
    assert room({})[:3] == (None, None, None)
