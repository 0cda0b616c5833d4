"""A person, a terminal or a system stops a run: what finished is kept, the next run goes on."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.e2e.harm import (
    NOTES,
    begun,
    committed,
    grid,
    grid_result,
    launch,
    marked,
    nobody_left,
    start,
    wait_for,
)
from tests.e2e.lab import EMSCTL, Lab

TRAIN = """
import time

import ems
from notes import note


@ems.task
def quick(i: int) -> int:
    note(f"begin quick{i}")
    return i


@ems.task
def train(first: list, steps: int, stubborn: bool) -> int:
    at = ems.context().checkpoint / "at"
    step = int(at.read_text()) if at.exists() else 0
    note(f"from {step}")
    while step < steps:
        try:
            note(f"step {step}")
            time.sleep(0.05)
            step += 1
        except ems.Canceled:
            at.write_text(str(step))
            note(f"saved {step}")
            if not stubborn:
                raise
    return step


@ems.pipeline
def main(steps: int = 400, stubborn: bool = False):
    return train([quick(i) for i in range(3)], steps, stubborn)
"""


@pytest.fixture
def training(lab: Lab) -> Lab:
    """Three quick tasks, then one of 20 s that can save where it is."""
    lab.write("notes.py", NOTES)
    lab.write("pipeline.py", TRAIN)
    return lab


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 103, "canceled"),
        (signal.SIGTERM, 101, "unfinished"),
        (signal.SIGHUP, 101, "unfinished"),
    ],
)
def test_running_tasks_end_cleanly_and_the_next_run_goes_on(
    training: Lab, number: int, code: int, word: str
) -> None:
    lab = training
    lab.write("pipeline.py", TRAIN.replace("steps: int = 400", "steps: int = 30"))
    run = start(lab, "run", "pipeline.py")
    marked(lab, "step 5")
    before = time.monotonic()
    run.signal(number)
    ended = run.done(code)
    assert time.monotonic() - before < 3
    assert word in ended.err
    assert "FAILED" not in ended.err
    nobody_left(lab)
    saved = [m for m in lab.marks() if m.startswith("saved ")]
    assert len(saved) == 1

    again = lab.run()
    assert again.how == {f"quick[{i}]": "cached" for i in range(3)} | {"train": "ran"}
    assert again.result == 30
    assert f"from {saved[0].split()[1]}" in lab.marks(), "the checkpoint was not found again"
    assert begun(lab) == {f"quick{i}": 1 for i in range(3)}
    states = [row["state"] for row in lab.emsctl("runs", "-o", "json").json]
    assert sorted(states) == sorted([word, "done"])


def test_ctrl_c_twice_ends_at_once(training: Lab) -> None:
    lab = training
    run = start(lab, "run", "pipeline.py", "-p", "stubborn=true")
    marked(lab, "step 3")
    run.signal(signal.SIGINT)
    marked(lab, "saved ")
    time.sleep(0.5)
    assert run.process.poll() is None, "the task has its grace"
    before = time.monotonic()
    run.signal(signal.SIGINT)
    run.done(103)
    assert time.monotonic() - before < 2
    nobody_left(lab, 1)
    assert lab.run("-p", "steps=4").how["quick[0]"] == "cached"


def test_ctrl_c_keeps_what_finished_of_many(lab: Lab) -> None:
    grid(lab)
    run = start(lab, "run", "pipeline.py", "-p", "n=200")
    marked(lab, "end ", 12)
    run.signal(signal.SIGINT)
    run.done(103)
    ended = {m.removeprefix("end ") for m in lab.marks() if m.startswith("end ")}
    kept = committed(lab.root / ".ems")
    assert sorted(kept) == sorted(ended), "every task that came to its end is kept"
    assert lab.run("-p", "n=12").result == grid_result(12)
    assert all(begun(lab)[name] == 1 for name in ended)


def test_ctrl_c_in_a_real_terminal(training: Lab) -> None:
    lab = training
    shell, terminal = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [*EMSCTL, "run", "pipeline.py"], cwd=lab.root, env=lab.environ({"TERM": "xterm"}),
        stdin=terminal, stdout=terminal, stderr=terminal,
        preexec_fn=own_terminal,  # noqa: PLW1509 (nothing else runs in this process now)
    )  # fmt: skip
    os.close(terminal)
    shown = bytearray()
    os.set_blocking(shell, False)

    def read() -> bytes:
        try:
            shown.extend(os.read(shell, 65536))
        except (BlockingIOError, OSError):
            pass
        return bytes(shown)

    wait_for(lambda: b"train" in read() and lab.marks().count("step 20"), "the live display")
    os.write(shell, b"\x03")
    wait_for(lambda: read() and process.poll() is not None, "the end after Ctrl-C")
    os.close(shell)
    assert process.returncode == 103, shown.decode()
    assert b"Traceback" not in shown
    assert b"canceled" in shown
    assert b"\x1b[?25h" in shown, "the cursor is shown again"
    assert any(m.startswith("saved ") for m in lab.marks())
    nobody_left(lab)


def test_a_run_in_the_background_outlives_its_terminal(training: Lab) -> None:
    """`nohup emsctl run … &`: who ignores a signal before is not stopped by it."""
    lab = training
    words = " ".join(f"'{word}'" for word in [*EMSCTL, "run", "pipeline.py", "-p", "steps=20"])
    words = words.replace("prog_name='emsctl'", "")
    run = launch(lab, ["sh", "-c", f"trap '' HUP; exec {words}"])
    marked(lab, "step 5")
    run.signal(signal.SIGHUP)
    run.done(0)
    assert not any(m.startswith("saved ") for m in lab.marks())


@pytest.mark.parametrize("streams", ["2>&1", ""])
def test_a_reader_that_leaves_ends_the_run_without_a_word(lab: Lab, streams: str) -> None:
    grid(lab)
    lab.write("emsctl", f'#!/bin/sh\nexec "{EMSCTL[0]}" -c "{EMSCTL[2]}" "$@"\n').chmod(0o755)
    script = f"./emsctl run pipeline.py -p n=30 {streams} | head -n 1; exit ${{PIPESTATUS[0]}}"
    run = launch(lab, ["bash", "-c", script])
    ended = run.end()
    assert len(ended.out.splitlines()) == 1
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    # lines after the first can't be written: as every program, it ends there
    assert ended.code == (141 if streams else 0), ended
    nobody_left(lab)
    kept = committed(lab.root / ".ems")
    assert lab.run("-p", "n=30").result == grid_result(30)
    assert all(begun(lab)[name] == 1 for name in kept)
    states = {row["state"] for row in lab.emsctl("runs", "-o", "json").json}
    assert states <= {"done", "unfinished"}


def test_a_full_pipe_does_not_stop_the_tasks(lab: Lab) -> None:
    """A pager that nobody scrolls: tasks go on, and all is there when it is read."""
    grid(lab)
    process = lab.popen([*EMSCTL, "run", "pipeline.py"])
    marked(lab, "end gather")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out.strip() == grid_result(8)
    assert Path(lab.root / ".ems").is_dir()


def test_ems_run_gives_the_signals_back(lab: Lab) -> None:
    grid(lab)
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert lab.ems_run(n=1).result == grid_result(1)
    after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert after == before
