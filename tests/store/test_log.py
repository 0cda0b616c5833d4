"""The log: one order for everybody, damage skipped and named, holes passed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.errors import StoreError
from ems.store.entries import Entry, Keep, encode
from ems.store.log import Log, name, number
from ems.store.root import Root, open_root
from ems.store.segment import Body


@pytest.fixture
def root(url: str) -> Iterator[Root]:
    made = open_root(url, create=True)
    made.put_new("format.json", b"{}")
    yield made
    made.close()


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def log(root: Root, warnings: list[str]) -> Log:
    return Log(root, warnings.append, None)


def body(*runs: str) -> Body:
    entries: list[Entry] = [Keep(run) for run in runs]
    return Body(entries, [encode(e) for e in entries])


def read(log: Log, n: int = 0) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    while segments := log.after(n):
        for s in segments:
            found[s.n] = [entry.run for entry, _ in s.entries if isinstance(entry, Keep)]
            n = s.n
    return found


def test_segments_are_read_in_order(log: Log) -> None:
    for n in (1, 2, 3):
        assert log.publish(n, "r", body(f"a{n}", "b"))
    assert read(log) == {1: ["a1", "b"], 2: ["a2", "b"], 3: ["a3", "b"]}
    assert read(log, 2) == {3: ["a3", "b"]}
    assert read(log, 3) == {}


def test_a_number_is_given_once(log: Log) -> None:
    assert log.publish(1, "r-1", body("a"))
    assert log.publish(1, "r-2", body("b")) is None
    assert read(log) == {1: ["a"]}


def test_a_put_whose_answer_was_lost_finds_itself(log: Log) -> None:
    first = log.publish(1, "r-1", body("a"))
    assert log.publish(1, "r-1", body("a")) == first


def test_lines_are_read_back_by_place(log: Log) -> None:
    first = log.publish(1, "r", body("a", "b", "c"))
    second = log.publish(2, "r", body("d"))
    assert first is not None
    assert second is not None
    places = [place for _, place in (*first.entries, *second.entries)]
    found = log.lines(places)
    assert [found[place] for place in places] == [encode(Keep(run)) for run in "abcd"]


def test_a_damaged_segment_is_skipped_with_a_warning(
    log: Log, root: Root, warnings: list[str]
) -> None:
    for n in (1, 2, 3):
        log.publish(n, "r", body(f"a{n}"))
    data = root.get(name(2))
    assert data is not None
    root.put(name(2), data[:-5])
    assert read(log) == {1: ["a1"], 2: [], 3: ["a3"]}
    assert len(warnings) == 1
    assert "segment 2 is skipped" in warnings[0]
    assert "emsctl check" in warnings[0]


def test_an_empty_segment_is_skipped(log: Log, root: Root, warnings: list[str]) -> None:
    root.put(name(1), b"")  # what a power cut can leave of one that was not synced
    log.publish(2, "r", body("a"))
    assert read(log) == {1: [], 2: ["a"]}
    assert len(warnings) == 1


def test_a_hole_is_passed_over(log: Log, root: Root, warnings: list[str]) -> None:
    for n in range(1, 7):
        log.publish(n, "r", body(f"a{n}"))
    root.delete([name(3), name(4)])
    assert list(read(log)) == [1, 2, 5, 6]
    assert warnings == ["log segments 3 to 4 are missing. Try: emsctl check"]
    assert [s.n for s in log.beyond(2)] == [5, 6]


def test_a_newer_segment_is_refused(log: Log, root: Root) -> None:
    log.publish(1, "r", body("a"))
    data = root.get(name(1)) or b""
    root.put(name(2), data.replace(b'"schema":1', b'"schema":9'))
    with pytest.raises(StoreError, match="schema 9"):
        read(log, 1)


def test_leftovers_of_writers_are_no_segments() -> None:
    assert number(name(12)) == 12
    assert number("log/.tmp-1-ab-0") is None
    assert number("log/12.seg") is None


def test_copies_of_far_segments_are_used_and_mended(
    s3_url: str, tmp_path: Path, warnings: list[str]
) -> None:
    root = open_root(s3_url, create=True)
    log = Log(root, warnings.append, tmp_path)
    log.publish(1, "r", body("a"))
    Log(root, warnings.append, None).publish(2, "r", body("b"))
    assert read(log) == {1: ["a"], 2: ["b"]}
    copy = tmp_path / name(2)
    copy.write_bytes(copy.read_bytes()[:-3])
    assert read(log) == {1: ["a"], 2: ["b"]}
    assert copy.read_bytes() == root.get(name(2))
    assert warnings == []


def test_a_far_log_whose_end_is_gone_has_vanished(s3_url: str) -> None:
    root = open_root(s3_url, create=True)
    log = Log(root, lambda _: None, None)
    log.publish(1, "r", body("a"))
    assert read(log, 1) == {}
    root.delete([name(1)])
    with pytest.raises(StoreError, match="vanished"):
        log.after(1)
