"""What every root does the same, be it a folder or S3."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ems.errors import StoreError, UsageError
from ems.store.root import Root, open_root


@pytest.fixture
def root(url: str) -> Iterator[Root]:
    made = open_root(url, create=True)
    made.put_new("format.json", b"{}")
    yield made
    made.close()


def test_a_key_is_created_once(root: Root) -> None:
    assert root.put_new("log/1", b"one")
    assert not root.put_new("log/1", b"two")
    assert not root.put_new("log/1", b"two", durable=False)
    assert root.get("log/1") == b"one"


def test_put_replaces(root: Root) -> None:
    root.put("runners/a.json", b"one")
    root.put("runners/a.json", b"two")
    assert root.get("runners/a.json") == b"two"


def test_what_is_not_there_is_none(root: Root) -> None:
    assert root.get("log/9") is None
    assert root.look("log/9") is None
    assert root.stat("log/9") is None
    assert not root.freshen("log/9")
    assert root.get_many(["log/8", "log/9"]) == [None, None]
    root.delete(["log/8", "log/9"])


def test_a_range_is_read(root: Root) -> None:
    root.put("log/1", b"0123456789")
    assert root.get_range("log/1", 2, 3) == b"234"
    assert root.get_range("log/1", 8, 100) == b"89"
    with pytest.raises(StoreError):
        root.get_range("log/9", 0, 1)


def test_keys_are_listed_in_order_from_behind_one(root: Root) -> None:
    for name in ("c", "a", "b"):
        root.put(f"log/{name}", b"12")
    root.put("objects/ab/x", b"")
    assert [s.key for s in root.list("log/")] == ["log/a", "log/b", "log/c"]
    assert [s.key for s in root.list("log/", "log/a")] == ["log/b", "log/c"]
    assert [(s.key, s.size) for s in root.list("objects/")] == [("objects/ab/x", 0)]
    assert list(root.list("attempts/")) == []


def test_stat_tells_size_and_a_time_that_moves_on(root: Root) -> None:
    root.put("runners/a.json", b"123")
    first = root.stat("runners/a.json")
    assert first is not None
    assert first.size == 3
    assert root.freshen("runners/a.json")
    found = root.look("runners/a.json")
    assert found is not None
    assert found[0] == b"123"
    assert found[1].mtime >= first.mtime


def test_many_are_read_and_deleted(root: Root) -> None:
    keys = [f"log/{n}" for n in range(30)]
    for key in keys:
        root.put(key, key.encode())
    assert root.get_many(keys) == [key.encode() for key in keys]
    root.delete(keys[:29])
    assert [s.key for s in root.list("log/")] == [keys[29]]


def test_another_scheme_is_refused() -> None:
    with pytest.raises(UsageError, match="gs://x"):
        open_root("gs://x", create=True)


def test_a_format_of_something_else_is_left_alone(root: Root) -> None:
    assert json.loads(root.get("format.json") or b"") == {}
