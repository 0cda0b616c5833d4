"""Reading what comes from outside: files and folders by content, arrivals in their order.

Knows the store's memory of digests. Does not know tasks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ems.hashing import digest_bytes, tree_bytes
from ems.worker.files import Dir, File
from ems.worker.values import load

if TYPE_CHECKING:
    from ems.pipeline.results import Results
    from ems.store.store import Store


class StoreInputs:
    """Inputs hashed in parallel and remembered by size, time and inode."""

    def __init__(self, store: Store, results: Results, *, writes: bool) -> None:
        self._store = store
        self._results = results
        self._writes = writes
        self.listings: dict[str, bytes] = {}

    def file(self, path: str) -> tuple[str, int]:
        """Return the digest and size of a file."""
        found = self._store.seen.digest(path)
        return found.digest, found.size

    def folder(self, path: str) -> tuple[str, int]:
        """Return the digest and size of a folder: that of its listing, and of all its files."""
        if not os.path.isdir(path):
            raise NotADirectoryError(20, "not a folder", path)
        rows: list[tuple[str, str, str, int]] = []
        for relative, full in sorted(_walk(path)):
            found = self._store.seen.digest(full)
            mode = "x" if os.access(full, os.X_OK) else ""
            rows.append((relative, mode, found.digest, found.size))
        listing = tree_bytes(rows)
        digest = digest_bytes(listing)
        self.listings[digest] = listing
        return digest, sum(row[3] for row in rows)

    def arrived(self, paths: list[str]) -> list[File]:
        """Return the files in the order of arrival, each content once; notes the new ones."""
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


def _walk(path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for folder, _, names in os.walk(path):
        for name in names:
            full = os.path.join(folder, name)
            found.append((os.path.relpath(full, path).replace(os.sep, "/"), full))
    return found


__all__ = ["Dir", "StoreInputs"]
