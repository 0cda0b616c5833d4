"""`emsctl run --driver`: the runner as a job, on a machine that is not the laptop's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.e2e.lab import Lab
from tests.rigs import rig
from tests.rigs.slurm import Slurm

PIPELINE = """
    import time

    import ems
    from helper import double

    @ems.task
    def data(n: int, given: ems.File) -> ems.File:
        path = ems.context().scratch / "data.txt"
        path.write_text(" ".join(map(str, range(n))) + given.read_text())
        return ems.File(path)

    @ems.task
    def part(given: ems.File, at: int, seconds: float) -> int:
        with open({marks!r}, "a") as marks:
            marks.write(f"part {{at}}\\n")
        time.sleep(seconds)
        return at + double(sum(map(int, given.read_text().split())))

    @ems.pipeline
    def main(parts: int = 4, seconds: float = 0.0):
        given = data(5, ems.File("data/more.txt"))
        return {{"sum": [part(given, at, seconds) for at in range(parts)]}}
    """
DESK = """
    targets:
      desk: {{ssh: here, folder: place, slots: 3, python: {python}}}
    """
RESULT = [20, 21, 22, 23]


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.write(".ems.yaml", DESK.format(python=sys.executable))
    lab.write("pipeline.py", PIPELINE.format(marks=str(lab.marks_file)))
    lab.write("helper.py", "def double(n): return 2 * n")
    lab.write("data/more.txt", "")
    lab.write(".gitignore", "data\nplace\n.ems\n")  # what a pipeline is given travels all the same
    subprocess.run(["git", "init", "-q"], cwd=lab.root, check=True)
    return lab


def until(holds: Callable[[], Any], lab: Lab) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, lab.emsctl("job", "status", "-o", "json").out
        time.sleep(0.05)


def handed_over(process: subprocess.Popen[str]) -> str:
    """Return the driver's id, as soon as the command tells it."""
    assert process.stderr is not None
    words = process.stderr.readline().split()
    assert words[:1] == ["driver"], (words, process.communicate())
    return words[1]


def processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def words_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def drivers(lab: Lab) -> list[int]:
    """Return the processes that are drivers of this project."""
    found = [each for each in processes() if b"ems.cli.driver_start" in words_of(each)]
    return [each for each in found if os.readlink(f"/proc/{each}/cwd").startswith(str(lab.root))]


def runs(lab: Lab) -> list[tuple[str, str]]:
    """Return state and host of each run, the oldest first."""
    with lab.store() as store:
        found = sorted(store.runs(), key=lambda each: each.started)
        return [(each.state, each.host) for each in found]


def parts(lab: Lab, number: int = 4) -> bool:
    """Whether each part was computed, and none twice."""
    return sorted(lab.marks()) == sorted(f"part {at}" for at in range(number))


def test_a_run_elsewhere_is_a_run_as_any_other(lab: Lab) -> None:
    done = lab.emsctl("run", "--driver", "desk", "pipeline.py")
    assert done.out == f"sum: {RESULT}\n"
    said = ["is handed over to desk", "ran data", "done in", "5 ran", "succeeded in"]
    assert [each for each in said if each not in done.err] == [] and "\x1b" not in done.err
    ((state, host),) = runs(lab)
    assert state == "done" and host == f"desk/{os.uname().nodename}"
    assert lab.run().ran == [] and parts(lab)  # data and code are the same ones, wherever they lie

    words = (
        "run",
        "pipeline.py",
        "--driver",
        "desk",
        "--on",
        "desk",
        "-p",
        "parts=5",
        "-o",
        "json",
    )
    told = lab.emsctl(*words).json
    assert told["result"] == {"sum": [*RESULT, 24]} and told["counts"] == {"ran": 1, "cached": 5}
    last = lab.run("-p", "parts=5")
    with lab.store() as store:
        record = store.record(last.versions["part[4]"])
    assert record is not None and record.place == "desk"


