"""The form of one segment of the log: a header line with the sum of the rest, then the entries.

Pure: bytes in, bytes out. Knows neither where segments lie nor who may write the next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple, cast

from ems.errors import StoreError
from ems.store.entries import Entry, decode

SCHEMA = 1


class Place(NamedTuple):
    """Where an entry's line lies: segment, offset in it, length."""

    n: int
    start: int
    length: int


class Segment(NamedTuple):
    """One commit. `damage` says why nothing could be read of it; it has no entries then."""

    n: int
    runner: str
    head: bytes
    entries: Sequence[tuple[Entry, Place]]
    damage: str = ""


class Body:
    """The lines of a commit and their sum, made once and used for every number that is tried."""

    __slots__ = ("_entries", "_lines", "_sum", "data")

    def __init__(self, entries: Sequence[Entry], lines: Sequence[bytes]) -> None:
        self._entries = entries
        self._lines = lines
        self.data = b"\n".join(lines) + b"\n"
        self._sum = hashlib.sha256(self.data).hexdigest()

    def head(self, n: int, runner: str) -> bytes:
        """Return the header line, newline included, of this body as segment n."""
        values = {"schema": SCHEMA, "runner": runner, "n": n, "sha256": self._sum}
        return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"

    def placed(self, n: int, runner: str, head: bytes) -> Segment:
        """Return the segment as a reader of the bytes would find it."""
        places: list[Place] = []
        start = len(head)
        for line in self._lines:
            length = len(line)
            places.append(Place(n, start, length))
            start += length + 1
        return Segment(n, runner, head, list(zip(self._entries, places, strict=True)))


def parse(n: int, data: bytes, url: str) -> Segment:
    """Return segment n from its bytes; damaged ones have no entries and say why.

    StoreError: a newer release wrote it.
    """
    end = data.find(b"\n") + 1
    head = data[:end]
    try:
        raw: object = json.loads(head)
        values = cast("dict[str, object]", raw if isinstance(raw, dict) else {})
    except ValueError:
        values = {}
    if not values:
        return Segment(n, "", head, (), "its header can't be read")
    schema = values.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise newer(url, f"log segment {n}", schema)
    runner = str(values.get("runner", ""))
    if values.get("n") != n:
        return Segment(n, runner, head, (), f"it says that it is segment {values.get('n')}")
    if values.get("sha256") != hashlib.sha256(memoryview(data)[end:]).hexdigest():
        return Segment(n, runner, head, (), "its sum is wrong")
    try:
        return Segment(n, runner, head, _entries(n, data, end))
    except (ValueError, TypeError) as e:
        return Segment(n, runner, head, (), f"an entry can't be read: {e}")


def intact(data: bytes) -> bool:
    """Whether a segment's bytes are those that were published."""
    end = data.find(b"\n") + 1
    told = b'"sha256":"%s"' % hashlib.sha256(memoryview(data)[end:]).hexdigest().encode("ascii")
    return told in data[:end]


def _entries(n: int, data: bytes, start: int) -> list[tuple[Entry, Place]]:
    found: list[tuple[Entry, Place]] = []
    for line in data[start:].split(b"\n"):
        if line and (entry := decode(line)) is not None:
            found.append((entry, Place(n, start, len(line))))
        start += len(line) + 1
    return found


def newer(url: str, what: str, schema: object) -> StoreError:
    """Return the error for something that this release is too old to read."""
    return StoreError(
        url,
        f"{what} has schema {schema}; this release reads up to {SCHEMA}",
        "pip install --upgrade emsctl",
    )
