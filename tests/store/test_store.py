"""The front door: opening, asking, runs, what arrives; the same on a folder and on S3."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ems.errors import StoreError
from ems.settings import cache_folder
from ems.store.entries import Ended
from ems.store.store import Store
from tests.store.making import failed, opened, record, run, version


def test_a_new_store_is_marked(url: str, cache: Path) -> None:
    store, _ = opened(url, cache)
    said = json.loads(store.root.get("format.json") or b"")
    assert said == {"format": "ems-store", "schema": 1, "id": store.id}
    again, _ = opened(url, cache, create=False)
    assert again.id == store.id


def test_no_store_is_made_where_none_is_wanted(url: str, cache: Path) -> None:
    with pytest.raises(StoreError, match="no store here"):
        opened(url, cache, create=False)


def test_two_who_make_a_store_make_one(url: str, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ems.store.store import Store;"
        "print(Store.open(sys.argv[1], cache=Path(sys.argv[2])).id)"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, str(tmp_path / "cache")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = [maker.communicate() for maker in makers]
    assert len({id for id, _ in said}) == 1
    assert {warnings for _, warnings in said} == {""}


def test_a_store_of_a_newer_release_is_refused_with_a_remedy(url: str, cache: Path) -> None:
    store, _ = opened(url, cache)
    store.root.put("format.json", b'{"format":"ems-store","schema":2,"id":"x"}')
    with pytest.raises(StoreError, match=r"schema 2.*pip install --upgrade emsctl"):
        opened(url, cache)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format":"other","schema":1,"id":"x"}'])
def test_a_format_that_is_none_is_refused(url: str, cache: Path, data: bytes) -> None:
    store, _ = opened(url, cache)
    store.root.put("format.json", data)
    with pytest.raises(StoreError, match=r"format\.json can't be read"):
        opened(url, cache)


def test_a_record_is_read_back_whole(any_store: Store) -> None:
    whole = record(1, files=[["cc" * 32, 5]], log="hello\n", metrics=[{"step": 1}], asked={"c": 1})
    with any_store.session("run-1") as writer:
        writer.record(whole)
        writer.record(record(2))
    assert any_store.record(version(1)) == whole
    assert any_store.record(version(1).hex()) == whole
    assert any_store.record(version(3)) is None
    found = any_store.records([version(n) for n in range(5)])
    assert found.keys() == {version(1), version(2)}
    assert any_store.lookup([version(1)])[version(1)].has_files is True
    assert any_store.lookup([version(2)])[version(2)].has_files is False


def test_attempts_are_told_in_order(any_store: Store) -> None:
    with any_store.session("run-1") as writer:
        writer.failed(failed(1, attempt=1))
        writer.failed(failed(1, attempt=2))
        writer.record(record(1))
    kinds = [type(entry).__name__ for entry in any_store.attempts(version(1))]
    assert kinds == ["Failed", "Failed", "Record"]
    assert any_store.attempts(version(2)) == []


def test_versions_are_found_by_prefix(store: Store) -> None:
    with store.session("run-1") as writer:
        writer.claim([version("claimed only")])
        for n in range(50):
            writer.record(record(n))
        writer.failed(failed("in vain"))
    every = sorted([*(version(n).hex() for n in range(50)), version("in vain").hex()])
    assert store.find("") == every
    assert store.find(every[7]) == [every[7]]
    assert store.find(every[7][:3]) == [v for v in every if v.startswith(every[7][:3])]
    assert store.find("nothex") == []
    assert store.find("0" * 65) == []


def test_medians_by_spec_and_by_task(store: Store) -> None:
    with store.session("run-1") as writer:
        for n, seconds in enumerate((1.0, 2.0, 60.0)):
            writer.record(record(n, task="train", spec="11" * 32, t0=0.0, t1=seconds))
        writer.record(record(9, task="train", spec="22" * 32, t0=0.0, t1=4.0))
    found = store.durations(["11" * 32, "22" * 32, "train", "unknown"])
    assert found == {"11" * 32: 2.0, "22" * 32: 4.0, "train": 3.0}


def test_runs_are_listed_newest_first(any_store: Store) -> None:
    with any_store.session("run-a") as writer:
        writer.run(run("run-a", started=1.0))
        writer.ended(Ended("run-a", "done", 2.0, {"ran": 3}, nodes="dd", result=[1]))
    with any_store.session("run-b") as writer:
        writer.run(run("run-b", started=3.0))
        writer.keep("run-b")
        writer.drop("run-a")
        writer.flush()
        b, a = any_store.runs()
        assert (b.id, b.state, b.kept, b.runner) == ("run-b", "running", True, writer.runner_id)
    any_store.watch.forget()
    b, a = any_store.runs()
    assert (b.state, b.ended) == ("died", None)
    assert (a.id, a.state, a.ended, a.counts, a.kept) == ("run-a", "done", 2.0, {"ran": 3}, False)
    assert [r.id for r in any_store.runs(limit=1)] == ["run-b"]
    info = any_store.run("run-a")
    assert info is not None
    assert info.ended is not None
    assert (info.run.pipeline, info.ended.nodes, info.ended.result) == ("main", "dd", [1])
    assert any_store.run("run-c") is None
    assert any_store.find_run("run-") == ["run-b", "run-a"]
    assert any_store.find_run("run-a") == ["run-a"]


def test_arrivals_keep_their_order_for_everybody(url: str, tmp_path: Path) -> None:
    one, _ = opened(url, tmp_path / "one")
    two, _ = opened(url, tmp_path / "two")
    assert one.arrivals(["b", "a", "b"], note=True) == ["b", "a"]
    assert two.arrivals(["a", "b"], note=False) == ["b", "a"]
    assert two.arrivals(["z", "a", "b"], note=False) == ["b", "a", "z"]
    assert one.arrivals(["a", "c", "b"], note=True) == ["b", "a", "c"]
    assert two.arrivals(["d", "c"], note=True) == ["c", "d"]
    head = two.index.applied
    assert two.arrivals(["d", "c"], note=True) == ["c", "d"]
    assert two.index.applied == head


def test_folders_for_what_streams(store: Store, s3_url: str, cache: Path) -> None:
    folder = store.folder("attempts/ab/checkpoint")
    assert folder is not None
    assert folder.is_dir()
    assert folder == Path(store.url, "attempts/ab/checkpoint")
    assert store.folder("attempts/ab") == folder.parent
    far, _ = opened(s3_url, cache)
    assert far.folder("attempts/ab") is None


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMS_CACHE", "/a")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("EMS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/b/ems")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "ems"


def test_opening_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from ems.store.store import Store; s = Store.open(sys.argv[1]);"
        "w = s.session('r'); w.claim([bytes(32)]); w.close();"
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {
        "asyncio", "msgspec", "obstore", "yaml", "rich", "numpy", "logging", "socket",
        "uuid", "tempfile", "shutil", "subprocess", "concurrent", "random",
    }  # fmt: skip
    assert heavy.isdisjoint(done.stdout.split())
