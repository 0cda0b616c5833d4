"""A cluster that breaks, that can't be reached, or that does not know us."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import msgspec
import pytest

from ems.compute.job import JobState, Reason
from ems.compute.kinds import Setting
from ems.compute.ray.dashboard import Dashboard
from ems.compute.ray.kind import KIND, RaySettings
from ems.compute.remote.order import PlaceError, Unreachable
from ems.errors import UsageError
from tests.compute.ray.conftest import MakePlace
from tests.contract.place import Kept
from tests.rigs import rig
from tests.rigs.ray import Cluster, cluster

LONG_S = 60.0

pytestmark = pytest.mark.timeout(180)  # the first test waits for the cluster too


@rig("ray")
def test_a_node_dies_and_then_the_head(tmp_path: Path, make_place: MakePlace) -> None:
    with cluster(tmp_path) as ray:
        place = make_place(ray, rollout=1)
        stay = ("sh", "-c", "echo on; sleep 600")
        handles = place.backend.submit([place.job(stay)])
        place.until(lambda: place.log(handles[0]) == b"on\n", LONG_S)
        on_head = make_place(ray)
        stays = on_head.backend.submit([on_head.job(stay), on_head.job(stay), on_head.job(stay)])
        on_head.until(lambda: all(on_head.log(each) == b"on\n" for each in stays), LONG_S)
        ray.worker.end()
        began = time.monotonic()
        ended = place.finish(handles[0], LONG_S)
        assert (ended.state, ended.reason) == (JobState.FAILED, Reason.LOST)
        assert ended.detail.startswith("its node 10.81.0.2 died")
        assert time.monotonic() - began < 20
        lost = [on_head.status(each) for each in stays]
        on_head.until(lambda: any(on_head.status(h).state.ended for h in stays), LONG_S)
        assert time.monotonic() - began < 40
        lost = [each for h in stays if (each := on_head.status(h)).state.ended]
        assert {each.reason for each in lost} == {Reason.LOST}
        assert lost[0].detail.startswith("its node or its Ray process is gone")
        waits = place.backend.submit([place.job(("true",))])[0]
        place.until(lambda: "one that did is dead" in place.spool.waiting(waits), LONG_S)

        ray.head.end()
        began = time.monotonic()
        place.until(lambda: bool(place.warned), LONG_S)
        assert time.monotonic() - began < 15
        assert f"ray: {ray.url}: does not answer" in place.warned[0]
        assert place.status(waits).state is JobState.SUBMITTED, "nothing is decided"
        assert any(on_head.status(each).state is JobState.RUNNING for each in stays)


@rig("ray")
def test_the_check_of_a_target(
    ray_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(Kept(tmp_path / "o"), tmp_path / "c", lambda _: None, tmp_path)

    def check(**keys: str) -> tuple[bool, str, str]:
        target = {"ray": ray_cluster.url, "folder": ".", **keys}
        (found,) = KIND.check("farm", msgspec.convert(target, RaySettings), setting)
        return found.ready, found.what, found.next_step

    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("MINE", ray_cluster.token)
    ready, what, _ = check(token="env:MINE")
    assert ready and what.startswith("ray 2.") and "2 of 2 nodes alive" in what
    assert not check(token="env:MINE", folder="nowhere")[0]
    monkeypatch.setenv("WRONG", "x" * 48)
    ready, what, step = check(token="env:WRONG")
    assert not ready and "does not take this token (403)" in what and "ray get-auth-token" in step
    monkeypatch.setenv("HOME", str(tmp_path))
    ready, what, _ = check()
    assert not ready and "asks for a token (401)" in what
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    assert check()[0]
    assert "'env:NOT_THERE' is not set here" in check(token="env:NOT_THERE")[1]


def test_a_head_that_is_silent_or_gone_is_unreachable() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        url = "http://{}:{}".format(*listening.getsockname())
        began = time.monotonic()
        with pytest.raises(Unreachable, match="does not answer: timed out"):
            Dashboard(url, str).jobs()
        assert time.monotonic() - began < 7
    with pytest.raises(Unreachable, match=r"does not answer: .*refused"):
        Dashboard(url, str).jobs()


@rig("ray")
def test_a_wrong_token_is_an_error_with_a_next_step(ray_cluster: Cluster) -> None:
    with pytest.raises(PlaceError, match=r"does not take this token \(403\)\. Try: token: env:"):
        Dashboard(ray_cluster.url, lambda: "x" * 48).jobs()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"ray": "head:8265"}, "'head:8265' is no address of a dashboard"),
        ({"token": "hunter2"}, "token 'hunter2' is no reference (allowed: env:NAME, file:PATH)"),
        ({"root": "ems"}, "root 'ems' is not absolute"),
        ({"resources": {"CPU": 2}}, "resources can't hold CPU: 2"),
    ],
)
def test_settings_that_can_not_be(tmp_path: Path, keys: dict[str, object], told: str) -> None:
    setting = Setting(Kept(tmp_path / "o"), tmp_path / "c", lambda _: None, tmp_path)
    settings = msgspec.convert({"ray": "http://h:1", "folder": ".", **keys}, RaySettings)
    with pytest.raises(UsageError) as raised:
        KIND.open("farm", settings, setting)
    assert told in str(raised.value)
