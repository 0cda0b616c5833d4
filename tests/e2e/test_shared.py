"""Two runners on one store: common work is done once, and the dead are succeeded."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.e2e.harm import (
    another_machine,
    begun,
    committed,
    grid,
    grid_result,
    marked,
    nobody_left,
    start,
    wait_for,
    wrong_clock,
)
from tests.e2e.lab import Lab
from tests.rigs import rig

NAMES = {f"a{i}" for i in range(12)}
WORDS = ("run", "pipeline.py", "-p", "n=12")


@pytest.fixture
def shared(lab: Lab) -> Lab:
    """A project that two people run at once."""
    grid(lab)
    return lab


def once(lab: Lab) -> None:
    """Each version was executed once, and recorded once."""
    assert begun(lab) == dict.fromkeys([*NAMES, "gather-a"], 1)
    assert sorted(committed(lab.root / ".ems")) == sorted([*NAMES, "gather-a"])


def test_two_runners_do_common_work_once(shared: Lab) -> None:
    lab = shared
    runs = [start(lab, *WORDS) for _ in range(2)]
    assert [run.done().out.strip() for run in runs] == [grid_result(12)] * 2
    once(lab)
    nobody_left(lab)


def test_five_runners_with_overlapping_work(shared: Lab) -> None:
    lab = shared
    runs = [start(lab, "run", "pipeline.py", "-p", f"n={n}", "-j", "1") for n in (4, 6, 8, 10, 12)]
    results = [run.done().out.strip() for run in runs]
    assert results == [grid_result(n) for n in (4, 6, 8, 10, 12)]
    counts = begun(lab)
    assert {name: counts[name] for name in NAMES} == dict.fromkeys(NAMES, 1)


def test_one_of_two_is_killed_and_the_other_takes_over_at_once(shared: Lab) -> None:
    lab = shared
    words = (*WORDS, "-p", "seconds=0.4")
    first = start(lab, *words)
    marked(lab, "begin")
    second = start(lab, *words)
    wait_for(lambda: "being run by" in second.err.read_text(), "waiting for the first")
    first.kill()
    counts, safe = begun(lab), committed(lab.root / ".ems")
    before = time.monotonic()
    assert second.done().out.strip() == grid_result(12)
    assert time.monotonic() - before < 6
    after = begun(lab)
    assert [name for name in safe if after[name] != counts[name]] == []
    assert sum(after.values()) <= 13 + 2, "only what ran at the kill ran twice"
    nobody_left(lab)


def test_a_canceled_runner_s_work_is_free_at_once(shared: Lab) -> None:
    lab = shared
    words = (*WORDS, "-p", "seconds=0.4")
    first = start(lab, *words)
    marked(lab, "begin")
    second = start(lab, *words)
    wait_for(lambda: "being run by" in second.err.read_text(), "waiting for the first")
    first.signal(signal.SIGINT)
    first.done(103)
    assert second.done(within_s=6).out.strip() == grid_result(12)


def test_a_failed_runner_s_work_is_free_at_once(lab: Lab) -> None:
    """What fails for one is tried by the other, who says so itself."""
    grid(lab)
    lab.edit("pipeline.py", ('note(f"end {name}")', '1 / (not name.endswith("0"))'))
    words = ("run", "pipeline.py", "-p", "n=4", "-p", "seconds=0.5")
    runs = [start(lab, *words), start(lab, *words)]
    for run in runs:
        assert "ZeroDivisionError" in run.done(100).err
    assert begun(lab)["a0"] == 2


@pytest.mark.slow
@pytest.mark.timeout(90)
@rig("mounts")
def test_another_machine_dies_and_is_succeeded_within_half_a_minute(shared: Lab) -> None:
    """The other machine's processes can't be asked; its heartbeat grows old by the store's time.

    A third runner is stopped in the middle, as a laptop that sleeps: its work is taken over, too,
    and when it wakes it goes on from what others recorded.
    """
    lab = shared
    words = (*WORDS, "-p", "seconds=1.5")
    lost = start(lab, *words, "-j", "2", before=tuple(another_machine(["env"])))
    marked(lab, "begin", 2)
    asleep = start(lab, *words, "-p", "salt=b", "-j", "2")
    wait_for(lambda: begun(lab)["b1"], "the second run's first tasks")
    lost.kill()
    os.killpg(asleep.process.pid, signal.SIGSTOP)
    counts = begun(lab)
    runs = [start(lab, *words, "-p", f"salt={salt}") for salt in "ab"]
    for salt in "ab":
        names = [name for name in counts if name.startswith(salt)]
        again = lambda names=names: any(begun(lab)[name] > counts[name] for name in names)  # noqa: E731
        wait_for(again, f"a takeover of {names}", 30)
    assert [run.done().out.strip() for run in runs] == [grid_result(12, salt) for salt in "ab"]
    os.killpg(asleep.process.pid, signal.SIGCONT)
    assert asleep.done().out.strip() == grid_result(12, "b")
    found = committed(lab.root / ".ems")
    assert len(set(found)) == 26
    nobody_left(lab)


@pytest.mark.parametrize("off_s", [-3600, 3600])
def test_a_clock_that_is_off_takes_nothing_from_the_living(shared: Lab, off_s: int) -> None:
    """Ages are by the store's time: a runner an hour off neither robs others nor looks dead."""
    lab = shared
    variables, off = wrong_clock(lab)
    off.write_text(str(off_s))
    words = (*WORDS, "-p", "seconds=0.2")
    one = start(lab, *words, before=tuple(another_machine(["env"])))
    marked(lab, "begin")
    other = start(lab, *words, env=variables, before=tuple(another_machine(["env"])))
    assert one.done().out.strip() == other.done().out.strip() == grid_result(12)
    once(lab)


