"""check: says what is wrong and where; a sound store has nothing to tell."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from ems.store.check import Finding, check
from ems.store.entries import Ended
from ems.store.store import Store
from tests.store.making import failed, opened, record, run


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    store, _ = opened(tmp_path / "root", cache)
    with store.session("run-1") as writer:
        writer.run(run("run-1"))
        writer.claim([])
        for n in range(5):
            digest, size = store.objects.put_bytes(b"data %d" % n)
            writer.record(record(n, files=[[digest, size]]))
            writer.failed(failed(n))
            writer.flush()
        nodes = store.objects.put_bytes(b"nodes").digest
        writer.ended(Ended("run-1", "done", 1.0, {}, nodes=nodes))
    store.close()
    return tmp_path / "root"


def findings(root: Path, cache: Path, **how: bool) -> list[Finding]:
    store, _ = opened(root, cache)
    return check(store, **how)


def test_a_sound_store(root: Path, cache: Path, tmp_path: Path) -> None:
    assert findings(root, cache) == []
    assert findings(root, tmp_path / "another cache", all_objects=True) == []


def test_a_sound_far_store(any_store: Store) -> None:
    with any_store.session("run-1") as writer:
        row = list(any_store.objects.put_bytes(b"data"))
        writer.record(record(1, files=[row]))
    assert check(any_store, all_objects=True) == []


def test_a_damaged_segment_is_named(root: Path, cache: Path) -> None:
    path = root / "log" / "000000000002.seg"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"k"', b'"x"', 1))
    found = [f for f in findings(root, cache) if f.where.startswith("log/")]
    assert [(f.where, f.what) for f in found] == [("log/000000000002.seg", "its sum is wrong")]


def test_a_missing_segment_is_named(root: Path, cache: Path) -> None:
    os.unlink(root / "log" / "000000000003.seg")
    found = [f for f in findings(root, cache) if f.where.startswith("log/")]
    assert [(f.where, f.what) for f in found] == [("log/000000000003.seg", "is missing")]


def test_a_damaged_object_is_named(root: Path, cache: Path) -> None:
    (path,) = [p for p in root.glob("objects/*/*") if p.read_bytes() == b"data 2"]
    path.chmod(0o644)
    path.write_bytes(b"data 9")
    (found,) = findings(root, cache, all_objects=True)
    assert found.where == str(path.relative_to(root))
    assert "another digest" in found.what


def test_a_missing_object_is_named_with_its_version(root: Path, cache: Path) -> None:
    for path in root.glob("objects/*/*"):
        if path.read_bytes() in (b"data 2", b"nodes"):
            path.unlink()
    version, nodes = findings(root, cache)
    assert version.where.endswith("(collect)")
    assert version.what.endswith("is missing")
    assert nodes.where == "run run-1"


def test_an_index_that_differs_is_named(root: Path, cache: Path) -> None:
    (path,) = (cache / "index").glob("*.sqlite")
    with sqlite3.connect(path) as db:
        db.execute("update versions set content='wrong' where v = (select min(v) from versions)")
    db.close()
    (found,) = findings(root, cache)
    assert found.where == f"index {path}"
    assert "2 rows differ" in found.what
