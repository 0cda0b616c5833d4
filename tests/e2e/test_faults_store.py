"""Disks full, read-only or gone, and stored bytes that changed: nothing wrong is served."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harm import (
    NOTES,
    Elsewhere,
    begun,
    committed,
    elsewhere,
    entries,
    grid,
    grid_result,
    marked,
    nobody_left,
    spoil,
    start,
)
from tests.e2e.lab import Lab
from tests.rigs import rig

CHAIN = """
from pathlib import Path

import ems
from notes import note


@ems.task
def make(n: int) -> ems.File:
    note(f"begin make{n}")
    Path("made.bin").write_bytes(bytes([n]) * 50_000)
    return ems.File("made.bin")


@ems.task
def table(n: int) -> list:
    note(f"begin table{n}")
    return list(range(n, n + 5000))


@ems.task
def both(file, rows: list, times: int) -> ems.File:
    note(f"begin both{times}")
    data = Path(file).read_bytes()
    Path("both.txt").write_text(f"{len(data)} {sum(data)} {sum(rows)} {times}")
    return ems.File("both.txt")


@ems.pipeline
def main(times: int = 1):
    return both(make(7), table(3), times)
"""


def chain_result(times: int) -> str:
    """Return what CHAIN's file must hold."""
    return f"50000 350000 {sum(range(3, 5003))} {times}"


@pytest.fixture
def chain(lab: Lab) -> Lab:
    """A file and a long value, and a file made of both; it has run once."""
    lab.write("notes.py", NOTES)
    lab.write("pipeline.py", CHAIN)
    assert served(lab, 1) == chain_result(1)
    return lab


def served(lab: Lab, times: int) -> str:
    """Run CHAIN and return what is in the file that is served."""
    done = lab.emsctl("run", "pipeline.py", "-p", f"times={times}")
    return (lab.root / done.out.strip()).read_text()


def objects_of(lab: Lab, task: str) -> list[Path]:
    """Return the objects that the record of a task needs."""
    store = lab.root / ".ems"
    rows = [e["files"] for e in entries(store) if e["k"] == "record" and e["task"] == task]
    return [store / "objects" / row[0][:2] / row[0] for row in rows[-1]]


# -- objects ------------------------------------------------------------------------------------


def shorten(path: Path) -> None:
    """Leave half of a file."""
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [spoil, shorten, Path.unlink], ids=["flipped", "half", "deleted"])
@pytest.mark.parametrize("task", ["make", "table"])
def test_a_harmed_object_that_is_needed_is_computed_again(chain: Lab, harm, task: str) -> None:
    lab = chain
    for path in objects_of(lab, task):
        harm(path)
    done = lab.emsctl("run", "pipeline.py", "-p", "times=2")
    assert (lab.root / done.out.strip()).read_text() == chain_result(2)
    assert "missing or damaged" in done.err
    name = {"make": "make7", "table": "table3"}[task]
    other = {"make": "table3", "table": "make7"}[task]
    assert begun(lab) == {name: 2, other: 1, "both1": 1, "both2": 1}
    assert lab.emsctl("check").code == 0
    assert served(lab, 2) == chain_result(2)
    assert sum(begun(lab).values()) == 5, "and nothing runs once more"


@pytest.mark.parametrize("harm", [spoil, shorten, Path.unlink], ids=["flipped", "half", "deleted"])
def test_a_harmed_result_is_never_served(chain: Lab, harm) -> None:
    lab = chain
    (path,) = objects_of(lab, "both")
    harm(path)
    assert served(lab, 1) == chain_result(1)
    assert begun(lab) == {"make7": 1, "table3": 1, "both1": 2}


def test_harm_all_the_way_up_is_mended_all_the_way_down(chain: Lab) -> None:
    lab = chain
    for task in ("make", "table", "both"):
        for path in objects_of(lab, task):
            path.unlink()
    assert served(lab, 1) == chain_result(1)
    assert begun(lab) == {"make7": 2, "table3": 2, "both1": 2}


def test_all_objects_gone(chain: Lab) -> None:
    lab = chain
    shutil.rmtree(lab.root / ".ems" / "objects")
    (lab.root / ".ems" / "objects").mkdir()
    assert served(lab, 1) == chain_result(1)


def test_check_finds_what_changed_behind_its_back(chain: Lab) -> None:
    """A bit that rots leaves size and times as they were: only reading everything finds it."""
    lab = chain
    (path,) = objects_of(lab, "both")
    seen = path.stat()
    spoil(path)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    found = lab.emsctl("check", code=1)
    assert path.name in found.out + found.err
    assert served(lab, 1) == chain_result(1), "what was found is not trusted any more"
    assert begun(lab)["both1"] == 2
    assert lab.emsctl("check").code == 0


