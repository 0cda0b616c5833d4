"""One segment's bytes, pinned; what is damaged or too new is told apart."""

from __future__ import annotations

import pytest

from ems.errors import StoreError
from ems.store.entries import Drop, Keep, encode
from ems.store.segment import Body, Place, parse

ENTRIES = [Keep("run-1"), Drop("run-2")]
PINNED = (
    b'{"schema":1,"runner":"r-1","n":3,"sha256":'
    b'"5af41d6eefb9f26d169673b6be970635e4b65d21e23e915c84faeae2c760d1a2"}\n'
    b'{"k":"keep","run":"run-1"}\n'
    b'{"k":"drop","run":"run-2"}\n'
)


def _data(n: int = 3) -> bytes:
    body = Body(ENTRIES, [encode(e) for e in ENTRIES])
    return body.head(n, "r-1") + body.data


def test_the_bytes_of_a_segment_are_pinned() -> None:
    assert _data() == PINNED


def test_a_segment_is_read_back_with_the_places_of_its_lines() -> None:
    body = Body(ENTRIES, [encode(e) for e in ENTRIES])
    data = _data()
    found = parse(3, data, "store")
    assert found == body.placed(3, "r-1", body.head(3, "r-1"))
    assert not found.damage
    for entry, place in found.entries:
        assert data[place.start : place.start + place.length] == encode(entry)
    assert found.entries[0][1] == Place(3, len(body.head(3, "r-1")), 26)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "header"),
        (b"\0" * 200, "header"),
        (PINNED[:-30], "sum"),
        (PINNED.replace(b"run-2", b"run-3"), "sum"),
    ],
)
def test_damage_is_told(data: bytes, why: str) -> None:
    found = parse(3, data, "store")
    assert why in found.damage
    assert not found.entries


def test_a_segment_at_another_place_is_damaged() -> None:
    assert "segment 3" in parse(4, _data(3), "store").damage


def test_a_newer_schema_is_refused_with_a_remedy() -> None:
    with pytest.raises(StoreError, match=r"schema 2.*upgrade"):
        parse(3, _data().replace(b'"schema":1', b'"schema":2'), "store")


def test_entries_of_kinds_to_come_are_passed_over() -> None:
    body = Body([Keep("a")], [b'{"k":"novel"}', b'{"k":"keep","run":"a"}'])
    data = body.head(1, "r") + body.data
    assert [entry for entry, _ in parse(1, data, "store").entries] == [Keep("a")]
