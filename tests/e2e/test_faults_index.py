"""The index is a cache: locked, broken or not to be written, the log answers in its place."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.e2e.harm import begun, elsewhere, grid, grid_result, launch, start
from tests.e2e.lab import Lab
from tests.rigs import rig


@pytest.fixture
def known(lab: Lab) -> Lab:
    """A project that has run once."""
    grid(lab)
    assert lab.emsctl("run", "pipeline.py").out.strip() == grid_result(8)
    return lab


def index_of(lab: Lab) -> Path:
    """Return the file of the index."""
    (path,) = (lab.cache / "index").glob("*.sqlite")
    return path


def all_known(lab: Lab) -> str:
    """Run again: nothing is computed. Returns what was said."""
    done = lab.emsctl("run", "pipeline.py")
    assert done.out.strip() == grid_result(8)
    assert sum(begun(lab).values()) == 9
    return done.err


def warned(said: str) -> list[str]:
    """Return the warnings among what was said."""
    return [line for line in said.splitlines() if "index" in line]


def garbage(path: Path) -> None:
    """Overwrite all of a file."""
    path.write_bytes(b"this is no database" * 1000)


def scribble(path: Path) -> None:
    """Overwrite pages in the middle; the head stays."""
    path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 16384)


def cut(path: Path) -> None:
    """Leave half of it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Leave nothing of it."""
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [garbage, scribble, cut, empty, Path.unlink])
def test_a_broken_index_is_built_again(known: Lab, harm) -> None:
    lab = known
    index = index_of(lab)
    for suffix in ("-wal", "-shm"):
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    harm(index)
    assert len(warned(all_known(lab))) <= 1
    assert warned(all_known(lab)) == [], "it is whole again"
    assert lab.emsctl("check").code == 0


def test_an_index_that_is_broken_while_a_run_goes_on(known: Lab) -> None:
    lab = known
    run = start(lab, "run", "pipeline.py", "-p", "n=40")
    while len(begun(lab)) < 15:
        time.sleep(0.01)
    garbage(index_of(lab))
    assert run.done().out.strip() == grid_result(40)
    assert lab.emsctl("run", "pipeline.py", "-p", "n=40").out.strip() == grid_result(40)
    assert max(begun(lab).values()) == 2, "gather alone ran for 8 and for 40"


LOCKER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == "whole":
    db.execute("pragma locking_mode=exclusive")
db.execute("begin exclusive")
db.execute("insert into seen values('x', 1, 1, 1, 'y')")
print("locked", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["written", "whole"])
def test_a_locked_index_is_done_without(known: Lab, how: str) -> None:
    """Another process holds an exclusive lock, and does not let go."""
    lab = known
    locker = launch(lab, ["python3", "-c", LOCKER, str(index_of(lab)), how])
    try:
        while "locked" not in locker.out.read_text():
            time.sleep(0.01)
            assert locker.process.poll() is None, locker.err.read_text()
        said = all_known(lab)
        assert len(warned(said)) == 1
        assert "in memory" in said
    finally:
        locker.kill()
        locker.process.wait()
    assert warned(all_known(lab)) == []


def test_an_index_of_another_release(known: Lab) -> None:
    lab = known
    with sqlite3.connect(index_of(lab)) as db:
        db.execute("pragma user_version=999")
    db.close()
    assert len(warned(all_known(lab))) == 1
    assert warned(all_known(lab)) == []


def test_the_index_s_folder_can_t_be_made(known: Lab) -> None:
    lab = known
    shutil.rmtree(lab.cache / "index")
    (lab.cache / "index").write_text("a file in its place")
    assert len(warned(all_known(lab))) == 1


@rig("mounts")
def test_the_index_s_folder_is_read_only(known: Lab) -> None:
    lab = known
    with elsewhere(lab) as there:
        there.sh('mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"', str(lab.cache / "index"))
        done = there.start("run", "pipeline.py").done()
        assert done.out.strip() == grid_result(8)
        assert len(warned(done.err)) <= 1
        more = there.start("run", "pipeline.py", "-p", "n=10").done()
        assert more.out.strip() == grid_result(10)
    assert begun(lab)["a0"] == 1


@rig("mounts")
def test_the_whole_cache_is_read_only(known: Lab) -> None:
    """What is known is served; something new says where it could not write."""
    lab = known
    with elsewhere(lab) as there:
        there.sh('mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"', str(lab.cache))
        done = there.start("run", "pipeline.py").done()
        assert done.out.strip() == grid_result(8)
    assert sum(begun(lab).values()) == 9


@rig("mounts")
def test_the_cache_s_disk_is_full(known: Lab) -> None:
    lab = known
    with elsewhere(lab) as there:
        there.sh('mount -t tmpfs -o size=64k tmpfs "$1"', str(lab.cache))
        there.sh('dd if=/dev/zero of="$1/filler" bs=4096 2>/dev/null || true', str(lab.cache))
        done = there.start("run", "pipeline.py").done()
        assert done.out.strip() == grid_result(8)
    assert sum(begun(lab).values()) == 9