def test_a_failed_task_is_told_and_the_exit_code_is_the_runs(lab: Lab) -> None:
    lab.edit("pipeline.py", ("time.sleep(seconds)", "1 / (at - 2)"))
    done = lab.emsctl("run", "pipeline.py", "--driver", "desk", "-k", code=100)
    assert "ZeroDivisionError" in done.err and "next: emsctl show" in done.err
    assert done.out == ""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_driver_that_dies_is_followed_by_another(lab: Lab, how: signal.Signals) -> None:
    """Its tasks go on meanwhile, and the next one finds them."""
    words = ("--on", "desk", "-p", "seconds=1.5")
    laptop = lab.start("run", "pipeline.py", "--driver", "desk", *words)
    handed_over(laptop)
    until(lab.marks, lab)
    (driver,) = drivers(lab)
    os.kill(driver, how)
    out, err = laptop.communicate(timeout=100)
    assert (laptop.returncode, out) == (0, f"sum: {RESULT}\n"), err
    assert "is tried again" in err and parts(lab)
    states = {signal.SIGKILL: "died", signal.SIGTERM: "unfinished"}
    assert [state for state, _ in runs(lab)] == [states[how], "done"]


def test_ctrl_c_leaves_the_run_and_a_cancel_ends_it_all(lab: Lab) -> None:
    words = ("--on", "desk", "-p", "seconds=60")
    laptop = lab.start("run", "pipeline.py", "--driver", "desk", *words)
    driver = handed_over(laptop)
    until(lambda: len(lab.marks()) == 2, lab)  # the driver has the third slot
    laptop.send_signal(signal.SIGINT)
    _, err = laptop.communicate(timeout=60)
    assert laptop.returncode == 101
    assert f"the job goes on. Come back: emsctl job watch {driver}" in err
    assert drivers(lab) and runs(lab) == [("running", f"desk/{os.uname().nodename}")]

    (ended,) = lab.emsctl("job", "cancel", driver, "-o", "json").json
    assert ended["state"] == "canceled" and not drivers(lab)
    assert [state for state, _ in runs(lab)] == ["canceled"]
    place = lab.emsctl("check", code=None).out
    assert "0 of 3 slots in use" in place and len(lab.marks()) == 2


def test_two_drivers_share_the_work(lab: Lab) -> None:
    words = ("run", "pipeline.py", "--driver", "desk", "-p", "seconds=0.5", "-q")
    two = [lab.start(*words) for _ in range(2)]
    for each in two:
        out, err = each.communicate(timeout=100)
        assert (each.returncode, out) == (0, f"sum: {RESULT}\n"), err
    assert parts(lab)


def test_what_the_dead_one_started_is_gone_as_well(lab: Lab) -> None:
    """Nobody waits for it: it is computed again."""
    words = ("--on", "desk", "-p", "seconds=1.5", "-p", "parts=2")
    laptop = lab.start("run", "pipeline.py", *words)
    until(lambda: len(lab.marks()) == 2, lab)
    laptop.kill()
    laptop.communicate()
    place = str(lab.root / "place").encode()
    for each in processes():
        if any(word.startswith(place) for word in words_of(each)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
    shutil.rmtree(lab.root / "place")
    assert lab.run(*words).result == {"sum": RESULT[:2]} and len(lab.marks()) == 4


@rig("slurm")
@pytest.mark.timeout(240)
def test_a_driver_and_its_tasks_on_slurm(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The laptop is gone right after it was handed over."""
    shared = tmp_path / "shared"
    shared.mkdir()
    lab.write(
        ".ems.yaml",
        f"""
        targets:
          cluster: {{slurm: here, folder: {shared}, python: {sys.executable}}}
        """,
    )
    with TemporaryDirectory(prefix="slurm-") as state, Slurm(Path(state)) as slurm:
        for name, value in slurm.variables.items():
            monkeypatch.setenv(name, value)
        laptop = lab.start("run", "pipeline.py", "--driver", "cluster", "--on", "cluster")
        handed_over(laptop)
        laptop.kill()
        laptop.communicate()
        until(lambda: [state for state, _ in runs(lab)] == ["done"], lab)
        assert runs(lab)[0][1].startswith("cluster/")
        again = lab.run("--on", "cluster")
    assert (again.ran, again.result) == ([], {"sum": RESULT}) and parts(lab)
    with lab.store() as store:
        records = store.records(again.versions.values()).values()
    assert {each.place for each in records} == {"cluster"}
