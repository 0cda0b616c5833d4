"""What is done to a writer: killed, stopped, no space, read-only, vanished, holes, no heartbeat."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ems.errors import StoreError
from ems.store.folder import FolderRoot
from ems.store.leases import beat_key
from ems.store.log import name as segment_name
from ems.store.reach import read_log
from ems.store.store import Store, Timing
from tests.rigs import rig
from tests.rigs.mounts import namespace
from tests.store.making import QUICK, opened, record, version

VERSIONS = [version(n) for n in range(10)]
SLOW = Timing(beat_s=0.5, stale_s=4.0)
"""So that a busy machine does not make a heartbeat stale."""


_VICTIM = """
import sys
from pathlib import Path
from tests.store.making import opened, record, version
store, _ = opened(sys.argv[1], Path(sys.argv[2]))
writer = store.session("run")
n = int(sys.argv[3])
print("ready", flush=True)
while True:
    count = 1 + n * 7919 % 90
    writer.claim([version(k) for k in range(n, n + count)])
    for _ in range(count):
        writer.record(record(n, log="x" * (n * 104729 % 3000)))
        n += 1
    writer.flush()
    print(n, flush=True)
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_acknowledged(
    tmp_path: Path, cache: Path
) -> None:
    url, start = str(tmp_path / "root"), 0
    chance = random.Random(7)
    for _ in range(12):
        victim = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, url, str(cache), str(start)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert victim.stdout is not None
        victim.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        victim.kill()
        said = [int(line) for line in victim.communicate()[0].split("\n")[:-1]]
        start = said[-1] if said else start
        store, warnings = opened(url, cache)
        assert warnings == []
        assert len(store.lookup([version(n) for n in range(start)])) == start
        assert store.records([version(n) for n in range(start)]).keys() == {
            version(n) for n in range(start)
        }
        store.close()
    assert start > 100
    store, warnings = opened(url, tmp_path / "another cache")
    assert len(store.lookup([version(n) for n in range(start)])) == start
    assert read_log(store).damaged == {}
    assert warnings == []


# faults


_FULL = """
import os, sys
from pathlib import Path
from ems.errors import StoreError
from ems.store.store import Store
from tests.store.making import record, version, QUICK
store = Store.open("/mnt/s", cache=Path(sys.argv[1]), timing=QUICK)
writer = store.session("run-1")
Path("/mnt/filler").write_bytes(bytes(600_000))
n = 0
try:
    while True:
        writer.record(record(n, log=os.urandom(1000).hex()))
        n += 1
        if n % 50 == 0:
            writer.flush()
except StoreError as e:
    print(e)
try:
    writer.claim([version("other")])
    raise SystemExit("a claim on a full disk")
except StoreError as e:
    print(e)
os.unlink("/mnt/filler")
writer.flush()
writer.record(record("after"))
writer.close()
again = Store.open("/mnt/s", cache=Path(sys.argv[1] + "2"), timing=QUICK)
assert len(again.lookup([version(k) for k in range(n)])) == n, n
assert again.lookup([version("after")])
print("recorded", n)
"""


