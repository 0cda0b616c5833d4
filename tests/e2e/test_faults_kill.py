"""kill -9 at any moment: of the runner, of a worker, of everything. What was recorded stays."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import pytest

from tests.e2e.harm import (
    NOTES,
    another_machine,
    begun,
    committed,
    grid,
    grid_result,
    marked,
    nobody_left,
    running,
    start,
    wait_for,
    workers,
)
from tests.e2e.lab import Lab


def computed_once(lab: Lab, safe: list[str], counts: Counter[str]) -> None:
    """What was recorded then was not computed since, and nothing is recorded twice."""
    assert [name for name in safe if begun(lab)[name] != counts[name]] == []
    found = committed(lab.root / ".ems")
    assert len(found) == len(set(found))
    assert set(safe) <= set(found)


@pytest.mark.parametrize("seed", range(4))
def test_runner_killed_at_any_moment(lab: Lab, seed: int) -> None:
    """Three kills, each followed by a whole run; every moment of a run may be hit."""
    grid(lab)
    lab.run("-p", "n=1", "-p", "salt=warm")
    moments = random.Random(seed)
    for round in range(3):
        salt = f"s{round}-"
        words = ("run", "pipeline.py", "-p", "n=12", "-p", f"salt={salt}")
        run = start(lab, *words)
        time.sleep(moments.uniform(0.1, 0.75))
        run.kill()
        run.process.wait()
        nobody_left(lab, 3)
        safe = committed(lab.root / ".ems")
        counts = begun(lab)
        before = time.monotonic()
        assert lab.emsctl(*words).out.strip() == grid_result(12, salt)
        assert time.monotonic() - before < 5, "claims of the dead are taken over at once"
        computed_once(lab, safe, counts)
        assert max(begun(lab).values()) <= 2
    assert lab.emsctl("check").code == 0


def test_killed_again_and_again_every_run_gets_further(lab: Lab) -> None:
    grid(lab)
    words = ("run", "pipeline.py", "-p", "n=30", "-j", "1")
    safe, counts = committed(lab.root / ".ems"), begun(lab)
    for kept in (3, 6, 9):
        run = start(lab, *words)
        wait_for(lambda kept=kept: len(committed(lab.root / ".ems")) >= kept, "records")
        run.kill()
        run.process.wait()
        nobody_left(lab, 3)
        computed_once(lab, safe, counts)
        safe, counts = committed(lab.root / ".ems"), begun(lab)
    assert lab.emsctl(*words).out.strip() == grid_result(30)
    computed_once(lab, safe, counts)
    assert sum(begun(lab).values()) <= 31 + 3, "at most what ran at each kill ran twice"
    dead = [row for row in lab.emsctl("runs", "-o", "json").json if row["state"] == "died"]
    assert len(dead) == 3


FORKS = """
import os
import subprocess
import time

import ems
from notes import note


@ems.task
def busy(i: int) -> int:
    note(f"begin {i}")
    subprocess.Popen(["sleep", "300"])
    subprocess.Popen(["sleep", "301"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "302"])
        os._exit(0)
    note(f"forked {i}")
    time.sleep(60 if os.path.exists(os.environ["MARKS"] + ".slow") else 0.01)
    return i


@ems.pipeline
def main():
    return [busy(i) for i in range(4)]
"""


@pytest.fixture
def forking(lab: Lab) -> Lab:
    """Tasks that start processes of all kinds and leave them."""
    lab.write("notes.py", NOTES)
    lab.write("pipeline.py", FORKS)
    return lab


def test_what_tasks_left_running_ends_with_them(forking: Lab) -> None:
    lab = forking
    assert lab.run().result == [0, 1, 2, 3]
    nobody_left(lab, 1)


def test_a_killed_runner_takes_its_tasks_children_along(forking: Lab) -> None:
    lab = forking
    slow = lab.marks_file.with_name("marks.slow")
    slow.touch()
    run = start(lab, "run", "pipeline.py")
    marked(lab, "forked", 2)
    wait_for(lambda: sum("sleep" in words for words in running(lab).values()) == 6, "children")
    run.kill()
    nobody_left(lab, 5)
    slow.unlink()
    assert lab.run().result == [0, 1, 2, 3]


def test_a_killed_worker_takes_its_tasks_children_along(forking: Lab) -> None:
    lab = forking
    lab.marks_file.with_name("marks.slow").touch()
    run = start(lab, "run", "pipeline.py", "-j", "1")
    marked(lab, "forked", 1)
    os.kill(workers(lab)[0], signal.SIGKILL)
    run.done(100)
    nobody_left(lab, 5)


RISKY = """
import os
import time
from pathlib import Path

