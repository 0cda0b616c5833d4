"""Results of a run's nodes as trees and values: from memory where it just ran, else from the store.

Knows records and objects. Does not know how they came to be.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ems.errors import StoreError

if TYPE_CHECKING:
    from ems.store.store import Store


_SHORT = 12
"""Characters of a digest in a link's folder: enough to tell results apart, few enough to read."""


class Unrecorded(StoreError):
    """A version that was recorded isn't any more: its part of the log was lost."""


class Damaged(StoreError):
    """A long result is not what its digest says, or not there."""


class Results:
    """Trees by version, and local paths of what they hold."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._trees: dict[bytes, Any] = {}
        self._contents: dict[bytes, str] = {}
        self._read: dict[str, Any] = {}
        self.source = Source(store)

    def keep(self, version: bytes, out: Any, content: str) -> None:
        """Remember what was just computed for a version; `whole` reads what is too long."""
        self._trees[version] = out
        self._contents[version] = content

    def forget(self, version: bytes) -> None:
        """A version's result is gone."""
        self._trees.pop(version, None)
        self._contents.pop(version, None)

    def fetch(self, versions: Sequence[bytes]) -> None:
        """Read the results of many versions at once."""
        missing = [version for version in dict.fromkeys(versions) if version not in self._trees]
        if missing:
            for version, record in self._store.records(missing).items():
                self.keep(version, record.out, record.content)

    def content(self, version: bytes) -> str:
        """Return the content of what `out` returns: the two always belong together."""
        self.out(version)
        return self._contents[version]

    def out(self, version: bytes) -> Any:
        """Return a version's result as it is recorded: its tree, or the object that holds it."""
        out = self._trees.get(version, _MISSING)
        if out is _MISSING:
            record = self._store.record(version)
            if record is None:
                raise Unrecorded(
                    f"version {version.hex()[:12]}", "is not recorded any more", "emsctl run again"
                )
            self.keep(version, record.out, record.content)
            return record.out
        return out

    def tree(self, version: bytes) -> Any:
        """Return the whole tree of a version's result."""
        return self.whole(self.out(version))

    def whole(self, out: Any) -> Any:
        """Return a record's tree, read from its object where it is too long to travel inline."""
        if type(out) is dict and len(out) == 1 and "$object" in out:
            return self._long(out["$object"][0])
        return out

    def _long(self, digest: str) -> Any:
        if digest not in self._read:
            if digest not in self._store.objects.sound([digest]):
                raise Damaged(f"object {digest[:12]}", "is missing or damaged", "emsctl check")
            self._read[digest] = json.loads(self._store.objects.read(digest))
        return self._read[digest]


class Source:
    """Where the files of loaded values come from: links with their own names to stored objects."""

    pickle = False

    def __init__(self, store: Store) -> None:
        self._store = store

    def file(self, digest: str, name: str) -> str:
        """Return a path that ends in `name` and holds the content."""
        return named_link(str(self._store.objects.local_path(digest)), digest, name)

    def folder(self, digest: str, name: str) -> str:
        """Return a folder called `name` that holds the files of a stored folder."""
        listing = self._store.objects.local_path(digest)
        target = os.path.join(_links_of(str(listing)), digest, name)
        if os.path.isdir(target):
            return target
        making = f"{target}.{os.getpid()}"
        for relative, mode, part, _size in json.loads(listing.read_bytes()):
            place = os.path.join(making, *relative.split("/"))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            _link(str(self._store.objects.local_path(part)), place, executable=mode == "x")
        os.makedirs(making, exist_ok=True)
        try:
            os.rename(making, target)
        except OSError:
            if not os.path.isdir(target):
                raise
        return target


def named_link(path: str, digest: str, name: str) -> str:
    """Return a path called `name` for an object, so that its ending tells what it is."""
    target = os.path.join(_links_of(path), digest[:_SHORT], name)
    if os.path.islink(target) and os.path.basename(os.readlink(target)) != digest:
        return path
    if not os.path.lexists(target):
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _link(path, target)
        except OSError:
            return path
    return target


def _links_of(path: str) -> str:
    """The folder of links beside the folder of objects: `<root>/objects/ab/…` → `<root>/links`."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(path))), "links")


def _link(source: str, target: str, *, executable: bool = False) -> None:
    if executable:
        from shutil import copyfile

        copyfile(source, target)
        os.chmod(target, 0o555)
        return
    try:
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
    except FileExistsError:
        pass


class _Missing:
    pass


_MISSING = _Missing()
