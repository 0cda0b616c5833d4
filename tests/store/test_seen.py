"""Digests of files: remembered while nothing changed, computed again when it might have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import ems.store.seen as seen_module
from ems.errors import EmsError
from ems.hashing import digest_bytes, digest_file
from ems.store.seen import RACY_NS
from ems.store.store import Store


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are really hashed."""
    paths = list[str]()

    def noted(path: str) -> str:
        paths.append(os.path.basename(path))
        return digest_file(path)

    monkeypatch.setattr("ems.store.seen.digest_file", noted)
    return paths


def old(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    os.utime(path, ns=(10**18, 10**18))
    return path


def test_a_file_is_hashed_once(store: Store, tmp_path: Path, hashed: list[str]) -> None:
    path = old(tmp_path / "a", b"one")
    for _ in range(3):
        assert store.seen.digest(path) == (digest_bytes(b"one"), 3)
    assert store.seen.digest(os.path.relpath(path)) == (digest_bytes(b"one"), 3)
    assert hashed == ["a"]


def test_many_files_at_once(store: Store, tmp_path: Path, hashed: list[str]) -> None:
    paths = [str(old(tmp_path / f"f{n}", b"%d" % n)) for n in range(50)]
    for _ in range(2):
        found = store.seen.digest_many(paths)
        assert [found[p].digest for p in paths] == [digest_bytes(b"%d" % n) for n in range(50)]
    assert sorted(hashed) == sorted(f"f{n}" for n in range(50))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: old(p, b"longer"),
        lambda p: os.utime(p, ns=(10**18, 10**18 + 1)),
        lambda p: old(p.with_name("x"), b"two").rename(p),
    ],
    ids=["size", "mtime", "inode"],
)
def test_a_change_is_noticed(
    store: Store, tmp_path: Path, hashed: list[str], change: object
) -> None:
    path = old(tmp_path / "a", b"one")
    store.seen.digest(path)
    change(path)  # type: ignore[operator]
    assert store.seen.digest(path).digest == digest_bytes(path.read_bytes())
    assert len(hashed) == 2


def test_a_file_that_was_just_written_is_not_remembered(
    store: Store, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    written = path.stat().st_mtime_ns
    monkeypatch.setattr("ems.store.seen.time.time_ns", lambda: written + RACY_NS)
    store.seen.digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(written, written))  # as a clock with coarse ticks would have it
    assert store.seen.digest(path).digest == digest_bytes(b"two")
    monkeypatch.setattr("ems.store.seen.time.time_ns", lambda: written + RACY_NS + 1)
    store.seen.digest(path)
    store.seen.digest(path)
    assert len(hashed) == 3


def test_a_file_that_keeps_changing_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(1 << 20))
    changes: list[int] = []

    def changing_while_read(name: str) -> str:
        found = digest_file(name)
        changes.append(len(changes) + 1)
        os.utime(path, ns=(changes[-1], changes[-1]))
        return found

    monkeypatch.setattr(seen_module, "digest_file", changing_while_read)
    with pytest.raises(EmsError, match="changes while it is read"):
        store.seen.digest(path)
    assert changes == [1, 2, 3]


def test_a_file_that_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.seen.digest(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        store.seen.digest(tmp_path)


def test_it_is_remembered_for_the_next_process(
    store: Store, tmp_path: Path, cache: Path, hashed: list[str]
) -> None:
    path = old(tmp_path / "a", b"one")
    store.seen.digest(path)
    again = Store.open(store.url, cache=cache)
    assert again.seen.digest(path).digest == digest_bytes(b"one")
    assert hashed == ["a"]