# -- the log ------------------------------------------------------------------------------------


def last_record(lab: Lab, task: str) -> Path:
    """Return the segment that holds a task's record."""
    for path in sorted((lab.root / ".ems" / "log").glob("*.seg")):
        if f'"task":"{task}"' in path.read_text():
            return path
    raise AssertionError(task)


@pytest.mark.parametrize("index", ["kept", "lost"])
@pytest.mark.parametrize("harm", [spoil, shorten, Path.unlink], ids=["flipped", "half", "deleted"])
def test_a_harmed_segment_loses_what_it_held_and_nothing_else(chain: Lab, harm, index: str) -> None:
    lab = chain
    path = last_record(lab, "make")
    seen = harm is not Path.unlink or path != max(path.parent.glob("*.seg"))
    harm(path)
    if index == "lost":
        shutil.rmtree(lab.cache)
    done = lab.emsctl("run", "pipeline.py", "-p", "times=2")
    assert (lab.root / done.out.strip()).read_text() == chain_result(2)
    counts = begun(lab)
    assert counts["table3"] + counts["make7"] <= 4
    assert served(lab, 2) == chain_result(2)
    assert begun(lab) == counts, "what was computed again is kept now"
    if seen:  # a log without its last segment is whole
        looked = lab.emsctl("check", code=1)
        assert ".seg" in looked.out + looked.err


def test_a_flipped_digit_in_a_recorded_value_is_not_served(lab: Lab) -> None:
    """The entry still reads well, and the index says that it is there: the sum tells."""
    grid(lab)
    assert lab.emsctl("run", "pipeline.py").out.strip() == grid_result(8)
    path = last_record(lab, "gather")
    right = grid_result(8)
    wrong = ("0" if right[0] != "0" else "1") + right[1:]
    path.write_text(path.read_text().replace(f'"out":"{right}"', f'"out":"{wrong}"'))
    assert lab.emsctl("run", "pipeline.py").out.strip() == right
    assert begun(lab)["gather-a"] == 2


def test_half_a_segment_that_a_writer_left_is_no_segment(chain: Lab) -> None:
    """Killed between writing and linking: a temporary file, which nobody takes for an entry."""
    lab = chain
    log = lab.root / ".ems" / "log"
    (log / ".tmp-1-abcd-0").write_bytes(b'{"schema":1,')
    (log / "000000000099.seg.part").write_bytes(b"x")
    assert served(lab, 1) == chain_result(1)
    assert sum(begun(lab).values()) == 3


def test_a_store_of_a_newer_release_is_left_alone(chain: Lab) -> None:
    lab = chain
    mark = lab.root / ".ems" / "format.json"
    text = mark.read_text()
    mark.write_text(text.replace('"schema":1', '"schema":2'))
    before = sorted((lab.root / ".ems").rglob("*"))
    assert "schema 2" in lab.emsctl("run", "pipeline.py", code=1).error
    assert sorted((lab.root / ".ems").rglob("*")) == before
    mark.write_text(text)
    assert served(lab, 1) == chain_result(1)


# -- the disk -----------------------------------------------------------------------------------


@pytest.fixture
def small(lab: Lab) -> Iterator[tuple[Lab, Elsewhere]]:
    """A project whose store is a file system of 2 MiB."""
    grid(lab)
    store = lab.root / ".ems"
    store.mkdir()
    with elsewhere(lab) as there:
        there.sh(f"mount -t tmpfs -o size=2m tmpfs '{store}'")
        yield lab, there
    nobody_left(lab)


@rig("mounts")
def test_a_disk_that_fills_up_while_a_run_goes_on(small: tuple[Lab, Elsewhere]) -> None:
    lab, there = small
    store = there.path(lab.root / ".ems")
    run = there.start("run", "pipeline.py", "-p", "n=60")
    marked(lab, "end", 6)
    there.sh("dd if=/dev/zero of=.ems/filler bs=4096 2>/dev/null || true")
    ended = run.end()
    assert ended.code in (1, 100), ended
    assert "No space left" in ended.err
    assert "\nTraceback" not in ended.err
    safe, counts = committed(store), begun(lab)
    assert len(safe) >= 3
    again = there.start("run", "pipeline.py", "-p", "n=60").end()
    assert again.code in (1, 100), again
    assert "No space left" in again.err

    there.sh("rm .ems/filler")
    done = there.start("run", "pipeline.py", "-p", "n=60").done()
    assert done.out.strip() == grid_result(60)
    after = begun(lab)
    assert [name for name in safe if after[name] != counts[name]] == []
    problems = there.start("check").end().out.partition("problems\n")[2].splitlines()
    assert [line for line in problems if "are free" not in line] == []


