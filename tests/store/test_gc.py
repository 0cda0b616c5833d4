"""gc: frees what no kept run needs, and nothing that anybody may still use."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.hashing import digest_bytes
from ems.store.entries import Ended, Handle
from ems.store.gc import Garbage, Keeping, find_garbage, sweep
from ems.store.litter import dead_scratch
from ems.store.log import name
from ems.store.store import Store
from ems.worker.scratch import home_of
from tests.store.making import failed, opened, record, run, version

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


def test_what_a_job_made_stays_until_somebody_has_heard_of_its_end(one: Store) -> None:
    first, second = version("first"), version("second")
    with one.session("run-a") as writer:
        writer.run(run("run-a", started=one.now()))
        writer.claim([first, second])
        for each in (first, second):
            writer.handle(Handle(each.hex(), 1, "sky", "ems-1"))
    put(one, "made by the job, which nobody watches")
    one.root.put(f"attempts/{first.hex()}/checkpoint.json", b"[]")
    drop(one, "run-a")
    collect(one)
    assert has(one, "made by the job, which nobody watches")
    assert one.root.get(f"attempts/{first.hex()}/checkpoint.json") == b"[]"
    with one.session("run-b") as writer:
        writer.claim([first, second])
        writer.failed(failed("first", run="run-b"))
        writer.release([second])
    drop(one, "run-b")
    collect(one)
    assert not has(one, "made by the job, which nobody watches")
    assert one.root.get(f"attempts/{first.hex()}/checkpoint.json") is None


def leave(store: Store, run_id: str) -> None:
    """A run that hands a job to a place, and began after all that is there became an object."""
    with store.session(run_id) as writer:
        writer.run(run(run_id, started=store.now() + 3600))
        writer.claim([version("next")])
        writer.handle(Handle(version("next").hex(), 1, "sky", "ems-1"))


def end_of_job(store: Store) -> None:
    with store.session("run-z") as writer:
        writer.claim([version("next")])
        writer.release([version("next")])


def test_what_a_job_in_s3_may_read_waits_for_its_end(s3_url: str, tmp_path: Path) -> None:
    one, _ = opened(s3_url, tmp_path / "cache")
    do_run(one, "run-a", ["a"])
    leave(one, "run-b")  # "a" was a hit, as only its end would say
    drop(one, "run-a", "run-b")
    garbage, freed = collect(one)
    assert (garbage.versions, garbage.condemned, garbage.jobs) == ([], {}, 1)
    assert garbage.waiting == garbage.held > 0
    assert freed == garbage.bytes, "what the runs alone need"
    assert has(one, "a") and one.lookup([version("a")])
    end_of_job(one)
    garbage, freed = collect(one)
    assert garbage.held == garbage.jobs == 0
    assert freed > 0 and not has(one, "a")
    one.close()


def test_what_was_revoked_under_a_job_in_s3_waits_for_its_end(s3_url: str, tmp_path: Path) -> None:
    one, _ = opened(s3_url, tmp_path / "cache")
    do_run(one, "run-a", ["a"])
    drop(one, "run-a")
    with one.session("run-b") as writer:
        writer.run(run("run-b", started=one.now() + 3600))
        writer.claim([version("next")])
        writer.handle(Handle(version("next").hex(), 1, "sky", "ems-1"))
        garbage = find_garbage(one, grace_s=NO_GRACE)
        assert garbage.condemned and garbage.runners
    sweep(one, garbage, grace_s=NO_GRACE)  # the runner is gone by now, its job is not
    assert one.lookup([version("a")]) == {}
    assert has(one, "a")
    assert collect(one)[0].held > 0
    assert has(one, "a")
    end_of_job(one)
    collect(one)
    assert not has(one, "a")
    one.close()


def test_a_job_of_a_store_in_a_folder_has_copies(tmp_path: Path, cache: Path) -> None:
    store, _ = opened(tmp_path / "root", cache)
    do_run(store, "run-a", ["a"])
    leave(store, "run-b")
    drop(store, "run-a")
    garbage, freed = collect(store)
    assert (garbage.held, garbage.bytes) == (0, freed)
    assert not has(store, "a")


def test_what_a_job_that_nobody_asked_for_in_weeks_made_goes(one: Store) -> None:
    with one.session("run-a") as writer:
        writer.run(run("run-a", started=one.now() - 61 * 86400))
        writer.claim([version("first")])
        writer.handle(Handle(version("first").hex(), 1, "sky", "ems-1"))
    drop(one, "run-a")
    put(one, "lost")
    collect(one)
    assert not has(one, "lost")


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


def test_a_sweep_does_not_write_into_a_hole(tmp_path: Path, cache: Path) -> None:
    slow, _ = opened(tmp_path / "root", tmp_path / "slow")
    store, _ = opened(tmp_path / "root", cache)
    do_run(store, "run-a", ["a"])
    drop(store, "run-a")
    slow.refresh()
    store.committer.commit("", [run("hole")])
    store.committer.commit("", [run("after")])
    last = store.index.applied
    os.unlink(tmp_path / "root" / name(last - 1))
    collect(slow)
    assert [s.n for segments in slow.log.all(last - 2) for s in segments] == [last, last + 1]
    store.refresh()
    assert store.lookup([version("a")]) == {}


# links and scratch


@pytest.fixture
def lab(tmp_path: Path, cache: Path) -> Store:
    return opened(tmp_path / "root", cache)[0]


def linked(store: Store, digest: str) -> list[Path]:
    """What loading makes of an object: a link, and a folder of links and of a copy."""
    links = Path(store.url, "links")
    short, folder = links / digest[:12], links / digest / "model.d"
    short.mkdir(parents=True)
    folder.mkdir(parents=True)
    (short / "data.csv").symlink_to(f"../../objects/{digest[:2]}/{digest}")
    (folder / "x").symlink_to(f"../../../objects/{digest[:2]}/{digest}")
    (folder / "tool").write_text("a copy")
    return [short, folder.parent]


def test_links_go_with_their_objects_and_stay_with_them(lab: Store) -> None:
    do_run(lab, "run-a", ["a"])
    do_run(lab, "run-b", ["b"])
    going = linked(lab, digest_bytes(b"a"))
    staying = linked(lab, digest_bytes(b"b"))
    gone = linked(lab, "ab" * 32)
    (gone[1] / "model.d.4194304").mkdir()  # counts once
    (gone[1] / "model.d.4194304/tool").write_text("")
    assert set(find_garbage(lab, grace_s=NO_GRACE).folders.values()) == {0, 6}
    drop(lab, "run-a")
    garbage, freed = collect(lab)
    assert freed == garbage.bytes
    assert freed - sum(garbage.condemned.values()) - sum(garbage.orphans.values()) == 12
    assert not any(path.exists() for path in (*going, *gone))
    assert all((path / rest).exists() for path in staying for rest in os.listdir(path))
    assert collect(lab)[1] == 0


def test_links_to_what_a_living_runner_may_use_wait(lab: Store) -> None:
    do_run(lab, "run-a", ["a"])
    drop(lab, "run-a")
    links = linked(lab, digest_bytes(b"a"))
    with lab.session("run-b"):
        garbage, freed = collect(lab)
        assert freed == garbage.bytes
        assert garbage.folders == {}
        assert all(path.exists() for path in links)
    lab.watch.forget()
    collect(lab)
    assert not any(path.exists() for path in links)


def test_links_stay_where_the_object_came_back_meanwhile(lab: Store) -> None:
    links = linked(lab, digest_bytes(b"late"))
    garbage = find_garbage(lab, grace_s=NO_GRACE)
    assert len(garbage.folders) == 2
    put(lab, "late")
    assert sweep(lab, garbage, grace_s=5.0) == 0
    assert all(path.exists() for path in links)


def test_scratch_of_dead_workers_goes(lab: Store) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    own, dead = (Path(home_of(lab.scratch, pid)) for pid in (os.getpid(), child.pid))
    foreign = Path(lab.scratch, "elsewhere-0-1-7")
    for folder in (own, dead, foreign):
        (folder / "task-1/locked").mkdir(parents=True)
        (folder / "task-1/locked/file").write_text("four")
    (dead / "task-1/locked").chmod(0o500)
    assert find_garbage(lab).folders == {}
    garbage, freed = collect(lab)
    assert freed == garbage.bytes == 4
    assert sorted(os.listdir(lab.scratch)) == sorted([own.name, foreign.name])


def test_scratch_elsewhere_goes_a_day_later_when_nobody_lives(lab: Store) -> None:
    Path(lab.scratch, "elsewhere-0-1-7").mkdir(parents=True)
    later = lab.now() + 90_000
    assert dead_scratch(lab.root, later, 3600.0, anybody=True) == {}
    assert dead_scratch(lab.root, later - 80_000, 3600.0, anybody=False) == {}
    assert dead_scratch(lab.root, later, 3600.0, anybody=False) == {"scratch/elsewhere-0-1-7": 0}


def test_halves_of_the_killed_go(lab: Store) -> None:
    do_run(lab, "run-a", ["a"])
    child = subprocess.Popen(["true"])
    child.wait()
    links = linked(lab, digest_bytes(b"a"))
    half = links[1] / f"model.d.{child.pid}"
    other = links[1] / f"another.{child.pid}"
    for folder in (half, other):
        folder.mkdir()
        (folder / "tool").write_text("a copy")
    top = Path(lab.url, ".tmp-1-ab-0")
    top.write_text("half")
    assert find_garbage(lab).bytes == 0
    garbage, freed = collect(lab)
    assert freed == garbage.bytes == 4 + 6
    assert (half.exists(), top.exists(), other.exists()) == (False, False, True)
    assert all(path.exists() for path in links)
