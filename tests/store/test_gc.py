"""gc: frees what no kept run needs, and nothing that anybody may still use."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.hashing import digest_bytes
from ems.store.entries import Ended
from ems.store.gc import Garbage, Keeping, find_garbage, sweep
from ems.store.store import Store
from tests.store.making import opened, record, run, version

NO_GRACE = -1.0


@pytest.fixture
def one(url: str, tmp_path: Path) -> Iterator[Store]:
    made, _ = opened(url, tmp_path / "cache")
    yield made
    made.close()


def put(store: Store, text: str) -> tuple[str, int]:
    found = store.objects.put_bytes(text.encode())
    return found.digest, found.size


def do_run(store: Store, name: str, texts: list[str], cached: tuple[str, ...] = ()) -> None:
    """A run that made a version with a file for each text, and found others in the store."""
    with store.session(name) as writer:
        writer.run(run(name, started=float(len(store.runs()))))
        for text in texts:
            spec = put(store, json.dumps({"sources": digest_bytes(b"src"), "of": text}))
            put(store, "src")
            row = put(store, text)
            record_of = record(text, run=name, spec=spec[0], out={"$file": row}, files=[row])
            writer.record(record_of)
        rows = [[0, t, version(t).hex(), "", "ran"] for t in (*texts, *cached)]
        nodes = {"schema": 1, "tasks": [], "nodes": rows}
        digest = store.objects.put_bytes(zlib.compress(json.dumps(nodes).encode())).digest
        writer.ended(Ended(name, "done", 1.0, {}, nodes=digest))


def drop(store: Store, *names: str) -> None:
    with store.session("gc") as writer:
        for name in names:
            writer.drop(name)


def collect(store: Store, keeping: Keeping | None = None) -> tuple[Garbage, int]:
    garbage = find_garbage(store, keeping, grace_s=NO_GRACE)
    return garbage, sweep(store, garbage, grace_s=NO_GRACE)


def objects(store: Store) -> set[str]:
    return {s.key.rpartition("/")[2] for s in store.root.list("objects/")}


def has(store: Store, text: str) -> bool:
    return digest_bytes(text.encode()) in objects(store)


def test_everything_is_kept_by_default(one: Store) -> None:
    do_run(one, "run-a", ["a"])
    garbage, freed = collect(one)
    assert (freed, garbage.bytes, garbage.versions) == (0, 0, [])
    assert has(one, "a")


def test_what_only_a_dropped_run_needs_goes(one: Store) -> None:
    do_run(one, "run-a", ["a", "both"])
    do_run(one, "run-b", ["b"], cached=("both",))
    drop(one, "run-a")
    garbage, freed = collect(one)
    assert garbage.versions == [version("a").hex()]
    assert freed == garbage.bytes > 0
    assert not has(one, "a")
    assert has(one, "both")
    assert has(one, "b")
    assert has(one, "src")
    assert one.lookup([version("a")]) == {}
    assert len(one.lookup([version("b"), version("both")])) == 2
    assert collect(one)[1] == 0


def test_a_dry_run_deletes_nothing(one: Store) -> None:
    do_run(one, "run-a", ["a"])
    drop(one, "run-a")
    before = objects(one)
    assert find_garbage(one, grace_s=NO_GRACE).bytes > 0
    assert objects(one) == before
    assert one.lookup([version("a")])


def test_runs_are_kept_by_number_by_age_and_by_word(one: Store) -> None:
    for n in range(4):
        do_run(one, f"run-{n}", [f"t{n}"])
    with one.session("x") as writer:
        writer.keep("run-0")
    kept = find_garbage(one, Keeping(newest=2), grace_s=NO_GRACE).kept
    assert sorted(kept) == ["run-0", "run-2", "run-3"]
    kept = find_garbage(one, Keeping(younger_than_s=60.0), grace_s=NO_GRACE).kept
    assert kept == ["run-0"]  # they began in 1970
    kept = find_garbage(one, Keeping(dropped=frozenset({"run-0"})), grace_s=NO_GRACE).kept
    assert sorted(kept) == ["run-1", "run-2", "run-3"]


def test_what_is_young_stays(one: Store) -> None:
    do_run(one, "run-a", ["a"])
    drop(one, "run-a")
    put(one, "an orphan")
    one.objects.sync()
    garbage = find_garbage(one)
    assert garbage.bytes == 0
    assert sweep(one, garbage) == 0
    assert has(one, "an orphan")
    assert one.lookup([version("a")])


def test_an_old_object_that_is_put_again_meanwhile_stays(tmp_path: Path, cache: Path) -> None:
    store, _ = opened(tmp_path / "root", cache)
    digest, _ = put(store, "an orphan")
    store.watch.forget()
    garbage = find_garbage(store, grace_s=NO_GRACE)
    assert digest in garbage.orphans
    put(store, "an orphan")
    assert sweep(store, garbage, grace_s=5.0) == 0
    assert has(store, "an orphan")


def test_what_a_living_runner_may_have_seen_waits_for_it(one: Store, tmp_path: Path) -> None:
    do_run(one, "run-a", ["a"])
    drop(one, "run-a")
    other, _ = opened(one.url, tmp_path / "other")
    with other.session("run-b") as writer:
        assert other.lookup([version("a")])  # a hit, used later on
        garbage, _ = collect(one)
        assert garbage.runners == [writer.runner_id]
        assert garbage.waiting > 0
        assert has(one, "a")
        one.refresh()
        assert one.lookup([version("a")]) == {}  # but nobody new relies on it
        assert find_garbage(one, grace_s=NO_GRACE).bytes == 0
    one.watch.forget()
    collect(one)
    assert not has(one, "a")


def test_a_runner_that_began_after_the_revocation_holds_nothing(one: Store) -> None:
    do_run(one, "run-a", ["a"])
    drop(one, "run-a")
    garbage = find_garbage(one, grace_s=NO_GRACE)
    assert garbage.condemned
    with one.session("run-b"):
        sweep(one, garbage, grace_s=NO_GRACE)
        assert has(one, "a")
    with one.session("run-c"):
        collect(one)
        assert not has(one, "a")


def test_what_is_recorded_while_we_look_stays(one: Store) -> None:
    row = put(one, "late")
    one.objects.sync()
    garbage = find_garbage(one, grace_s=NO_GRACE)
    assert row[0] in garbage.orphans
    with one.session("run-a") as writer:
        writer.record(record("late", files=[row], out={"$file": row}))
    sweep(one, garbage, grace_s=NO_GRACE)
    assert has(one, "late")


def test_a_living_runners_claims_and_records_stay(one: Store) -> None:
    with one.session("run-a") as writer:
        writer.run(run("run-a"))
        writer.claim([version("a")])
        row = put(one, "a")
        writer.record(record("a", run="run-a", files=[row]))
        writer.drop("run-a")
        writer.flush()
        one.watch.forget()
        collect(one)
        assert has(one, "a")


def test_objects_named_by_objects_stay(one: Store, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "x").write_text("in a folder")
    tree = one.objects.put_dir(folder)
    out = put(one, json.dumps({"model": {"$dir": [tree.digest, tree.size, "d"]}}))
    with one.session("run-a") as writer:
        writer.run(run("run-a"))
        writer.record(record("a", run="run-a", out={"$object": out}, files=[out]))
    assert collect(one)[1] == 0
    assert has(one, "in a folder")
    drop(one, "run-a")
    collect(one)
    assert objects(one) == set()


def test_small_records_need_no_space_and_stay(one: Store) -> None:
    with one.session("run-a") as writer:
        writer.run(run("run-a"))
        writer.record(record("a", run="run-a", spec=""))
    drop(one, "run-a")
    garbage, _ = collect(one)
    assert garbage.versions == []
    assert one.lookup([version("a")])


def test_leftovers_of_the_dead_go(tmp_path: Path, cache: Path) -> None:
    store, _ = opened(tmp_path / "root", cache)
    do_run(store, "run-a", ["a"])
    root = tmp_path / "root"
    left = [root / "log/.tmp-1-a-0", root / "objects/.tmp-1-a-0", root / "objects/tmp-lab-1-1"]
    for path in left:
        path.write_text("half")
    for owner in (version("a").hex(), version("gone").hex()):
        folder = store.folder(f"attempts/{owner}/checkpoint")
        assert folder is not None
        (folder / "step-9").write_text("weights")
    assert find_garbage(store).leftovers == []
    garbage, freed = collect(store)
    assert freed == garbage.bytes == 3 * 4 + 7
    assert not any(path.exists() for path in left)
    assert os.listdir(root / "log")
    assert (root / "attempts" / version("a").hex() / "checkpoint/step-9").exists()
    assert not (root / "attempts" / version("gone").hex() / "checkpoint/step-9").exists()