@rig("mounts")
def test_a_full_disk_stops_the_writer_and_loses_nothing_once_there_is_space(
    cache: Path,
) -> None:
    script = f"mount -t tmpfs -o size=1m tmpfs /mnt && {sys.executable} - {cache}"
    done = subprocess.run(
        namespace(["sh", "-c", script]), input=_FULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    for line in (first, second):
        assert "/mnt/s" in line
        assert "No space left" in line
        assert "emsctl gc" in line
    assert int(last.split()[1]) >= 50


_READ_ONLY = """
import subprocess, sys
from pathlib import Path
from ems.errors import StoreError
from ems.store.store import Store
from tests.store.making import record, version, QUICK
store = Store.open("/mnt/s", cache=Path(sys.argv[1]), timing=QUICK)
with store.session("run-1") as writer:
    writer.record(record(1))
store.close()
subprocess.run(["mount", "-o", "remount,ro", "/mnt"], check=True)
store = Store.open("/mnt/s", cache=Path(sys.argv[2]), timing=QUICK)
assert store.lookup([version(1)])
assert store.record(version(1)).task == "collect"
assert not store.writable
for act in (
    lambda: store.session("run-2"),
    lambda: store.arrivals(["aa"], note=True),
    lambda: store.objects.put_bytes(b"x"),
):
    try:
        act()
    except StoreError as e:
        print(e)
assert store.arrivals(["aa"], note=False) == ["aa"]
"""


@rig("mounts")
def test_a_read_only_store_is_read_and_refuses_a_session(tmp_path: Path) -> None:
    script = f"mount -t tmpfs -o size=9m tmpfs /mnt && {sys.executable} - {tmp_path}/a {tmp_path}/b"
    done = subprocess.run(
        namespace(["sh", "-c", script]),
        input=_READ_ONLY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert "/mnt/s: " in line
        assert "may not be written" in line


@pytest.mark.parametrize("how", ["removed", "emptied", "replaced"])
def test_a_store_that_vanishes_is_told_and_never_made_again(
    tmp_path: Path, cache: Path, how: str
) -> None:
    path = tmp_path / "root"
    store, _ = opened(path, cache)
    writer = store.session("run-1")
    writer.claim(VERSIONS)
    shutil.rmtree(path)
    if how == "emptied":
        path.mkdir()
    if how == "replaced":
        opened(path, tmp_path / "other")[0].close()
    writer.record(record(1))
    for act in (writer.flush, store.refresh, lambda: writer.claim([version("x")])):
        with pytest.raises(StoreError, match=r"root: the store vanished.*Try: "):
            act()
    with pytest.raises(StoreError):
        writer.close()
    if how == "removed":
        assert not path.exists()
    else:
        assert not [*path.glob("log/*"), *path.glob("runners/*")]


def test_a_far_store_that_is_emptied_is_told(s3_url: str, cache: Path) -> None:
    store, _ = opened(s3_url, cache)
    writer = store.session("run-1")
    writer.record(record(1))
    writer.flush()
    store.root.delete([s.key for s in store.root.list("log/")])
    with pytest.raises(StoreError, match="vanished"):
        writer.claim(VERSIONS)
    writer.close()


def test_an_object_that_can_not_be_made_durable_holds_its_record_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, size = store.objects.put_bytes(b"data")
    full = StoreError(store.url, "no space to write", "free some")
    monkeypatch.setattr("ems.store.shelf.Shelf.sync", lambda *_: (_ for _ in ()).throw(full))
    writer = store.session("run-1")
    writer.record(record(1, files=[[digest, size]]))
    with pytest.raises(StoreError, match="no space"):
        writer.flush()
    assert store.lookup([version(1)]) == {}
    monkeypatch.undo()
    writer.close()
    assert store.lookup([version(1)])[version(1)].has_files


def test_the_writer_goes_on_by_itself_after_a_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = StoreError(store.url, "no space to write", "free some")
    monkeypatch.setattr(FolderRoot, "put_new", lambda *_, **__: (_ for _ in ()).throw(full))
    with store.session("run-1") as writer:
        writer.record(record(1))
        deadline = time.monotonic() + 5
        while True:  # whoever goes on queueing is told
            assert time.monotonic() < deadline
            try:
                writer.poll()
            except StoreError:
                break
            time.sleep(0.01)
        with pytest.raises(StoreError):
            writer.record(record(2))
        monkeypatch.undo()
        while not store.lookup([version(2)]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        writer.record(record(3))
    assert len(store.lookup([version(n) for n in (1, 2, 3)])) == 3


def test_a_deleted_segment_is_not_written_again(tmp_path: Path, cache: Path) -> None:
    url = tmp_path / "root"
    store, _ = opened(url, cache)
    slow, _ = opened(url, tmp_path / "slow")
    with store.session("run-1") as writer:
        for n in range(5):
            writer.record(record(n))
            writer.flush()
    os.unlink(url / "log" / "000000000003.seg")
    with slow.session("run-2") as writer:
        writer.record(record("new"))
    assert not (url / "log" / "000000000003.seg").exists()
    assert (url / "log" / "000000000006.seg").exists()
    fresh, _ = opened(url, tmp_path / "fresh")
    assert len(fresh.lookup([version(n) for n in (0, 1, 2, 3, 4, "new")])) == 5


def test_nothing_is_written_into_a_hole_without_a_session(tmp_path: Path) -> None:
    one, _ = opened(tmp_path / "root", tmp_path / "one")
    two, _ = opened(tmp_path / "root", tmp_path / "two")
    for digest in "abcd":
        one.arrivals([digest], note=True)
        if digest == "b":
            two.refresh()
    os.unlink(tmp_path / "root/log/000000000003.seg")
    assert two.arrivals(list("edcba"), note=True) == ["a", "b", "d", "e", "c"]
    assert one.arrivals(list("edab"), note=False) == ["a", "b", "d", "e"]
    assert [s.n for segments in two.log.all() for s in segments] == [1, 2, 4, 5]


def test_an_index_that_is_built_again_passes_a_hole_far_in(tmp_path: Path, cache: Path) -> None:
    store, _ = opened(tmp_path / "root", cache)
    for n in range(300):
        store.committer.commit("r", [record(n)])
    os.unlink(tmp_path / "root/log/000000000280.seg")
    fresh, warnings = opened(tmp_path / "root", tmp_path / "fresh")
    assert len(fresh.lookup([version(n) for n in range(300)])) == 299
    assert len(warnings) == 1
    fresh.index.restart("is tried")
    assert fresh.index.applied == 300


def test_claims_wait_for_no_disk_and_are_hardened_with_the_next_group(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard: list[str] = []
    monkeypatch.setattr(FolderRoot, "harden", lambda _, keys: hard.extend(keys))
    with store.session("run-1") as writer:
        writer.claim(VERSIONS)
        assert hard == []
        writer.record(record(0))
        writer.flush()
    assert hard == [segment_name(1), segment_name(2)]


def unwritable(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """From now on heartbeats are not renewed: `act` happens instead."""
    monkeypatch.setattr(FolderRoot, "freshen", lambda *_: act())


def fail() -> None:
    raise StoreError("root", "no space to write", "free some")


def test_who_is_taken_for_dead_soon_is_told(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = opened(tmp_path / "root", cache)
    other, _ = opened(tmp_path / "root", tmp_path / "other")
    with store.session("run-1") as writer:
        writer.claim(VERSIONS)
        unwritable(monkeypatch, fail)
        beat = store.root.stat(beat_key(writer.runner_id))
        assert beat is not None
        until = time.monotonic() + 5
        while time.monotonic() < until:
            try:
                writer.poll()
            except StoreError as e:
                assert "heartbeat" in str(e)
                assert "no space to write" in str(e)
                break
            time.sleep(0.01)
        else:
            raise AssertionError("nobody was told")
        assert time.time() - beat.mtime < QUICK.stale_s
        with pytest.raises(StoreError, match="heartbeat"):
            writer.claim(VERSIONS)
        monkeypatch.undo()
        while time.monotonic() < until:
            try:
                assert writer.claim(VERSIONS).won
                break
            except StoreError:
                time.sleep(0.01)
        else:
            raise AssertionError("a heartbeat that is written again counts")
    other.close()


def test_a_heartbeat_that_hangs_is_told(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = opened(tmp_path / "root", cache)
    go_on = threading.Event()
    with store.session("run-1") as writer:
        unwritable(monkeypatch, lambda: [go_on.wait(20), None][1])
        time.sleep(QUICK.stale_s)
        with pytest.raises(StoreError, match="heartbeat"):
            writer.claim(VERSIONS)
        go_on.set()


def test_a_heartbeat_that_fails_for_a_moment_is_no_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.session("run-1") as writer:
        unwritable(monkeypatch, fail)
        time.sleep(QUICK.beat_s * 1.5)
        writer.claim(VERSIONS)
        monkeypatch.undo()


_STOPPED = """
import sys
from pathlib import Path
from tests.store.making import opened, version
store, _ = opened(sys.argv[1], Path(sys.argv[2]))
with store.session("run-1") as writer:
    for line in sys.stdin:
        writer.poll()
        print(len(writer.claim([version(n) for n in range(10)]).gens), flush=True)
"""


def test_who_was_stopped_and_goes_on_is_not_at_fault(tmp_path: Path, cache: Path) -> None:
    args = [sys.executable, "-c", _STOPPED, str(tmp_path / "root"), str(cache)]
    with subprocess.Popen(
        args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write("claim\n")
            assert process.stdout.readline() == "10\n"
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.0)
            process.send_signal(signal.SIGCONT)
        process.stdin.close()
        assert process.wait() == 0