@rig("mounts")
def test_a_result_that_does_not_fit(small: tuple[Lab, Elsewhere]) -> None:
    """While it is being written there is no space for others, who may fail, too; later there is."""
    lab, there = small
    lab.edit("pipeline.py", ("name * 1000", 'name * (3_000_000 if name == "a2" else 1000)'))
    ended = there.start("run", "pipeline.py", "--keep-going").end()
    assert ended.code in (1, 100), ended
    assert "No space left" in ended.err
    assert "a2" not in committed(there.path(lab.root / ".ems"))
    again = there.start("run", "pipeline.py", "-p", "n=2").done()
    assert again.out.strip() == grid_result(2)
    assert int(there.sh("du -s .ems/scratch").split()[0]) < 64, "what did not fit is removed"


@rig("mounts")
def test_a_read_only_store_serves_what_it_has(small: tuple[Lab, Elsewhere]) -> None:
    lab, there = small
    there.start("run", "pipeline.py").done()
    there.sh("mount -o remount,ro .ems")
    cached = there.start("run", "pipeline.py").done()
    assert cached.out.strip() == grid_result(8)
    assert sum(begun(lab).values()) == 9
    shown = there.start("runs").done()
    assert "done" in shown.out
    there.start("show", "last").done()
    assert "may be read but not written" in there.start("check").end().out

    new = there.start("run", "pipeline.py", "-p", "n=9").done(1)
    lines = [line for line in new.err.splitlines() if line.startswith("emsctl: ")]
    assert len(lines) == 1
    assert "read-only" in lines[0].lower()
    assert "Try: " in lines[0]
    assert sum(begun(lab).values()) == 9, "nothing ran that could not be kept"


@rig("mounts")
def test_a_store_that_turns_read_only_while_a_run_goes_on(small: tuple[Lab, Elsewhere]) -> None:
    """As a file system does after an error of its disk."""
    lab, there = small
    run = there.start("run", "pipeline.py", "-p", "n=60")
    marked(lab, "end", 6)
    for _ in range(200):
        try:
            there.sh("mount -o remount,ro .ems")
            break
        except AssertionError:  # somebody is writing right now
            time.sleep(0.005)
    ended = run.end()
    assert ended.code in (1, 100)
    assert "Read-only file system" in ended.err
    assert "\nTraceback" not in ended.err
    safe, counts = committed(there.path(lab.root / ".ems")), begun(lab)
    there.sh("mount -o remount,rw .ems")
    assert there.start("run", "pipeline.py", "-p", "n=60").done().out.strip() == grid_result(60)
    assert [name for name in safe if begun(lab)[name] != counts[name]] == []


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_a_store_that_vanishes_while_a_run_goes_on(lab: Lab, how: str) -> None:
    grid(lab)
    store = lab.root / ".ems"
    run = start(lab, "run", "pipeline.py", "-p", "n=60")
    marked(lab, "end", 6)
    away = lab.root / "away"
    store.rename(away)
    if how == "removed":
        subprocess.run(["rm", "-rf", str(away)], check=False)
    ended = run.done(1)
    lines = [line for line in ended.err.splitlines() if line.startswith("emsctl: ")]
    assert len(lines) == 1
    assert "vanished" in lines[0]
    nobody_left(lab)
    assert not (store / "format.json").exists(), "no new store in its place"
    if how == "moved":
        safe, counts = committed(away), begun(lab)
        shutil.rmtree(store, ignore_errors=True)
        away.rename(store)
        assert lab.emsctl("run", "pipeline.py", "-p", "n=60").out.strip() == grid_result(60)
        assert [name for name in safe if begun(lab)[name] != counts[name]] == []


@rig("mounts")
def test_a_store_that_is_unmounted_while_a_run_goes_on(small: tuple[Lab, Elsewhere]) -> None:
    lab, there = small
    run = there.start("run", "pipeline.py", "-p", "n=60")
    marked(lab, "end", 6)
    there.sh("umount --lazy .ems")
    ended = run.done(1)
    lines = [line for line in ended.err.splitlines() if line.startswith("emsctl: ")]
    assert len(lines) == 1
    below = {path.name for path in there.path(lab.root / ".ems").iterdir()}
    assert below <= {"scratch"}, "no store is made below the mount"
