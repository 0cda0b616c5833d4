"""Records of jobs: created once, never lost to another writer, kept by gc, looked over by check."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ems.errors import StoreError
from ems.hashing import digest_bytes
from ems.store.check import check
from ems.store.entries import Ended
from ems.store.gc import find_garbage, sweep
from ems.store.jobs import End, Entry, JobRecords, Submission, Word
from ems.store.store import Store
from tests.store.making import opened, run

FAILED = End("failed", "exit", 3, detail="no", t1=2.0)


@pytest.fixture
def one(url: str, tmp_path: Path) -> Store:
    return opened(url, tmp_path / "cache")[0]


def entry(id: str, **keys: object) -> Entry:
    values: dict[str, object] = {"retries": 1, "retry_on": ["exit"], **keys}
    return Entry(id, "train", "cluster", "ab" * 16, {"name": "train"}, **values)  # type: ignore[arg-type]


def created(store: Store, **keys: object) -> Submission:
    records = JobRecords(store.root)
    return records.create(
        "train", lambda id: Submission(id, "ann", "lab", 1.0, [entry(id, **keys)], 7, 8)
    )


def test_what_is_written_is_read(one: Store) -> None:
    made = created(one, inputs={"a": "b"})
    records = JobRecords(one.root)
    assert made.id.startswith("train-") and len(made.id) == len("train-k3x9")
    assert records.ids() == [made.id]
    assert records.get([made.id, "none-aaaa"])[0].submission == made


def test_an_id_is_given_once(one: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("ems.store.jobs._four_letters", lambda: next(letters))
    assert [created(one).id for _ in range(2)] == ["train-aaaa", "train-bbbb"]


def test_who_says_it_first_is_right_and_nobodys_words_are_lost(one: Store) -> None:
    made, records = created(one), JobRecords(one.root)
    mine, yours = records.get([made.id])[0], records.get([made.id])[0]
    records.say(mine, [Word(0, 1, 1.0, {"backend": "cluster", "native": "7"})])
    records.say(mine, [Word(0, 1, 2.0, end=FAILED)])
    records.say(yours, [Word(0, 1, 3.0, end=End("failed", "lost"))])
    for ledger in (mine, yours, records.get([made.id])[0]):
        records.refresh(ledger)
        assert ledger.ends == {(0, 1): FAILED}
        assert ledger.handles[0, 1]["native"] == "7" and ledger.attempt(0) == 2


def test_gc_keeps_what_jobs_name(one: Store) -> None:
    rows = {name: one.objects.put_bytes(name.encode()) for name in ("in", "out", "log", "loose")}
    made = created(one, inputs={"a": rows["in"].digest})
    records = JobRecords(one.root)
    end = End("succeeded", outputs={"o": {"$file": [*rows["out"], "o"]}}, log=list(rows["log"]))
    records.say(records.get([made.id])[0], [Word(0, 1, 1.0, end=end)])
    one.objects.sync()
    with one.session("run-1") as writer:  # which learns the place's time
        writer.run(run("run-1"))
        writer.ended(Ended("run-1", "done", 1.0, {}))
    garbage = find_garbage(one, grace_s=-10.0)
    assert set(garbage.orphans) == {rows["loose"].digest}
    sweep(one, garbage, grace_s=-10.0)
    assert records.get([made.id])[0].ends[0, 1] == end
    left = {stat.key.rpartition("/")[2] for stat in one.root.list("objects/")}
    assert left == {rows[name].digest for name in ("in", "out", "log")}


def test_check_names_what_can_not_be_read(one: Store) -> None:
    made = created(one, inputs={"a": digest_bytes(b"gone")})
    one.root.put("jobs/bad-aaaa.json", b"{")
    found = {finding.where: finding.what for finding in check(one)}
    assert "is missing" in found[f"job {made.id}"]
    assert "can't be read" in found["jobs/bad-aaaa.json"]
    with pytest.raises(StoreError, match="can't be read"):
        JobRecords(one.root).get(["bad-aaaa"])


def test_records_of_a_later_release(one: Store) -> None:
    made = created(one)
    key = f"jobs/{made.id}.json"
    document = json.loads(one.root.get(key) or b"")
    one.root.put(key, json.dumps({**document, "later": 1}).encode())
    assert JobRecords(one.root).get([made.id])[0].submission == made
    one.root.put(key, json.dumps({**document, "schema": 2}).encode())
    with pytest.raises(StoreError, match="has schema 2"):
        JobRecords(one.root).get([made.id])


def test_leftovers_of_the_dead_go(tmp_path: Path) -> None:
    store, _ = opened(tmp_path / "root", tmp_path / "cache")
    created(store)
    half = tmp_path / "root" / "jobs" / ".tmp-1"
    half.write_text("half")
    garbage = find_garbage(store, grace_s=-10.0)
    assert [stat.key for stat in garbage.leftovers] == ["jobs/.tmp-1"]
    sweep(store, garbage, grace_s=-10.0)
    assert not half.exists() and len(os.listdir(tmp_path / "root" / "jobs")) == 1
