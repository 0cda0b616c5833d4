"""The writer: what flush acknowledged stays, what is claimed is claimed once, faults are told."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ems.store.entries import Claim, Ended, Record, Revoke
from ems.store.leases import beat_key
from ems.store.log import Log
from ems.store.reach import read_log
from ems.store.store import Store, Timing
from tests.store.making import failed, opened, record, version

VERSIONS = [version(n) for n in range(10)]
SLOW = Timing(beat_s=0.5, stale_s=4.0)
"""So that a busy machine does not make a heartbeat stale."""


def entries(store: Store) -> list[object]:
    return [entry for segments in store.log.all() for s in segments for entry, _ in s.entries]


# queueing


def test_flush_makes_what_was_queued_durable_and_known(any_store: Store) -> None:
    with any_store.session("run-1") as writer:
        for n in range(100):
            writer.record(record(n))
        writer.flush()
        assert len(any_store.lookup([version(n) for n in range(100)])) == 100
    assert [e.v for e in entries(any_store) if isinstance(e, Record)] == [
        version(n).hex() for n in range(100)
    ]


def test_what_is_queued_is_written_without_a_flush(store: Store) -> None:
    with store.session("run-1") as writer:
        writer.record(record(1))
        deadline = time.monotonic() + 5
        while not store.lookup([version(1)]) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert store.lookup([version(1)])


def test_records_are_grouped(store: Store) -> None:
    with store.session("run-1") as writer:
        for n in range(1000):
            writer.record(record(n))
    assert read_log(store).head <= 1000 / 32


def test_leaving_flushes(store: Store, cache: Path) -> None:
    with store.session("run-1") as writer:
        writer.failed(failed(1))
        writer.ended(Ended("run-1", "failed", 1.0, {"failed": 1}))
    assert len(entries(store)) == 2
    assert list(store.root.list("runners/")) == []


def test_an_error_is_not_hidden_by_that_of_leaving(tmp_path: Path, cache: Path) -> None:
    store, _ = opened(tmp_path / "root", cache)
    with pytest.raises(KeyError), store.session("run-1") as writer:
        shutil.rmtree(tmp_path / "root")
        writer.record(record(1))
        raise KeyError


def test_what_json_has_no_form_for_is_refused_when_queued(store: Store) -> None:
    with store.session("run-1") as writer:
        with pytest.raises(TypeError):
            writer.record(record(1, out={1, 2}))
        writer.record(record(2))
    assert len(entries(store)) == 1


def test_many_threads_may_queue(store: Store) -> None:
    with store.session("run-1") as writer:

        def work(part: int) -> None:
            for n in range(part, 400, 4):
                writer.record(record(n))
            writer.flush()
            assert len(store.lookup([version(n) for n in range(part, 400, 4)])) == 100

        threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(store.lookup([version(n) for n in range(400)])) == 400


# claims


def test_a_claim_is_won_once(url: str, tmp_path: Path) -> None:
    one, _ = opened(url, tmp_path / "one")
    two, _ = opened(url, tmp_path / "two")
    with one.session("run-1") as a, two.session("run-2") as b:
        first = a.claim(VERSIONS)
        assert first.won == set(VERSIONS)
        assert set(first.gens.values()) == {1}
        second = b.claim(VERSIONS)
        assert second.won == frozenset()
        assert second.busy == dict.fromkeys(VERSIONS, a.runner_id)
        assert b.poll() == []
        a.record(record(0))
        a.release([VERSIONS[1]])
        a.flush()
        assert sorted(b.poll()) == sorted(VERSIONS[:2])
        third = b.claim(VERSIONS)
        assert {v: hit.content for v, hit in third.done.items()} == {VERSIONS[0]: '"0"'}
        assert third.gens == {VERSIONS[1]: 2}
        assert third.busy == dict.fromkeys(VERSIONS[2:], a.runner_id)


def test_what_is_ours_is_won_again_without_a_commit(store: Store) -> None:
    with store.session("run-1") as writer:
        writer.claim(VERSIONS)
        head = store.index.applied
        assert writer.claim(VERSIONS).gens == dict.fromkeys(VERSIONS, 1)
        assert store.index.applied == head


def test_a_revoked_version_can_be_claimed_at_once(store: Store) -> None:
    with store.session("run-1") as writer:
        writer.claim(VERSIONS[:1])
        writer.record(record(0))
        writer.flush()
        writer.revoke([VERSIONS[0]], "asked for by --rerun")
        result = writer.claim(VERSIONS[:1])
        assert result.won == {VERSIONS[0]}
        assert store.lookup(VERSIONS) == {}


def test_a_revocation_spares_what_came_after_it_was_decided(url: str, tmp_path: Path) -> None:
    one, _ = opened(url, tmp_path / "one")
    two, _ = opened(url, tmp_path / "two")
    with one.session("run-1") as a:
        a.record(record(0, content="old"))
    two.refresh()
    with two.session("run-2") as b, one.session("run-1") as a:
        a.revoke([VERSIONS[0]], "missing")
        a.record(record(0, content="new"))
        a.flush()
        b.revoke([VERSIONS[0]], "missing")  # decided before b had read a's new record
    one.refresh()
    assert one.lookup(VERSIONS)[VERSIONS[0]].content == "new"


def test_who_recorded_a_version_holds_it_no_more(url: str, tmp_path: Path) -> None:
    one, _ = opened(url, tmp_path / "one", timing=SLOW)
    two, _ = opened(url, tmp_path / "two", timing=SLOW)
    with one.session("run-1") as a, two.session("run-2") as b:
        a.claim(VERSIONS[:1])
        a.record(record(0))
        a.flush()
        two.refresh()
        b.revoke(VERSIONS[:1], "object missing")
        assert b.claim(VERSIONS[:1]).gens == {VERSIONS[0]: 2}
        assert a.claim(VERSIONS[:1]).busy == {VERSIONS[0]: b.runner_id}


def test_a_revocation_leaves_no_holder(url: str, tmp_path: Path) -> None:
    one, _ = opened(url, tmp_path / "one", timing=SLOW)
    two, _ = opened(url, tmp_path / "two", timing=SLOW)
    with one.session("run-1") as a, two.session("run-2") as b:
        a.record(record(0))
        a.flush()
        assert a.claim(VERSIONS[:1], force=VERSIONS[:1]).won == {VERSIONS[0]}
        two.refresh()
        b.revoke(VERSIONS[:1], "object missing")
        assert b.claim(VERSIONS[:1]).gens == {VERSIONS[0]: 2}


# replacing


def test_a_recorded_version_is_claimed_by_force_and_served_meanwhile(
    url: str, tmp_path: Path
) -> None:
    one, _ = opened(url, tmp_path / "one", timing=SLOW)
    two, _ = opened(url, tmp_path / "two", timing=SLOW)
    with one.session("run-1") as a, two.session("run-2") as b:
        a.claim(VERSIONS[:2])
        a.record(record(0, content="old"))
        a.flush()
        assert b.claim(VERSIONS[:2], force=VERSIONS[:2]) == (
            {VERSIONS[0]}, {VERSIONS[1]: a.runner_id}, {}, {VERSIONS[0]: 2},
        )  # fmt: skip
        assert b.claim(VERSIONS[:1], force=VERSIONS[:1]).gens == {VERSIONS[0]: 2}  # ours
        assert a.claim(VERSIONS[:1]).done[VERSIONS[0]].content == "old"
        assert a.claim(VERSIONS[:1], force=VERSIONS[:1]).busy == {VERSIONS[0]: b.runner_id}
        assert a.poll() == []
        b.record(record(0, gen=2, content="new"), replace=True)
        b.flush()
        assert a.poll() == VERSIONS[:1]
        assert a.claim(VERSIONS[:1]).done[VERSIONS[0]].content == "new"
        assert b.overtaken() == {}
    assert [e.content for e in one.attempts(VERSIONS[0]) if isinstance(e, Record)] == ["old", "new"]
    found = one.record(VERSIONS[0])
    assert found is not None
    assert found.content == "new"


def test_a_replacement_is_one_segment(store: Store) -> None:
    with store.session("run-1") as writer:
        for content in ("a", "b", "c"):
            writer.record(record(0, content=content), replace=True)  # all in one group, or not
        for n in range(1, 200):
            writer.record(record(n), replace=True)
    for segments in store.log.all():
        for segment in segments:
            said = [entry for entry, _ in segment.entries]
            for revoke, new in zip(said[::2], said[1::2], strict=True):
                assert isinstance(revoke, Revoke)
                assert isinstance(new, Record)
                assert list(revoke.versions) == [new.v]
    assert store.lookup(VERSIONS[:1])[VERSIONS[0]].content == "c"
    assert len(store.lookup([version(n) for n in range(200)])) == 200


def test_a_replacement_reaches_what_came_after_it_was_queued(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = opened(url, tmp_path / "one")
    two, _ = opened(url, tmp_path / "two")
    publish = Log.publish

    def late(log: Log, *args: Any) -> object:
        if log is two.log and not one.lookup(VERSIONS[:1]):
            with one.session("run-1") as a:
                a.record(record(0, content="between"))
        return publish(log, *args)

    with two.session("run-2") as b:
        monkeypatch.setattr(Log, "publish", late)
        b.record(record(0, content="new"), replace=True)
        b.flush()
    one.refresh()
    for store in (one, two):
        assert store.lookup(VERSIONS)[VERSIONS[0]].content == "new"
    assert read_log(one).winners[VERSIONS[0].hex()][0] == one.index.applied


def test_a_claim_by_force_holds_in_an_index_built_in_one_go(tmp_path: Path, cache: Path) -> None:
    one, _ = opened(tmp_path / "root", cache)
    with one.session("run-1") as a:
        a.record(record(0))
        a.flush()
        a.claim(VERSIONS[:1], force=VERSIONS[:1])
        two, _ = opened(tmp_path / "root", tmp_path / "two")
        assert two.index.states(VERSIONS[:1]) == one.index.states(VERSIONS[:1])
        with two.session("run-2") as b:
            assert b.claim(VERSIONS[:1], force=VERSIONS[:1]).busy == {VERSIONS[0]: a.runner_id}


def test_who_comes_second_is_told_the_winner(url: str, tmp_path: Path) -> None:
    one, _ = opened(url, tmp_path / "one")
    two, _ = opened(url, tmp_path / "two")
    with one.session("run-1") as a, two.session("run-2") as b:
        a.record(record(0, content="first"))
        a.flush()
        b.record(record(0, content="second"))
        b.record(record(1))
        b.flush()
        assert {v: hit.content for v, hit in b.overtaken().items()} == {VERSIONS[0]: "first"}
        assert b.overtaken() == {}
        assert a.overtaken() == {}


def test_claims_of_a_session_that_ended_are_free(store: Store) -> None:
    with store.session("run-1") as writer:
        writer.claim(VERSIONS)
    with store.session("run-2") as writer:
        assert set(writer.claim(VERSIONS).gens.values()) == {2}


_CLAIMER = """
import sys, time
from pathlib import Path
from tests.store.making import opened, version
store, _ = opened(sys.argv[1], Path(sys.argv[2]))
writer = store.session("run-1")
print(writer.runner_id, len(writer.claim([version(n) for n in range(10)]).won), flush=True)
time.sleep(60)
"""


def claimer(url: str, cache: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _CLAIMER, url, str(cache)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    runner, count = process.stdout.readline().split()
    assert count == "10"
    return process, runner


def test_a_killed_runner_on_this_host_is_taken_over_at_once(tmp_path: Path, cache: Path) -> None:
    process, runner = claimer(str(tmp_path / "root"), tmp_path / "other")
    store, _ = opened(tmp_path / "root", cache)
    with store.session("run-2") as writer:
        assert set(writer.claim(VERSIONS).busy.values()) == {runner}
        process.kill()
        process.wait()
        began = time.monotonic()
        while not writer.poll():
            assert time.monotonic() - began < 5
            time.sleep(0.02)
        assert set(writer.claim(VERSIONS).gens.values()) == {2}


def test_a_dead_runner_on_another_host_is_taken_over_when_its_heartbeat_is_old(
    url: str, tmp_path: Path, cache: Path
) -> None:
    store, _ = opened(url, cache, timing=SLOW)
    said = {"host": "elsewhere", "pid": 1, "pid_start": 1, "head": 0}
    store.root.put(beat_key("r-far"), json.dumps(said).encode())
    store.committer.commit("r-far", [Claim("r-far", "x", 1, [v.hex() for v in VERSIONS])])
    with store.session("run-2") as writer:
        assert set(writer.claim(VERSIONS).busy.values()) == {"r-far"}
        assert writer.poll() == []
        began = time.monotonic()
        while len(writer.poll()) < 10:
            assert time.monotonic() - began < 15
            time.sleep(0.05)
        assert set(writer.claim(VERSIONS).gens.values()) == {2}


def test_a_stopped_process_is_taken_over(tmp_path: Path, cache: Path) -> None:
    process, _ = claimer(str(tmp_path / "root"), tmp_path / "other")
    store, _ = opened(tmp_path / "root", cache)
    try:
        with store.session("run-2") as writer:
            assert writer.claim(VERSIONS).busy
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            while not writer.claim(VERSIONS).won:
                assert time.monotonic() - began < 5
                time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()


# many processes


_RACER = """
import json, sys
from pathlib import Path
from tests.store.making import opened, record, version
url, cache, name = sys.argv[1:]
store, _ = opened(url, Path(cache))
won = []
with store.session(name) as writer:
    for start in range(0, 120, 6):
        versions = [version(n) for n in range(start, start + 9)]
        result = writer.claim(versions)
        for n in range(start, start + 9):
            if version(n) in result.won:
                won.append(n)
                writer.record(record(n, runner=writer.runner_id, run=name, content=name))
