"""Digests of files, remembered by size, mtime and inode, and computed in parallel.

Like git's index: a file that was written within the last moments could be written once more
without its mtime showing it, so it is not remembered yet. Knows files; not what they are for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

from ems.errors import EmsError
from ems.hashing import PART_BYTES, digest_file
from ems.store.answers import Digested
from ems.store.index import Index

RACY_NS = 20_000_000
"""A file younger than this when its hashing began is not remembered."""
_TRIES = 3
Row = tuple[str, int, int, int, str]
"""Path, size, mtime, inode, digest."""


class Seen:
    """What was hashed before, in the index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def digest(self, path: str | os.PathLike[str]) -> Digested:
        """Return a file's digest and size. OSError as `open`; EmsError where it keeps changing."""
        return self.digest_many([path])[os.fspath(path)]

    def digest_many(self, paths: Iterable[str | os.PathLike[str]]) -> dict[str, Digested]:
        """Return the same of many files, hashing on all cores what isn't remembered."""
        names = {os.fspath(p): os.path.abspath(p) for p in paths}
        known = self._index.seen(list(dict.fromkeys(names.values())))
        found: dict[str, Digested] = {}
        missing: list[str] = []
        for name, full in names.items():
            before = known.get(full)
            if before is not None and before[:3] == identity(os.stat(full)):
                found[name] = Digested(before[3], before[0])
            else:
                missing.append(name)
        if missing:
            hashed = _hash_all([names[name] for name in missing])
            for name, (digested, _) in zip(missing, hashed, strict=True):
                found[name] = digested
            rows = [
                (names[name], *row)
                for name, (_, row) in zip(missing, hashed, strict=True)
                if row is not None
            ]
            if rows:
                self._index.remember(rows)
        return found

    def recall(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the digests of files that are remembered and unchanged; hash nothing."""
        found: dict[str, str] = {}
        for path, (*before, digest) in self._index.seen(paths).items():
            try:
                if tuple(before) == identity(os.stat(path)):
                    found[path] = digest
            except FileNotFoundError:
                continue
        return found

    def stamps(self, digests: dict[str, str]) -> dict[str, Row]:
        """Return what `keep` takes for files whose digests are known, if they are not too young."""
        now = time.time_ns()
        found: dict[str, Row] = {}
        for path, digest in digests.items():
            try:
                seen = os.stat(path)
            except FileNotFoundError:
                continue
            if now - seen.st_mtime_ns > RACY_NS:
                found[path] = (path, *identity(seen), digest)
        return found

    def keep(self, stamps: Sequence[Row]) -> None:
        """Remember files as they were when `stamps` looked at them."""
        if stamps:
            self._index.remember(stamps)

    def remember(self, digests: dict[str, str]) -> None:
        """Note digests of files that were just hashed or written by us and that nobody writes."""
        rows: list[Row] = []
        for path, digest in digests.items():
            try:
                rows.append((path, *identity(os.stat(path)), digest))
            except FileNotFoundError:
                continue
        if rows:
            self._index.remember(rows)


def identity(seen: os.stat_result) -> tuple[int, int, int]:
    """Return what tells a changed file from an unchanged one without reading it."""
    return seen.st_size, seen.st_mtime_ns, seen.st_ino


_Hashed = tuple[Digested, tuple[int, int, int, str] | None]


def _hash_all(paths: Sequence[str]) -> list[_Hashed]:
    small = [path for path in paths if os.stat(path).st_size <= PART_BYTES]
    if len(small) < 2:
        return [_hash(path) for path in paths]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(small))) as pool:
        done = dict(zip(small, pool.map(_hash, small), strict=True))
    return [done[path] if path in done else _hash(path) for path in paths]


def _hash(path: str) -> _Hashed:
    """Return digest and what to remember; a file that changes meanwhile is read once more."""
    for _ in range(_TRIES):
        began = time.time_ns()
        before = os.stat(path)
        digest = digest_file(path)
        if identity(os.stat(path)) == identity(before):
            old = began - before.st_mtime_ns > RACY_NS
            row = (*identity(before), digest) if old else None
            return Digested(digest, before.st_size), row
    raise EmsError(path, "changes while it is read", "again, once its writer is done")
