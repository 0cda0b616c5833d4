"""The index is a cache: broken, locked, old, foreign or shared, it never decides what is true."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ems.store.check import check
from ems.store.entries import Claim, Release, Revoke
from ems.store.index import Index
from ems.store.store import Store
from tests.store.making import failed, opened, record, run, version

VERSIONS = [version(n) for n in range(20)]


@pytest.fixture
def url(tmp_path: Path, cache: Path) -> Path:
    """A store with 20 records, its index in `cache`."""
    store, _ = opened(tmp_path / "root", cache)
    with store.session("run-1") as writer:
        writer.run(run("run-1"))
        for n in range(20):
            writer.record(record(n))
    store.close()
    return tmp_path / "root"


def index_file(cache: Path) -> Path:
    (found,) = (cache / "index").glob("*.sqlite")
    return found


def test_many_are_looked_up(url: Path, cache: Path) -> None:
    store, warnings = opened(url, cache)
    hits = store.lookup([*VERSIONS, version("other")])
    assert {v: hit.content for v, hit in hits.items()} == {version(n): f'"{n}"' for n in range(20)}
    assert store.lookup([]) == {}
    assert warnings == []


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000, 5000, 12_000])
def test_every_size_of_question_and_answer(store: Store, count: int) -> None:
    with store.session("run-1") as writer:
        assert len(writer.claim([version(n) for n in range(count)]).won) == count
        for n in range(count):
            writer.record(record(n))
        writer.flush()
        assert len(store.lookup([version(n) for n in range(2 * count)])) == count
        assert len(store.lookup([version(n) for n in range(count)])) == count


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.write_bytes(b"no database at all" * 1000),
        lambda p: p.write_bytes(p.read_bytes()[:4096] + bytes(p.stat().st_size - 4096)),
        lambda p: sqlite3.connect(p).execute("drop table versions"),
        lambda p: sqlite3.connect(p).execute("pragma user_version=99"),
    ],
    ids=["no database", "torn", "table gone", "other schema"],
)
def test_a_broken_index_is_built_again_with_one_warning(
    url: Path, cache: Path, damage: object
) -> None:
    path = index_file(cache)
    with sqlite3.connect(path) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    damage(path)  # type: ignore[operator]
    store, warnings = opened(url, cache)
    assert len(store.lookup(VERSIONS)) == 20
    assert store.record(VERSIONS[3]) == record(3, asked={}, files=[], metrics=[])
    store.close()
    assert len(warnings) == 1
    assert "built again" in warnings[0]
    store, warnings = opened(url, cache)
    assert len(store.lookup(VERSIONS)) == 20
    assert warnings == []


def test_an_index_that_breaks_while_open_is_built_again(url: Path, cache: Path) -> None:
    store, warnings = opened(url, cache)
    sqlite3.connect(index_file(cache)).execute("drop table versions")
    assert len(store.lookup(VERSIONS)) == 20
    assert len(warnings) == 1


def test_an_index_that_is_gone_is_built_again(url: Path, cache: Path) -> None:
    shutil.rmtree(cache)
    store, warnings = opened(url, cache)
    assert len(store.lookup(VERSIONS)) == 20
    assert warnings == []


def test_an_older_index_catches_up(url: Path, tmp_path: Path, cache: Path) -> None:
    other, _ = opened(url, tmp_path / "another machine")
    with other.session("run-2") as writer:
        writer.record(record("late"))
    store, warnings = opened(url, cache)
    assert len(store.lookup([*VERSIONS, version("late")])) == 21
    assert warnings == []


def test_an_index_of_another_history_is_built_again(url: Path, tmp_path: Path, cache: Path) -> None:
    shutil.copytree(url / "log", tmp_path / "backup")
    store, _ = opened(url, cache)
    with store.session("run-2") as writer:
        writer.record(record("lost"))
    store.close()
    shutil.rmtree(url / "log")
    shutil.move(tmp_path / "backup", url / "log")
    store, warnings = opened(url, cache)
    assert store.lookup([version("lost")]) == {}
    assert len(store.lookup(VERSIONS)) == 20
    assert ["not of this log" in w for w in warnings] == [True]


_LOCKER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2])
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["begin immediate", "begin exclusive"])
def test_an_index_locked_by_another_process_is_kept_in_memory(
    url: Path, tmp_path: Path, cache: Path, how: str
) -> None:
    locker = subprocess.Popen(
        [sys.executable, "-c", _LOCKER, index_file(cache), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert locker.stdout is not None
    locker.stdout.readline()
    store, warnings = opened(url, cache)
    with store.session("run-2") as writer:
        writer.record(record("new"))
        writer.flush()
        assert len(store.lookup([*VERSIONS, version("new")])) == 21
    store.close()
    locker.communicate(b"")
    assert ["in memory" in w for w in warnings] == [True]
    store, warnings = opened(url, cache)
    assert len(store.lookup([*VERSIONS, version("new")])) == 21
    assert warnings == []


def test_a_cache_that_can_not_be_written(url: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store, warnings = opened(url, tmp_path / "file")
    assert len(store.lookup(VERSIONS)) == 20
    assert ["in memory" in w for w in warnings] == [True]


def test_two_stores_share_an_index(url: Path, cache: Path) -> None:
    one, _ = opened(url, cache)
    two, _ = opened(url, cache)
    with one.session("a") as a, two.session("b") as b:
        for n in range(100, 130):
            (a if n % 2 else b).record(record(n))
            (a if n % 3 else b).flush()
    for store in (one, two):
        store.refresh()
        assert len(store.lookup([version(n) for n in range(130)])) == 50
        assert len(store.records([version(n) for n in range(130)])) == 50


def applied(index: Index, versions: list[bytes]) -> dict[bytes, tuple[int, str | None, bool]]:
    return {v: (gen, who, hit is not None) for v, (gen, who, hit) in index.states(versions).items()}


def test_claims_releases_and_revocations_in_log_order(store: Store) -> None:
    a, b = version("a"), version("b")
    both = [a.hex(), b.hex()]
    commit = store.committer.commit
    commit("r-1", [Claim("r-1", "x", 1, both)])
    assert applied(store.index, [a, b]) == {a: (1, "r-1", False), b: (1, "r-1", False)}
    commit("r-1", [Release("r-1", "x", [a.hex()])])
    assert applied(store.index, [a, b]) == {a: (1, None, False), b: (1, "r-1", False)}
    commit("r-2", [Claim("r-2", "x", 2, both), Claim("r-3", "x", 1, both)])
    assert applied(store.index, [a]) == {a: (2, "r-2", False)}
    commit("r-2", [Release("r-2", "x")])
    assert applied(store.index, [a, b]) == {a: (2, None, False), b: (2, None, False)}
    commit("r-2", [Claim("r-2", "x", 3, [a.hex()])])
    assert applied(store.index, [a, b]) == {a: (3, "r-2", False), b: (2, None, False)}


def test_the_first_record_wins_until_it_is_revoked(store: Store) -> None:
    v = version("a")
    commit = store.committer.commit
    commit("r-1", [record("a", content="1"), record("a", content="2")])
    second = commit("r-2", [record("a", content="3"), failed("a")])
    assert {k: hit.content for k, hit in second.items()} == {v: "1"}
    assert store.lookup([v])[v].content == "1"
    commit("r-2", [Revoke([v.hex()], "test", upto=1)])
    assert store.lookup([v]) == {}
    commit("r-2", [record("a", content="4")])
    assert store.lookup([v])[v].content == "4"
    commit("r-2", [Revoke([v.hex()], "decided before", upto=2)])
    assert store.lookup([v])[v].content == "4"
    contents = [getattr(entry, "content", None) for entry in store.attempts(v)]
    assert contents == ["1", "2", "3", None, "4"]


def test_an_exit_status_is_no_result(store: Store) -> None:
    store.committer.commit("r-1", [record("a", exit=1)])
    assert store.lookup([version("a")]) == {}


# copies and moves


def test_a_copied_store_has_an_index_of_its_own(url: Path, tmp_path: Path, cache: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(url, copy, symlinks=True)
    one, warned = opened(url, cache)
    two, warned_too = opened(copy, cache)
    assert one.id == two.id
    for store, own, digest in ((one, "one", "1"), (two, "two", "2"), (one, "more", "3")):
        store.arrivals([digest], note=True)
        with store.session("run-2") as writer:
            writer.record(record(own))
    one.refresh()
    two.refresh()
    wanted = [version(name) for name in ("one", "two", "more")]
    assert set(one.lookup(wanted)) == {wanted[0], wanted[2]}
    assert set(two.lookup(wanted)) == {wanted[1]}
    assert one.arrivals(list("321"), note=False) == ["1", "3", "2"]
    assert two.arrivals(list("321"), note=False) == ["2", "3", "1"]
    assert (warned, warned_too, check(one), check(two)) == ([], [], [], [])


def test_a_copied_far_store_shares_no_segments(s3_url: str, cache: Path) -> None:
    one, _ = opened(s3_url, cache)
    two, warnings = opened(s3_url + "-copy", cache)
    two.root.put("format.json", one.root.get("format.json") or b"")
    two.close()
    two, warnings = opened(s3_url + "-copy", cache)
    assert one.id == two.id
    for store, name in ((one, "one"), (two, "two")):
        with store.session("run-1") as writer:
            writer.record(record(name))
    assert one.attempts_folder != two.attempts_folder
    assert one.record(version("one")) is not None
    assert two.record(version("two")) is not None
    assert two.record(version("one")) is None
    assert warnings == []


def test_one_store_by_two_names_has_one_index(url: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "alias").symlink_to(url)
    one, _ = opened(url, cache)
    two, _ = opened(tmp_path / "alias", cache)
    assert one.index.path == two.index.path


def test_a_moved_store_builds_its_index_again(url: Path, tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"data")
    store, _ = opened(url, cache)
    store.arrivals(["a", "b"], note=True)
    before = store.seen.digest(file)
    store.close()
    url.rename(tmp_path / "moved")
    store, warnings = opened(tmp_path / "moved", cache)
    assert len(store.lookup(VERSIONS)) == 20
    assert store.arrivals(["b", "a"], note=False) == ["a", "b"]
    assert store.seen.digest(file) == before
    assert warnings == []
