"""Objects: immutable contents under their digest, in a folder of the store or of the cache.

Where the store is far away (S3), objects live in the cache first and are uploaded by `sync`, which
the writer calls before it records what needs them. Knows contents and digests; not what they mean.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from ems.errors import EmsError, StoreError
from ems.hashing import PART_BYTES, digest_bytes, digest_file, tree_bytes
from ems.store.answers import Digested
from ems.store.far import Far
from ems.store.seen import Row, Seen
from ems.store.shelf import Shelf


class Objects:
    """`folder` is where objects can be opened by digest; workers put theirs into `outbox`.

    `url` is the store's. What was put is durable once `sync` or the writer's `flush` has returned.
    """

    def __init__(self, folder: Path, url: str, seen: Seen, far: Far | None) -> None:
        self.folder = str(folder)
        self.outbox = str(folder)
        self.url = url
        self._shelf = Shelf(folder, url)
        self._seen = seen
        self._far = far
        self._pending: set[str] = set()
        self._leaving: set[str] = set()
        """What a `sync` is at: not safe yet, but there."""
        self._stamps: dict[str, Row] = {}
        self._safe: set[str] = set()
        self._lock = threading.Lock()
        if far is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def far(self) -> bool:
        """Whether objects lie in S3, and here is but a cache of them."""
        return self._far is not None

    # putting

    def put_bytes(self, data: bytes) -> Digested:
        """Keep bytes."""
        digest = digest_bytes(data)
        if not self._fresh(digest, len(data)):
            self._keep(self._shelf.write(data), digest)
        return Digested(digest, len(data))

    def put_path(self, path: str | os.PathLike[str], move: bool = False) -> Digested:
        """Keep a file's content; `move` gives the file away. OSError where `path` can't be read."""
        path = os.fspath(path)
        size = os.stat(path).st_size
        if not move and size > PART_BYTES:  # spare the copy where we have it
            found = self._seen.digest(path)
            if self._fresh(found.digest, found.size):
                return found
        temp = self._shelf.stage(path, move)
        digest, size = digest_file(temp), os.stat(temp).st_size
        if self._fresh(digest, size):
            os.unlink(temp)
        else:
            self._keep(temp, digest)
        return Digested(digest, size)

    def put_dir(self, path: str | os.PathLike[str]) -> Digested:
        """Keep all files of a folder, and its listing; the digest is the listing's.

        The size is that of all files. Links to files are followed, links to folders refused.
        """
        rows: list[tuple[str, str, str, int]] = []
        for relative, full in _files(os.fspath(path)):
            found = self.put_path(full)
            mode = "x" if os.stat(full).st_mode & 0o100 else ""
            rows.append((relative, mode, found.digest, found.size))
        listing = self.put_bytes(tree_bytes(rows))
        return Digested(listing.digest, sum(row[3] for row in rows))

    def publish(self, digests: Iterable[str]) -> None:
        """Take note of objects that were just put into `outbox`; `sync` makes them durable.

        What they are is known as of now, before anybody else has seen them.
        """
        found = list(digests)
        stamps = self._seen.stamps({self._shelf.path(d): d for d in found})
        with self._lock:
            self._stamps.update(stamps)
            self._pending |= set(found)
            self._safe -= set(found)

    def sync(self, digests: Iterable[str] = ()) -> None:
        """Return when all that was put, and these, would survive a power cut."""
        with self._lock:
            wanted = (self._pending | set(digests)) - self._safe
            self._pending -= wanted
            self._leaving |= wanted
        if not wanted:
            return
        try:
            if self._far is not None:
                self._far.upload({d: Path(self._shelf.path(d)) for d in wanted})
            else:
                self._shelf.sync(wanted)
        except BaseException:
            with self._lock:
                self._pending |= wanted
                self._leaving -= wanted
            raise
        with self._lock:
            stamps = [row for d in wanted if (row := self._stamps.pop(self._shelf.path(d), None))]
        self._seen.keep(stamps)
        with self._lock:
            self._safe |= wanted - self._pending
            self._leaving -= wanted

    # getting

    def read(self, digest: str) -> bytes:
        """Return an object's bytes."""
        with self.open(digest) as stream:
            return stream.read()

    def open(self, digest: str) -> BinaryIO:
        """Open an object for reading."""
        return self.local_path(digest).open("rb")

    def local_path(self, digest: str) -> Path:
        """Return a file that holds the object; fetched and checked first where it is far away.

        StoreError: there is no such object, or what came is not what its digest says.
        """
        path = self._shelf.path(digest)
        if not os.path.exists(path):
            problem = "missing" if self._far is None else self._fetch(digest)
            if problem == "damaged":
                said = f"object {digest} is damaged: its content has another digest"
                raise StoreError(self.url, said, "emsctl check")
            if problem:
                raise self._shelf.missing(digest)
        return Path(path)

    def exists(self, digests: Iterable[str] | Mapping[str, int]) -> set[str]:
        """Return those that are there; with sizes, those whose size is right."""
        wanted: dict[str, int] = dict.fromkeys(digests, -1)
        if isinstance(digests, Mapping):
            wanted.update(cast("Mapping[str, int]", digests))
        if self._far is not None:
            ours = (self._pending | self._leaving).intersection(wanted)
            return ours | self._far.exists({d: s for d, s in wanted.items() if d not in ours})
        found: set[str] = set()
        for digest, size in wanted.items():
            try:
                there = os.stat(self._shelf.path(digest)).st_size
            except FileNotFoundError:
                continue
            if size in (-1, there):
                found.add(digest)
        return found

    def sound(self, digests: Iterable[str]) -> frozenset[str]:
        """Return those that are there and hold what their digest says.

        A file is hashed once, then remembered by size, mtime and inode. One that is only far away
        is fetched.
        """
        there = self.exists(digests)
        paths = {self._shelf.path(d): d for d in there}
        known = self._seen.recall(list(paths))
        unknown = [p for p in paths if p not in known and os.path.exists(p)]
        hashed = {p: found.digest for p, found in self._seen.digest_many(unknown).items()}
        wrong = {paths[p] for p, digest in {**known, **hashed}.items() if digest != paths[p]}
        for digest in wrong:
            self._forget(digest)
        return frozenset(there - wrong if self._far is None else self._fetched(there))

    def present(self, digests: Iterable[str]) -> frozenset[str]:
        """Return those that are there; those here are sound, too.

        Nothing is fetched: whoever fetches one checks it.
        """
        return self.sound(digests) if self._far is None else frozenset(self.exists(digests))

    def verify(self, digest: str) -> bool:
        """Read the object at its place, whatever is remembered, and compare it with its digest."""
        if self._far is not None:
            temp = self._shelf.temp()
            try:
                return self._far.fetch(digest, Path(temp)) and digest_file(temp) == digest
            finally:
                Path(temp).unlink(missing_ok=True)
        path = self._shelf.path(digest)
        try:
            found = digest_file(path)
        except FileNotFoundError:
            return False
        if found != digest:  # the next run must not trust what was remembered
            self._seen.remember({path: found})
        return found == digest

    # how

    def _fresh(self, digest: str, size: int) -> bool:
        """Whether the object is there; if so it is young again."""
        there = self._shelf.renew(digest, size)
        if there and self._far is not None:
            with self._lock:
                self._pending |= {digest} - self._safe
        return there

    def _keep(self, temp: str, digest: str) -> None:
        self._shelf.place(temp, digest)
        self.publish([digest])

    def _fetched(self, digests: Iterable[str]) -> set[str]:
        from ems.store.s3 import in_parallel

        wanted = list(digests)
        missing = [d for d in wanted if not os.path.exists(self._shelf.path(d))]
        problems = dict(zip(missing, in_parallel(self._fetch, missing), strict=True))
        return {d for d in wanted if not problems.get(d)}

    def _fetch(self, digest: str) -> str:
        """Bring an object here; return nothing, or that it is `missing` or `damaged`."""
        assert self._far is not None
        temp = self._shelf.temp()
        try:
            if not self._far.fetch(digest, Path(temp)):
                return "missing"
            if digest_file(temp) != digest:
                self._far.distrust(digest)
                return "damaged"
            os.chmod(temp, 0o444)
            path = self._shelf.path(digest)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(temp, path)
            self._seen.remember({path: digest})
            return ""
        finally:
            Path(temp).unlink(missing_ok=True)

    def _forget(self, digest: str) -> None:
        """Remove a damaged copy, so that the object can be put or fetched again."""
        self._shelf.remove(digest)
        with self._lock:
            self._safe.discard(digest)


def _files(folder: str) -> Iterable[tuple[str, str]]:
    if not os.path.isdir(folder):
        raise NotADirectoryError(20, "not a folder", folder)
    for parent, folders, names in os.walk(folder):
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                raise EmsError(os.path.join(parent, name), "is a link to a folder", "a copy of it")
        for name in names:
            full = os.path.join(parent, name)
            yield os.path.relpath(full, folder).replace(os.sep, "/"), full