print(json.dumps(won))
"""


def race(url: str, caches: list[Path]) -> list[list[int]]:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, url, str(cache), f"run-{n}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n, cache in enumerate(caches)
    ]
    return [json.loads(racer.communicate()[0]) for racer in racers]


@pytest.mark.parametrize("shared", [False, True], ids=["own index", "one index"])
def test_processes_that_commit_at_once_lose_nothing_and_win_once(
    url: str, tmp_path: Path, shared: bool
) -> None:
    opened(url, tmp_path / "made")[0].close()
    caches = [tmp_path / ("c" if shared else f"c{n}") for n in range(3)]
    won = race(url, caches)
    store, warnings = opened(url, tmp_path / "reader")
    assert warnings == []
    history = read_log(store)
    assert history.missing == []
    claims = [v for e in entries(store) if isinstance(e, Claim) for v in e.versions]
    records = [e for e in entries(store) if isinstance(e, Record)]
    assert sorted(set(claims)) == sorted({version(n).hex() for n in range(123)})
    assert sum(map(len, won)) == len(records)
    assert sorted(n for mine in won for n in mine) == list(range(123))  # each won once
    assert len(claims) == 123
    for name, mine in enumerate(won):
        of_mine = [e.v for e in records if e.run == f"run-{name}"]
        assert of_mine == [version(n).hex() for n in mine]
    hits = store.lookup([version(n) for n in range(123)])
    first = {e.v: e.content for e in reversed(records)}
    assert {v.hex(): hit.content for v, hit in hits.items()} == first
    for cache in set(caches):
        same, warnings = opened(url, cache)
        assert warnings == []
        assert same.lookup([version(n) for n in range(123)]) == hits
