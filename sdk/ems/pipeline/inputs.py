"""Reading what comes from outside: files and folders by content, arrivals in their order.

Knows the store's memory of digests, and what it was asked in this run. Does not know tasks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ems.errors import EmsError
from ems.hashing import digest_bytes, tree_bytes
from ems.worker.files import File
from ems.worker.inputs import rows_of, stamp_of
from ems.worker.values import load

if TYPE_CHECKING:
    from ems.pipeline.results import Results
    from ems.store.store import Store

Stamps = list[list[Any]]
_CHANGED = (-1, 0, 0)
"""Size, time and inode that no file has: the worker says that the input changed."""


class _Folder(NamedTuple):
    """A folder that was hashed; `settled`: no file in it was so young that stamps may lie."""

    stamps: Stamps
    digest: str
    size: int
    settled: bool


class StoreInputs:
    """Inputs hashed in parallel and remembered by size, time and inode."""

    def __init__(self, store: Store, results: Results, *, writes: bool) -> None:
        self._store = store
        self._results = results
        self._writes = writes
        self._files: dict[str, tuple[tuple[int, int, int], tuple[str, int]]] = {}
        self._folders: dict[str, _Folder] = {}
        self.listings: dict[str, bytes] = {}
        self.asked: dict[str, None] = {}
        """Every path that was asked for, as it is."""

    def prefetch(self, paths: Iterable[str]) -> None:
        """Hash many files at once, so that `file` only has to look whether they changed.

        What can't be read is left for `file` to say.
        """
        before: dict[str, tuple[int, int, int]] = {}
        young = _young()
        for path in paths:
            path = os.path.abspath(path)
            try:
                before[path] = stamp_of(path)
            except OSError:
                continue
        try:
            digests = self._store.seen.digest_many(before)
        except (OSError, EmsError):
            return
        for path, stamp in before.items():
            if stamp[1] < young:
                self._files[path] = stamp, (digests[path].digest, digests[path].size)

    def file(self, path: str) -> tuple[str, int]:
        """Return the digest and size of a file."""
        path = os.path.abspath(path)
        self.asked[path] = None
        known = self._files.get(path)
        if known is not None and known[0] == stamp_of(path):
            return known[1]
        found = self._store.seen.digest(path)
        return found.digest, found.size

    def folder(self, path: str) -> tuple[str, int]:
        """Return the digest and size of a folder: that of its listing, and of all its files."""
        self.asked[os.path.abspath(path)] = None
        found = self._hashed(path)
        return found.digest, found.size

    def place(self, path: str, digest: str) -> list[Any]:
        """Return where an input lies, as a parcel says it: with stamps of what was hashed.

        Where it is no longer of this digest, the stamps are such that the worker says so.
        """
        try:
            if os.path.isdir(path):
                folder = self._hashed(path)
                if folder.digest == digest:
                    return [path, folder.stamps]
            else:
                stamp = stamp_of(path)
                if self.file(path)[0] == digest:
                    return [path, *stamp]
        except (OSError, EmsError):  # gone, or being written: the worker finds it so
            pass
        return [path, *_CHANGED]

    def _hashed(self, path: str) -> _Folder:
        path = os.path.abspath(path)
        if not os.path.isdir(path):
            raise NotADirectoryError(20, "not a folder", path)
        young = _young()
        stamps = rows_of(path)
        known = self._folders.get(path)
        if known is not None and known.settled and known.stamps == stamps:
            return known
        full = {row[0]: os.path.join(path, row[0]) for row in stamps}
        digests = self._store.seen.digest_many(full.values())
        rows = [
            (
                name,
                "x" if os.access(each, os.X_OK) else "",
                digests[each].digest,
                digests[each].size,
            )
            for name, each in full.items()
        ]
        listing = tree_bytes(rows)
        settled = all(row[2] < young for row in stamps)
        found = _Folder(stamps, digest_bytes(listing), sum(row[3] for row in rows), settled)
        self.listings[found.digest] = listing
        self._folders[path] = found
        return found

    def arrived(self, paths: list[str]) -> list[File]:
        """Return the files in the order of arrival, each content once; notes the new ones."""
        self.asked.update(dict.fromkeys(map(os.path.abspath, paths)))
        digests = self._store.seen.digest_many(paths)
        by_digest: dict[str, File] = {}
        for path in sorted(paths, key=lambda each: (os.stat(each).st_mtime_ns, each)):
            found = digests[path]
            by_digest.setdefault(found.digest, self._known(path, found.digest, found.size))
        order = self._store.arrivals(list(by_digest), note=self._writes)
        return [by_digest[digest] for digest in order]

    def _known(self, path: str, digest: str, size: int) -> File:
        full = os.path.abspath(path)
        return File.stored(digest, size, os.path.basename(path), lambda _digest, _name: full)

    def value(self, tree: Any) -> Any:
        """Return the value of a resolved tree."""
        return load(tree, self._results.source)


def _young() -> int:
    """Return the time from which on a file may be written once more without its time showing it."""
    from ems.store.seen import RACY_NS

    return time.time_ns() - RACY_NS