def test_a_runner_whose_clock_is_set_robs_nobody(shared: Lab) -> None:
    """Between two beats, too, what it knows of the store's time does not follow its own clock."""
    lab = shared
    variables, off = wrong_clock(lab)
    off.write_text("0")
    words = (*WORDS, "-p", "seconds=0.3")
    one = start(lab, *words, before=tuple(another_machine(["env"])))
    marked(lab, "begin")
    other = start(lab, *words, env=variables)
    wait_for(lambda: "being run by" in other.err.read_text(), "waiting for the first")
    off.write_text("3600")
    assert one.done().out.strip() == other.done().out.strip() == grid_result(12)
    once(lab)


def test_a_clock_that_is_set_while_a_run_goes_on(shared: Lab) -> None:
    """Neither timeouts nor graces nor heartbeats follow the wall clock when somebody sets it."""
    lab = shared
    lab.edit("pipeline.py", ("@ems.task\ndef work", '@ems.task(timeout="20s")\ndef work'))
    variables, off = wrong_clock(lab)
    off.write_text("0")
    run = start(lab, *WORDS, "-p", "seconds=0.3", env=variables)
    for done, to in ((2, 7200), (5, -7200), (8, 0)):
        marked(lab, "end", done)
        off.write_text(str(to))
    ended = run.done()
    assert ended.out.strip() == grid_result(12)
    once(lab)
    assert "-" not in ended.err.split("done in")[1].split(":")[0], "no negative seconds"


def test_a_timeout_holds_though_the_clock_is_set_back(shared: Lab) -> None:
    lab = shared
    lab.edit("pipeline.py", ("@ems.task\ndef work", '@ems.task(timeout="1s")\ndef work'))
    variables, off = wrong_clock(lab)
    off.write_text("0")
    run = start(lab, "run", "pipeline.py", "-p", "n=1", "-p", "seconds=30", env=variables)
    marked(lab, "begin")
    off.write_text("-7200")
    ended = run.done(100, within_s=6)
    assert "timed out" in ended.err
