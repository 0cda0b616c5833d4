"""The log: segments in one total order, each published by one create-only write.

To write segment n one must have read all before it: who finds the name taken reads the newcomer
and tries the next. So there is one order for everybody and nobody needs a lock. Knows how
segments are named, read and published; not what their entries mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from ems.errors import StoreError
from ems.store.root import Root
from ems.store.segment import Body, Place, Segment, intact, parse

PREFIX = "log/"
_MOST = 256
"""Segments read at a time, so that a long log doesn't fill the memory."""


class Damaged(StoreError):
    """A segment that was read before is gone, or its bytes have changed."""


def name(n: int) -> str:
    """Return the key of segment n."""
    return f"{PREFIX}{n:012d}.seg"


def number(key: str) -> int | None:
    """Return which segment a key is; None for a leftover of a writer that died."""
    digits = key.removeprefix(PREFIX).removesuffix(".seg")
    return int(digits) if digits.isdecimal() and key == name(int(digits)) else None


class Log:
    """Reads and publishes segments of one root.

    `mirror`: a folder for copies of segments where the root is far away.
    """

    def __init__(self, root: Root, warn: Callable[[str], None], mirror: Path | None) -> None:
        self._root = root
        self.probes = root.probes
        """Whether new segments are looked for one by one, so that a hole hides what is behind."""
        self._warn = warn
        self._mirror = mirror

    def after(self, n: int) -> list[Segment]:
        """Return the next segments behind n, in order; empty when n is the last."""
        numbers = None
        if not self._root.probes:
            numbers = self._listed(n)
        elif n == 0:
            numbers = self.numbers(0)
        if numbers is None:
            return self._probed(n)
        return self._read(n, numbers)

    def numbers(self, after: int) -> list[int]:
        """Return the numbers of all segments behind `after`, from a listing."""
        stats = self._root.list(PREFIX, name(after))
        return [n for s in stats if (n := number(s.key)) is not None]

    def beyond(self, n: int) -> list[Segment]:
        """Return the next segments behind n from a listing: holes in the log don't end it."""
        return next(self.all(n), list[Segment]())

    def all(self, n: int = 0) -> Iterator[list[Segment]]:
        """Yield all segments behind n, some at a time, from one listing."""
        numbers = self.numbers(n)
        for start in range(0, len(numbers), _MOST):
            yield self._read(n, numbers[start : start + _MOST])
            n = numbers[min(start + _MOST, len(numbers)) - 1]

    def publish(self, n: int, runner: str, body: Body) -> Segment | None:
        """Write segment n; None if there was one, which is then to be read first.

        Everybody sees it whole at once; `harden` makes it survive a power cut.
        """
        head = body.head(n, runner)
        new = self._root.put_new(name(n), head + body.data, durable=False)
        # a put whose answer was lost and that was tried again finds itself
        if not new and self.head(n) != head:
            return None
        self._keep(n, head + body.data)
        return body.placed(n, runner, head)

    def harden(self, numbers: Sequence[int]) -> None:
        """Return when these segments would survive a power cut."""
        self._root.harden([name(n) for n in numbers])

    def head(self, n: int) -> bytes:
        """Return the header line of segment n; empty if there is none."""
        if self._root.stat(name(n)) is None:
            return b""
        data = self._root.get_range(name(n), 0, 1024)
        return data[: data.find(b"\n") + 1]

    def lines(self, places: Iterable[Place]) -> dict[Place, bytes]:
        """Return the entries' lines at these places. Damaged where a segment is gone or changed."""
        by_segment: dict[int, list[Place]] = {}
        for place in places:
            by_segment.setdefault(place.n, []).append(place)
        found: dict[Place, bytes] = {}
        for n, wanted in by_segment.items():
            data = self._whole(n)
            for place in wanted:
                found[place] = data[place.start : place.start + place.length]
        return found

    def _probed(self, n: int) -> list[Segment]:
        found: list[Segment] = []
        while len(found) < _MOST and (data := self._root.get(name(n + 1))) is not None:
            n += 1
            found.append(self._parse(n, data))
        return found

    def _listed(self, n: int) -> list[int]:
        # the listing starts at n itself: where that is gone, so is the store
        stats = self._root.list(PREFIX, name(n - 1) if n else "")
        numbers = (m for s in stats if (m := number(s.key)) is not None)
        found = list(islice(numbers, _MOST + 1))
        if n and (not found or found[0] != n):
            raise StoreError(
                self._root.url,
                f"the store vanished: log segment {n} is gone",
                "bring it back, or start anew with another `emsctl run`",
            )
        return found[1:] if n else found

    def _read(self, n: int, numbers: Sequence[int]) -> list[Segment]:
        numbers = numbers[:_MOST]
        found: list[Segment] = []
        for m, data in self._fetched(numbers).items():
            if m != n + 1:
                self._warn(f"log segments {n + 1} to {m - 1} are missing. Try: emsctl check")
            if data is not None:
                found.append(self._parse(m, data))
            n = m
        return found

    def _fetched(self, numbers: Sequence[int]) -> dict[int, bytes | None]:
        found = {m: self._kept(m) for m in numbers}
        missing = [m for m in numbers if found[m] is None]
        for m, data in zip(missing, self._root.get_many([name(m) for m in missing]), strict=True):
            found[m] = data
            if data is not None:
                self._keep(m, data)
        return found

    def _parse(self, n: int, data: bytes) -> Segment:
        segment = parse(n, data, self._root.url)
        if segment.damage and self._mirror is not None:  # it may be the copy that is damaged
            data = self._root.get(name(n)) or b""
            segment = parse(n, data, self._root.url)
            self._keep(n, data)
        if segment.damage:
            self._warn(
                f"log segment {n} is skipped: {segment.damage}; what it recorded is computed"
                " again. Try: emsctl check"
            )
        return segment

    def _whole(self, n: int) -> bytes:
        data = self._kept(n)
        if data is not None and intact(data):
            return data
        data = self._root.get(name(n))
        if data is None:
            raise Damaged(self._root.url, f"log segment {n} is missing", "emsctl check")
        if not intact(data):
            raise Damaged(self._root.url, f"log segment {n} is damaged", "emsctl check")
        self._keep(n, data)
        return data

    def _kept(self, n: int) -> bytes | None:
        if self._mirror is None:
            return None
        try:
            return (self._mirror / name(n)).read_bytes()
        except FileNotFoundError:
            return None

    def _keep(self, n: int, data: bytes) -> None:
        if self._mirror is None:
            return
        target = self._mirror / name(n)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temp = target.with_suffix(f".{id(data)}.tmp")
            temp.write_bytes(data)
            temp.rename(target)
        except OSError as e:
            self._warn(f"{target}: {e.strerror}; segments are not kept on this machine")
            self._mirror = None
