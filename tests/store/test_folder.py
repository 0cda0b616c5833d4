"""Folders: laid out once, never made again behind one's back, errors that name the store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ems.errors import StoreError, UsageError
from ems.store.folder import FolderRoot
from tests.rigs import rig
from tests.rigs.mounts import namespace


def made(path: Path) -> FolderRoot:
    root = FolderRoot.open(path, create=True)
    root.put_new("format.json", b"{}")
    return root


def test_a_folder_that_is_not_there_is_not_made_when_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store here"):
        FolderRoot.open(tmp_path / "a", create=False)
    assert not (tmp_path / "a").exists()


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        FolderRoot.open(tmp_path / "a", create=True)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        FolderRoot.open(tmp_path, create=True)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_layout_that_was_left_half_done_is_completed(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    made(tmp_path)
    assert (tmp_path / "runners").is_dir()


@pytest.mark.parametrize("remake", [False, True])
def test_a_removed_store_is_told_and_not_made_again(tmp_path: Path, remake: bool) -> None:
    root = made(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    if remake:  # an empty folder of the same name is not the store
        (tmp_path / "a").mkdir()
    for act in (
        lambda: root.put_new("log/1", b""),
        lambda: root.put("runners/1", b""),
        lambda: root.put("objects/ab/1", b""),
        lambda: root.get("log/1"),
        lambda: list(root.list("log/")),
        lambda: root.make_folder("attempts/x"),
    ):
        with pytest.raises(StoreError, match="vanished"):
            act()
    assert (os.listdir(tmp_path / "a") if remake else os.listdir(tmp_path)) == []


def test_an_emptied_store_is_told_and_not_filled_again(tmp_path: Path) -> None:
    root = made(tmp_path)
    for name in os.listdir(tmp_path):
        path = tmp_path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for act in (
        lambda: root.put_new("log/1", b""),
        lambda: root.put("objects/ab/1", b""),
        lambda: root.make_folder("attempts/x"),
    ):
        with pytest.raises(StoreError, match="vanished"):
            act()
    assert os.listdir(tmp_path) == []


def test_nothing_temporary_is_left(tmp_path: Path) -> None:
    root = made(tmp_path)
    root.put_new("log/1", b"1")
    root.put_new("log/1", b"2")
    root.put("log/2", b"2")
    assert os.listdir(tmp_path / "log") in (["1", "2"], ["2", "1"])


_FULL = """
import sys
from pathlib import Path
from ems.errors import StoreError
from ems.store.folder import FolderRoot
root = FolderRoot.open(Path("/mnt/s"), create=True)
root.put_new("format.json", b"{}")
n = 0
try:
    while True:
        assert root.put_new(f"log/{n:03}", bytes(50_000))
        n += 1
except StoreError as e:
    print(e)
sizes = [s.size for s in root.list("log/")]
assert sizes == [50_000] * n, (n, sizes)
root.delete(["log/000"])
assert root.put_new(f"log/{n:03}", b"again")
"""


@rig("mounts")
def test_a_full_disk_is_told_and_leaves_nothing_half() -> None:
    script = f"mount -t tmpfs -o size=1m tmpfs /mnt && {sys.executable} - "
    done = subprocess.run(
        namespace(["sh", "-c", script]), input=_FULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "/mnt/s: log/" in done.stdout
    assert "No space left" in done.stdout
    assert "emsctl gc" in done.stdout


_READ_ONLY = """
from pathlib import Path
import subprocess
from ems.errors import StoreError
from ems.store.folder import FolderRoot
root = FolderRoot.open(Path("/mnt/s"), create=True)
root.put_new("format.json", b"{}")
root.put_new("log/1", b"one")
assert root.writable
subprocess.run(["mount", "-o", "remount,ro", "/mnt"], check=True)
root = FolderRoot.open(Path("/mnt/s"), create=True)
assert not root.writable
assert root.get("log/1") == b"one"
try:
    root.put_new("log/2", b"two")
except StoreError as e:
    print(e)
"""


@rig("mounts")
def test_a_read_only_folder_is_read_and_says_why_it_is_not_written() -> None:
    script = f"mount -t tmpfs -o size=1m tmpfs /mnt && {sys.executable} - "
    done = subprocess.run(
        namespace(["sh", "-c", script]),
        input=_READ_ONLY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "/mnt/s: log/2: may not be written" in done.stdout
