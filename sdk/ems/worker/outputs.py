"""Outputs of a task: files are moved from its scratch folder into the outbox; the sink of values.

Knows the scratch folder, the outbox and the inputs. Does not know what values are made of.
"""

from __future__ import annotations

import os

from ..hashing import tree_bytes
from . import places
from .inputs import InputChanged
from .values import Unkept, files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from .inputs import Inputs


class OutsideScratch(Exception):
    """A returned file that is neither in the task's scratch folder nor one of its inputs."""


class OutputMissing(Exception):
    """A returned file, or a declared output of a command, that is not there."""


class Outputs:
    """The sink that `values.dump` wants, for one version at a time."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._outbox: Optional[places.ObjectFolder] = None
        self._scratch = ""
        self._moved: Dict[str, Tuple[str, int]] = {}
        self.kept: Dict[str, int] = {}
        self.pickle = False

    def enter(self, outbox: Optional[str], fsync: bool) -> None:
        """Put objects here from now on (a parcel's outbox)."""
        self._outbox = places.ObjectFolder(outbox, fsync) if outbox else None

    def begin(self, scratch: str, pickle: bool) -> None:
        """Start afresh (a version) with its scratch folder, as a real path."""
        self._scratch, self.pickle = scratch, pickle
        if self._moved:
            self._moved = {}
        if self.kept:
            self.kept = {}

    def special(self, value: Any) -> None:
        """Stand in for nothing: results hold no pending values."""

    def _folder(self) -> places.ObjectFolder:
        if self._outbox is None:
            raise Unkept("value", "holds a file or an array, and this parcel names no outbox")
        return self._outbox

    def put_bytes(self, data: bytes) -> Tuple[str, int]:
        """Keep bytes; return (digest, size)."""
        digest, size = self._folder().put_bytes(data)
        self.kept[digest] = size
        return digest, size

    def put_path(self, path: str) -> Tuple[str, int]:
        """Move a file of the scratch folder into the outbox; an input is named by its digest."""
        real = os.path.realpath(path)
        moved = self._moved.get(real)
        if moved is not None:
            return moved
        if not real.startswith(self._scratch + os.sep):
            return self._input(path, real)
        if not os.path.isfile(real):
            raise OutputMissing("%s: %s" % (path, _what_is_there(self._scratch, real)))
        found = self._folder().take(real)
        self._moved[real] = found
        self.kept[found[0]] = found[1]
        return found

    def _input(self, path: str, real: str) -> Tuple[str, int]:
        digest = self._inputs.digest_of(real)
        if digest is None:
            raise OutsideScratch(
                "%s lies outside the task's scratch folder and is no input of it; write files to "
                "relative paths, or below ems.context().scratch" % path
            )
        return digest, os.stat(real).st_size

    def put_folder(self, path: str) -> Tuple[str, int]:
        """Move the files of a folder into the outbox; return the tree object's (digest, bytes)."""
        real = os.path.realpath(path)
        moved = self._moved.get(real)
        if moved is not None:
            return moved
        if real != self._scratch and not real.startswith(self._scratch + os.sep):
            return self._input(path, real)
        if not os.path.isdir(real):
            raise OutputMissing("%s: %s" % (path, _what_is_there(self._scratch, real)))
        rows: List[Tuple[str, str, str, int]] = []
        for parent, folders, names in os.walk(real):
            _refuse_links(parent, folders)
            for name in sorted(names):
                file = os.path.join(parent, name)
                mode = "x" if os.stat(file).st_mode & 0o100 else ""
                relative = os.path.relpath(file, real).replace(os.sep, "/")
                rows.append((relative, mode, *self.put_path(file)))
        self._moved[real] = found = self.put_bytes(tree_bytes(rows))
        return found

    def complete(self, tree: Any) -> List[List[Any]]:
        """Return [digest, size] of every object of a result; all are in an object folder then.

        An input that is handed on may lie at a place of its own only: it is copied to the outbox.
        """
        for digest, size in files_of(tree) if type(tree) in (dict, list) else ():
            if digest not in self.kept:
                self.kept[digest] = size
                self._bring(digest)
        return [[digest, size] for digest, size in self.kept.items()]

    def _bring(self, digest: str) -> None:
        source = self._inputs.locate(digest)
        if os.path.isdir(source) or os.path.basename(source) == digest:
            return
        if self._folder().copy(source)[0] != digest:
            raise InputChanged("input %s changed while it was handed on" % source)


def _refuse_links(parent: str, folders: List[str]) -> None:
    for name in folders:
        path = os.path.join(parent, name)
        if os.path.islink(path):
            raise Unkept("value", "holds a folder with a link to another folder, %s" % path)


def _what_is_there(scratch: str, real: str) -> str:
    what = "is no file or folder that can be kept" if os.path.exists(real) else "is not there"
    names = sorted(os.listdir(scratch))
    listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return "%s; the scratch folder holds %s" % (what, listed or "nothing")
