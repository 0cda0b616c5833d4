"""Runs at places that outlive them: the same versions wherever, and a laptop that is closed."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.lab import Lab
from tests.rigs import rig
from tests.rigs.slurm import Slurm

PIPELINE = """
    import os
    import time

    import ems

    @ems.task
    def data(n: int) -> ems.File:
        path = ems.context().scratch / "data.txt"
        path.write_text("\\n".join(map(str, range(n))))
        return ems.File(path)

    @ems.task
    def part(given: ems.File, at: int, seconds: float) -> dict:
        with open(os.environ.get("MARKS", {marks!r}), "a") as marks:
            marks.write(f"part {{at}}\\n")
        time.sleep(seconds)
        made = ems.context().scratch / "out"
        made.mkdir()
        (made / "sum.txt").write_text(str(at + sum(map(int, open(given).read().split()))))
        print("part", at)
        return {{"at": at, "luck": ems.context().seed, "made": ems.Dir(made)}}

    @ems.task
    def total(parts: list) -> int:
        return sum(int((each["made"] / "sum.txt").read_text()) for each in parts)

    @ems.pipeline
    def main(parts: int = 6, seconds: float = 0.0):
        given = data(10)
        return total([part(given, at, seconds) for at in range(parts)])
    """
TARGETS = """
    targets:
      desk: {ssh: here, folder: place, slots: 2}
    """


@pytest.fixture
def pipeline(lab: Lab) -> Lab:
    lab.write(".ems.yaml", TARGETS)
    lab.write("pipeline.py", PIPELINE.format(marks=str(lab.marks_file)))
    return lab


def _ended_with(lab: Lab, signal_number: int, *words: str, after: int) -> int:
    """Start a run, end it by a signal once so many parts have begun; return its exit code."""
    process = lab.start("run", "pipeline.py", *words)
    deadline = time.monotonic() + 60
    while len(lab.marks()) < after:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal_number)
    process.communicate(timeout=60)
    return process.returncode


def test_versions_are_the_same_wherever_a_task_ran(pipeline: Lab) -> None:
    here = pipeline.run()
    with pipeline.store() as store:
        contents = {
            v: record.content for v, record in store.records(here.versions.values()).items()
        }
    shutil.rmtree(pipeline.root / ".ems")
    there = pipeline.run("--on", "desk")
    assert there.versions == here.versions
    assert there.result == here.result == 6 * 45 + 15
    with pipeline.store() as store:
        records = store.records(there.versions.values())
    assert {v: record.content for v, record in records.items()} == contents
    assert {record.place for record in records.values()} == {"desk"}
    assert pipeline.run().ran == []


def test_each_task_may_name_its_place(pipeline: Lab) -> None:
    pipeline.edit(
        "pipeline.py", ("@ems.task\ndef part", "@ems.task(on=['elsewhere', 'desk'])\ndef part")
    )
    ran = pipeline.run("-p", "parts=2")
    with pipeline.store() as store:
        places = {label: store.record(v) for label, v in ran.versions.items()}
    at = {label: record.place.partition(":")[0] for label, record in places.items() if record}
    assert at == {"data": "local", "part[0]": "desk", "part[1]": "desk", "total": "local"}
    assert ran.done is not None
    assert "on='elsewhere' names no place here" in ran.done.err


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_closed_laptop_loses_nothing_and_starts_nothing_twice(pipeline: Lab, how: str) -> None:
    words = ("--on", "desk", "-p", "seconds=1.5")
    code = _ended_with(pipeline, signal.Signals[how], *words, after=2)
    assert code == {"SIGKILL": -9}.get(how, 101)
    ran = pipeline.run(*words)
    assert ran.result == 6 * 45 + 15
    assert sorted(pipeline.marks()) == [f"part {at}" for at in range(6)]
    assert "part[0]" in ran.how


def test_ctrl_c_cancels_what_runs_elsewhere(pipeline: Lab) -> None:
    words = ("--on", "desk", "-p", "seconds=30")
    assert _ended_with(pipeline, signal.SIGINT, *words, after=2) == 103
    begun = pipeline.marks()
    time.sleep(1)
    assert pipeline.marks() == begun


def test_auto_spills_over_to_the_next_place(pipeline: Lab) -> None:
    """Figure 1 of the paper: what does not fit here goes elsewhere, at the same time."""
    ran = pipeline.run("--on", "auto", "-j", "1", "-p", "seconds=1")
    with pipeline.store() as store:
        records = store.records(ran.versions.values()).values()
    places = {each.place.partition(":")[0] for each in records if each.task == "part"}
    assert places == {"local", "desk"}


def test_a_failure_elsewhere_is_told_as_one_here(pipeline: Lab) -> None:
    pipeline.edit("pipeline.py", ("made.mkdir()", "made.mkdir(); 1 / (at - 1)"))
    (failure,) = pipeline.run("--on", "desk", "--keep-going", code=100).failures
    assert (failure["task"], failure["reason"]) == ("part[1]", "exception")
    assert "ZeroDivisionError" in failure["text"][0] or "ZeroDivisionError" in str(failure)


@rig("slurm")
@pytest.mark.timeout(240)
def test_a_laptop_submits_to_slurm_and_is_closed(
    pipeline: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.write(
        ".ems.yaml",
        f"""
        targets:
          cluster: {{slurm: here, folder: {tmp_path / "shared"}, python: /usr/bin/python3}}
        """,
    )
    pipeline.edit("pipeline.py", ("parts: int = 6", "parts: int = 40"))
    (tmp_path / "shared").mkdir()
    with TemporaryDirectory(prefix="slurm-") as state, Slurm(Path(state)) as slurm:
        for name, value in slurm.variables.items():
            monkeypatch.setenv(name, value)
        words = ("--on", "cluster", "-p", "seconds=0.5")
        assert _ended_with(pipeline, signal.SIGKILL, *words, after=3) == -9
        later = pipeline.start("run", "pipeline.py", *words)
        out, err = later.communicate(timeout=150)
    assert (later.returncode, out.strip()) == (0, str(40 * 45 + sum(range(40)))), err
    assert sorted(pipeline.marks()) == sorted(f"part {at}" for at in range(40))