import ems
from notes import note


@ems.task(retries={retries})
def risky(i: int) -> int:
    note(f"begin {{i}}")
    print(f"at work on {{i}}", flush=True)
    if i == 2 and ems.context().attempt <= {dies}:
        note(f"pid {{os.getpid()}}")
        time.sleep(60)
    time.sleep(0.05)
    return i * i


@ems.pipeline
def main(n: int = 8):
    return [risky(i) for i in range(n)]
"""


def test_a_killed_worker_s_version_is_tried_again(lab: Lab) -> None:
    lab.write("notes.py", NOTES)
    lab.write("pipeline.py", RISKY.format(retries=1, dies=1))
    run = start(lab, "run", "pipeline.py")
    marked(lab, "pid")
    pid = next(int(m.split()[1]) for m in lab.marks() if m.startswith("pid"))
    os.kill(pid, signal.SIGKILL)
    ended = run.done()
    assert "risky[2]: attempt 1 of 2 failed (signal" in ended.err
    assert ended.out.split() == [str(i * i) for i in range(8)]
    assert begun(lab) == {str(i): 2 if i == 2 else 1 for i in range(8)}
    nobody_left(lab)


def test_a_killed_worker_s_version_fails_with_its_reason_and_others_go_on(lab: Lab) -> None:
    lab.write("notes.py", NOTES)
    lab.write("pipeline.py", RISKY.format(retries=0, dies=1))
    run = start(lab, "run", "pipeline.py", "--keep-going", "-o", "json")
    marked(lab, "pid")
    pid = next(int(m.split()[1]) for m in lab.marks() if m.startswith("pid"))
    os.kill(pid, signal.SIGKILL)
    ended = run.done(100)
    (failure,) = ended.json["failures"]
    assert (failure["task"], failure["reason"]) == ("risky[2]", "signal")
    assert "SIGKILL" in failure["message"]
    assert failure["signal"] == signal.SIGKILL
    assert "at work on 2" in "\n".join(failure["text"])
    assert ended.json["counts"]["ran"] == 7
    assert begun(lab) == {str(i): 1 for i in range(8)}
    lab.edit("pipeline.py", ("attempt <= 1", "attempt <= 0"))
    again = lab.run()
    assert again.result == [i * i for i in range(8)]


def test_everything_killed_at_once(lab: Lab) -> None:
    """As when a machine loses its power: its first process and all others end in one moment."""
    grid(lab)
    (lab.root / "go.sh").write_text('exec "$@"\n')
    words = ("run", "pipeline.py", "-p", "n=40")
    for done in (5, 12):
        run = start(lab, *words, before=tuple(another_machine(["env"])))
        wait_for(lambda done=done: len(committed(lab.root / ".ems")) >= done, "records")
        run.kill()
        run.process.wait()
        nobody_left(lab, 1)
        safe, counts = committed(lab.root / ".ems"), begun(lab)
        # nobody here can ask that machine, and waiting for its heartbeat to age is another test
        for beat in (lab.root / ".ems" / "runners").iterdir():
            beat.unlink()
    assert lab.emsctl(*words).out.strip() == grid_result(40)
    computed_once(lab, safe, counts)
    assert lab.emsctl("check").code == 0


def test_every_process_of_a_run_killed_one_after_the_other(lab: Lab) -> None:
    """The runner, its workers and what watches over them, in any order."""
    grid(lab)
    for seed in range(3):
        words = ("run", "pipeline.py", "-p", "n=20", "-p", f"salt=s{seed}-")
        start(lab, *words)
        marked(lab, "end ", 4)
        victims = sorted(running(lab))
        random.Random(seed).shuffle(victims)
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        nobody_left(lab, 3)
        safe, counts = committed(lab.root / ".ems"), begun(lab)
        assert lab.emsctl(*words).out.strip() == grid_result(20, f"s{seed}-")
        computed_once(lab, safe, counts)
