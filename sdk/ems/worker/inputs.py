"""Inputs of a task: objects under their own names, made only when asked for, and watched.

Knows object folders and places. Does not know values; `values.load` asks it for paths.
"""

from __future__ import annotations

import json
import os

from ..hashing import digest_file
from . import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

    Stamp = Tuple[int, int, int]
    Rows = List[List[Any]]


class InputMissing(Exception):
    """An input that is at none of the places named."""


class InputChanged(Exception):
    """An input file or folder that changed since its digest was found."""


class Inputs:
    """Gives local paths for digests; the source that `values.load` wants."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._objects: Sequence[str] = ()
        self._places: Dict[str, Any] = {}
        self._named: Dict[Tuple[str, str], str] = {}
        self._watched: Dict[str, Stamp] = {}
        self._folders: Dict[str, Rows] = {}
        self._digests: Dict[str, str] = {}
        self.pickle = False

    def enter(self, objects: Sequence[str], places_: Dict[str, Any]) -> None:
        """Look inputs up here from now on (a parcel's lists)."""
        self._objects, self._places = objects, places_

    def begin(self, pickle: bool) -> None:
        """Start watching afresh (a version)."""
        self.pickle = pickle
        if self._watched or self._folders:
            self._watched, self._folders = {}, {}

    def locate(self, digest: str) -> str:
        """Return the path of an object as it lies there; raises InputMissing or InputChanged."""
        found = places.find(self._objects, digest)
        if found is None:
            found = self._place(digest)
        if found is None:
            raise InputMissing(
                "input %s is in none of %s"
                % (digest[:16], ", ".join(self._objects) or "no folders")
            )
        return found

    def _place(self, digest: str) -> Optional[str]:
        place = self._places.get(digest)
        if place is None:
            return None
        path = str(place if isinstance(place, str) else place[0])
        try:
            rows = _rows_in(place)
            if rows is not None:
                _compare(path, rows, rows_of(path), "changed after its digest was found")
            elif tuple(place[1:]) != stamp_of(path) and not isinstance(place, str):
                raise InputChanged("input %s changed after its digest was found" % path)
        except OSError:
            raise InputMissing("input %s is gone" % path) from None
        return path

    def file(self, digest: str, name: str) -> str:
        """Return a path of the object that ends in `name`, and watch it."""
        target = self.locate(digest)
        self._watch(target, digest)
        if os.path.basename(target) == name:
            return target
        path = self._named.get((digest, name))
        if path is None or not os.path.exists(path):
            path = os.path.join(self._folder, digest[:16], os.path.basename(name) or "file")
            _link(target, path)
            self._named[digest, name] = path
        return path

    def folder(self, digest: str, name: str) -> str:
        """Return a folder that ends in `name` and holds the files of a tree object."""
        place = self._place(digest)
        if place is not None and os.path.isdir(place):
            rows = _rows_in(self._places[digest])
            self._folders.setdefault(place, rows_of(place) if rows is None else rows)
            return place
        target = self.locate(digest)
        self._watch(target, digest)
        with open(target, "rb") as stream:
            rows = json.loads(stream.read().decode("ascii"))
        path = self._named.get((digest, name)) or self._lay_out(digest, name, rows)
        for row in rows:
            self._watch(self.locate(row[2]), row[2])
        return path

    def _lay_out(self, digest: str, name: str, rows: List[Any]) -> str:
        path = os.path.join(self._folder, digest[:16], os.path.basename(name) or "folder")
        os.makedirs(path, exist_ok=True)
        for relative, mode, inner, _ in rows:
            target = self.locate(inner)
            link = os.path.join(path, relative)
            if mode != "x":
                _link(target, link)
            elif not os.path.exists(link):
                os.makedirs(os.path.dirname(link), exist_ok=True)
                places.copy_file(target, link)
                os.chmod(link, 0o555)
        self._named[digest, name] = path
        return path

    def _watch(self, path: str, digest: str) -> None:
        self._watched.setdefault(path, stamp_of(path))
        self._digests[os.path.realpath(path)] = digest

    def digest_of(self, path: str) -> Optional[str]:
        """Return the digest if this real path is an input that was handed out."""
        return self._digests.get(path)

    def check(self) -> None:
        """Raise InputChanged if a file or folder that was handed out is no longer what it was."""
        for path, stamp in self._watched.items():
            try:
                same = stamp_of(path) == stamp or self._still_holds(path)
            except OSError:
                same = False
            if not same:
                raise InputChanged("input %s changed while the task read it" % path)
        for path, rows in self._folders.items():
            try:
                now = rows_of(path)
            except OSError:
                raise InputChanged("input %s is gone, which the task read" % path) from None
            _compare(path, rows, now, "changed while the task read it")

    def _still_holds(self, path: str) -> bool:
        """Whether an object that was put once more meanwhile is still what its digest says."""
        if not any(path.startswith(folder + os.sep) for folder in self._objects):
            return False
        return digest_file(path) == self._digests.get(os.path.realpath(path))


def stamp_of(path: str) -> Stamp:
    """Return what tells a changed file from an unchanged one: size, mtime and inode."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ino


def rows_of(folder: str) -> Rows:
    """Return [path with forward slashes, size, mtime_ns, inode] of each file below, sorted.

    Raises OSError for what can't be read.
    """
    found: Rows = []
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            found.append([relative, *stamp_of(path)])
    found.sort()
    return found


def _raise(error: OSError) -> NoReturn:
    raise error


def _rows_in(place: Any) -> Optional[Rows]:
    """Return the rows of a folder's place; None for a file's and for a bare path."""
    return place[1] if len(place) == 2 and not isinstance(place, str) else None


def _compare(folder: str, before: Rows, now: Rows, how: str) -> None:
    """Raise InputChanged that names a file which is new, gone or another."""
    if before == now:
        return
    known, here = ({row[0]: row[1:] for row in rows} for rows in (before, now))
    for name in sorted(known.keys() | here.keys()):
        if known.get(name) != here.get(name):
            what = "is gone" if name not in here else "is new" if name not in known else "changed"
            raise InputChanged("input %s %s: %s %s" % (folder, how, name, what))


def _link(target: str, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        os.symlink(os.path.abspath(target), path)
    except FileExistsError:
        if os.path.realpath(path) != os.path.realpath(target):
            os.unlink(path)
            os.symlink(os.path.abspath(target), path)
