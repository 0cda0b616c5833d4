"""Jobs that several people look at: who does not know a place decides nothing there, who is killed
in the middle leaves nothing stuck, and who waits says for what without being busy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ems.compute.job import JobState
from ems.errors import UsageError
from ems.jobs.gangs import Gangs
from ems.jobs.jobs import Jobs
from ems.jobs.types import Changed, JobHandle
from tests.jobs.places import Full, brokered, durable, local, spooled

NOWHERE = "no target here is called spooled"


def role(name: str, command: str, **keys: Any) -> dict[str, Any]:
    return {
        "name": name, "command": ["sh", "-c", command], "resources": {"cpus": 0.5}, **keys,
    }  # fmt: skip


def gang(*roles: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "gang", "roles": list(roles), **keys}


def end(jobs: Jobs, named: list[JobHandle]) -> JobState:
    for _ in jobs.watch(named):
        pass
    return jobs.status(named)[0].state


@pytest.fixture
def ann(tmp_path: Path) -> Iterator[Jobs]:
    made = brokered(tmp_path, "local", "spooled")
    yield made
    made.close()


@pytest.fixture
def bob(tmp_path: Path) -> Iterator[Jobs]:
    """Somebody with the same store, and no such target."""
    made = brokered(tmp_path, "local")
    yield made
    made.close()


def looks(bob: Jobs, handles: list[JobHandle]) -> None:
    """Let somebody who does not know the place do what anybody does."""
    began = time.monotonic()
    for info in bob.status(handles):
        assert not info.state.ended and NOWHERE in info.detail
    list(bob.watch(handles, stop=lambda: True))
    with pytest.raises(UsageError, match=NOWHERE):
        bob.cancel(handles)
    assert time.monotonic() - began < 8  # nobody was waited for


def test_who_does_not_know_a_place_decides_nothing(ann: Jobs, bob: Jobs) -> None:
    member = role("a", "sleep 2", count=2, on="spooled")
    job = {"name": "job", "command": "sleep 2", "on": "spooled"}
    handles = [*ann.submit(job), *ann.submit(gang(member))]
    looks(bob, handles)
    assert [end(ann, [each]) for each in handles] == [JobState.SUCCEEDED] * 2


def test_who_does_not_know_its_places_hands_no_gang_over(
    ann: Jobs, bob: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Gangs, "_submit", lambda *_: None)  # as if killed after the seats
        handles = ann.submit(gang(role("a", "true", count=2, on="spooled")), patience_s=None)
    looks(bob, handles)
    assert end(ann, handles) is JobState.SUCCEEDED


def waiting(jobs: Jobs) -> list[JobHandle]:
    """Submit two gangs; return the second, which there is no room for."""
    large = role("a", "sleep 60", count=2, resources={"cpus": 2})
    return jobs.submit([gang(large)] * 2, patience_s=None)[1:]


def test_a_gang_that_waits_costs_nothing(tmp_path: Path) -> None:
    place, deadline = spooled(tmp_path, Full), time.monotonic() + 40
    while place.room().total is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    jobs = durable(tmp_path, lambda _: place)
    handles = jobs.submit(gang(role("a", "true", count=2)), patience_s=None)
    rounds, began = 0, time.monotonic()

    def stop() -> bool:
        nonlocal rounds
        rounds += 1
        return time.monotonic() - began > 1.2

    list(jobs.watch(handles, stop=stop))
    assert rounds < 10
    assert jobs.cancel(handles)[0].state is JobState.CANCELED
    jobs.close()


def test_what_was_to_be_canceled_is_canceled_by_who_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    jobs = local(tmp_path)
    handles = waiting(jobs)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Gangs, "_end_members", killed)
        jobs.cancel(handles)
    assert "ends: was canceled" in jobs.status(handles)[0].detail
    assert end(jobs, handles) is JobState.CANCELED
    jobs.close()


def test_what_is_canceled_while_it_fails_is_not_tried_again(tmp_path: Path) -> None:
    jobs = durable(tmp_path)
    slow = "trap 'sleep 1; exit 1' TERM; echo up; sleep 60 & wait"
    retries = {"count": 3, "reasons": ["exit"]}
    handles = jobs.submit(gang(role("a", "sleep 0.2; exit 3"), role("b", slow), retries=retries))
    stop = (tmp_path / "store").rglob
    list(jobs.watch(handles, stop=lambda: any(stop("*stop-0-1.json"))))
    for info in (jobs.cancel(handles, grace_s=5)[0], *jobs.status(handles)):
        assert (info.state, info.attempt, info.members) == (JobState.CANCELED, 2, ())
    assert end(jobs, handles) is JobState.CANCELED
    jobs.close()


def test_status_and_watch_say_what_a_gang_waits_for(tmp_path: Path) -> None:
    jobs = brokered(tmp_path, "spooled", kind=Full)
    handles = jobs.submit(gang(role("a", "true", count=2)), patience_s=None)
    other = brokered(tmp_path, "spooled", kind=Full)
    assert "spooled: 0 CPUs are free" in other.status(handles)[0].detail
    told: list[str] = []
    for event in jobs.watch(handles, stop=lambda: "CPUs are free" in str(told)):
        assert isinstance(event, Changed)
        told.append(event.info.detail)
    assert len(told) == len(set(told))
    for each in (jobs, other):
        each.close()


def test_a_gang_that_may_go_elsewhere_can_be_left_alone(ann: Jobs) -> None:
    on = ["local", "spooled"]
    (handle,) = ann.submit(gang(role("a", "sleep 0.5", count=2, on=on)), detach=True)
    assert ann.mortal([handle]) == [] and ann.status([handle])[0].place == "spooled"
    with pytest.raises(UsageError, match="can't be left alone"):
        ann.submit(gang(role("a", "true", on="local")), detach=True)
    assert end(ann, [handle]) is JobState.SUCCEEDED
