"""What the worker says of kills for memory, and of a SIGTERM at the limit of a whole job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ems.worker.memory_kills import MemoryKills
from tests.worker.shipped import Shipped

GIB = 2**30


def test_version_1_with_the_limit_above(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("9:freezer:/other\n4:memory:/job_1/step\n0::/\n")
    step = tmp_path / "memory" / "job_1" / "step"
    step.mkdir(parents=True)
    control = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
    (step / "memory.oom_control").write_text(control.format(2))
    (step / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (step.parent / "memory.limit_in_bytes").write_text(f"{GIB * 3 // 2}\n")
    kills = MemoryKills(str(own), str(tmp_path))
    assert not kills.grew()
    (step / "memory.oom_control").write_text(control.format(3))
    assert kills.grew() and not kills.grew()
    assert "memory limit of 1.5 GiB" in kills.sentence()


def test_version_2(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/kubepods/pod\n")
    pod = tmp_path / "kubepods" / "pod"
    pod.mkdir(parents=True)
    events = "low 0\nhigh 0\nmax 4\noom 1\noom_kill {}\noom_group_kill 0\n"
    (pod / "memory.events").write_text(events.format(0))
    (pod / "memory.max").write_text("max\n")
    (pod.parent / "memory.max").write_text(f"{300 * 2**20}\n")
    kills = MemoryKills(str(own), str(tmp_path))
    (pod / "memory.events").write_text(events.format(1))
    assert kills.grew()
    assert "memory limit of 300 MiB" in kills.sentence()


def test_a_container_that_sees_its_own_cgroup_as_the_root(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/docker/0123\n")
    (tmp_path / "memory.events").write_text("oom_kill 0\n")
    kills = MemoryKills(str(own), str(tmp_path))
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    assert kills.grew()
    assert kills.sentence() == "the kernel ended it: the memory limit of its job was reached"


def test_where_there_are_no_cgroups(tmp_path: Path) -> None:
    assert not MemoryKills(str(tmp_path / "none"), str(tmp_path)).grew()


@pytest.mark.parametrize(("mark", "reason", "code"), [("timeout", "timed_out", 100),
                                                      ("cancel", "canceled", 103),
                                                      ("", "preempted", 101)])  # fmt: skip
def test_why_a_sigterm_came(shipped: Shipped, mark: str, reason: str, code: int) -> None:
    source = "import time\ndef f():\n    print('on', flush=True)\n    time.sleep(60)\n"
    parcel = shipped.parcel(shipped.code(work=source), [("f", {}), ("f", {})])
    (shipped.folder / "parcel.json").write_text(json.dumps(parcel))
    events = shipped.folder / "events.jsonl"
    output = shipped.folder / "output"
    with output.open("wb") as stream:
        words = [shipped.python, str(shipped.app), "run", "parcel.json", "events.jsonl"]
        worker = subprocess.Popen(words, cwd=shipped.folder, stdout=stream, stderr=stream)
    deadline = time.monotonic() + 20
    while b"on" not in output.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if mark:
        (shipped.folder / f"events.jsonl.{mark}").touch()
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(20) == code
    messages = [json.loads(line) for line in events.read_text().splitlines()]
    assert [m["reason"] for m in messages if m["ev"] == "end"] == [reason, reason]
    assert messages[-1]["state"] == ("done" if mark == "timeout" else reason)
    assert messages[-1]["reason"] == reason
