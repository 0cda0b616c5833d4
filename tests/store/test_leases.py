"""Heartbeats: signs of life by the store's own time, and processes that are really gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.store.leases import (
    Clock,
    Heartbeat,
    Watch,
    beat_key,
    host_id,
    read_beat,
    running,
    start_of,
)
from ems.store.root import Root, open_root


@pytest.fixture
def root(url: str) -> Iterator[Root]:
    made = open_root(url, create=True)
    made.put_new("format.json", b"{}")
    yield made
    made.close()


def beating(root: Root, runner: str = "r-1", every: float = 0.05) -> Heartbeat:
    beat = Heartbeat(root, Clock(), runner, "run-1", 7, every)
    beat.start()
    return beat


def elsewhere(root: Root, runner: str) -> None:
    """Leave the heartbeat of a runner on another host."""
    said = {"schema": 1, "runner": runner, "host": "elsewhere", "pid": os.getpid(), "pid_start": 1}
    root.put(beat_key(runner), json.dumps(said).encode())


def test_a_runner_lives_while_it_beats(root: Root) -> None:
    watch = Watch(root, Clock(), stale_s=30)
    assert watch.why_dead("r-1") == "it has no heartbeat"
    beat = beating(root)
    watch.forget()
    assert watch.alive("r-1")
    assert watch.heads() == {"r-1": 7}
    found = read_beat(root, "r-1")
    assert found is not None
    assert (found.host, found.pid) == (host_id(), os.getpid())
    beat.stop()
    watch.forget()
    assert not watch.alive("r-1")


def test_the_heartbeat_is_renewed(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), create=True)
    root.put_new("format.json", b"{}")
    beat = beating(root)
    first = root.stat(beat_key("r-1"))
    time.sleep(0.3)
    later = root.stat(beat_key("r-1"))
    assert first is not None
    assert later is not None
    assert later.mtime > first.mtime
    root.delete([beat_key("r-1")])  # somebody took us for dead
    time.sleep(0.3)
    assert root.stat(beat_key("r-1")) is not None
    assert beat.fault is None
    beat.stop()


def test_a_runner_elsewhere_is_dead_when_its_heartbeat_is_old(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), create=True)
    root.put_new("format.json", b"{}")
    elsewhere(root, "r-2")
    clock = Clock()
    ours = Heartbeat(root, clock, "r-1", "run-1", 0, 0.05)
    ours.start()
    watch = Watch(root, clock, stale_s=0.5)
    assert watch.alive("r-2")
    time.sleep(0.8)
    assert "s old" in watch.why_dead("r-2")
    elsewhere(root, "r-2")
    watch.forget()
    assert watch.alive("r-2")
    ours.stop()


def test_age_is_by_the_stores_clock_not_by_ours(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), create=True)
    root.put_new("format.json", b"{}")
    elsewhere(root, "r-2")
    clock = Clock()
    clock.set(time.time() - 1000)  # the store's clock is far behind ours
    assert Watch(root, clock, stale_s=5).alive("r-2")
    clock.set(time.time() + 1000)
    assert not Watch(root, clock, stale_s=5).alive("r-2")


def test_a_process_that_was_killed_is_gone_before_its_heartbeat_is_old(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), create=True)
    root.put_new("format.json", b"{}")
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"])
    said = {"host": host_id(), "pid": child.pid, "pid_start": start_of(child.pid)}
    root.put(beat_key("r-2"), json.dumps(said).encode())
    watch = Watch(root, Clock(), stale_s=1000)
    assert watch.alive("r-2")
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped yet
    watch.forget()
    assert "is gone" in watch.why_dead("r-2")
    child.wait()
    watch.forget()
    assert "is gone" in watch.why_dead("r-2")


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    assert running(os.getpid(), start_of(os.getpid()))
    assert not running(os.getpid(), start_of(os.getpid()) + 1)


def test_where_the_start_is_unknown_the_id_decides() -> None:
    assert running(os.getpid(), 0, started=lambda pid: 0)
    assert not running(2**22 + 1, 0, started=lambda pid: 0)


def test_verdicts_are_kept_for_a_moment(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), create=True)
    root.put_new("format.json", b"{}")
    elsewhere(root, "r-2")
    watch = Watch(root, Clock(), stale_s=1000)
    assert watch.alive("r-2")
    root.delete([beat_key("r-2")])
    assert watch.alive("r-2")
    watch.forget()
    assert not watch.alive("r-2")
