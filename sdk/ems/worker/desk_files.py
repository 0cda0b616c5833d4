"""Files below a desk's root: objects by digest, in parts and resumed, and small files by path.

Knows bytes, digests and paths; each thing appears whole or not at all. Does not know jobs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import time

from .. import hashing
from . import scratch
from .places import object_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Tuple

    Answer = Tuple[Dict[str, Any], bytes]
    Verb = Callable[[Dict[str, Any], bytes], Answer]

MOST_BYTES = 4 * 2**20
"""What one answer brings at most of what grows: the next one brings the rest."""
ABANDONED_S = 7 * 86400.0
"""An upload that nobody went on with for so long is removed."""
_BLOCK_BYTES = 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}(-[0-9]{1,5})?")
_PART = "tmp-put-"


class Problem(Exception):
    """What is asked for can't be done: of what, and why."""


class Files:
    """Objects by digest, and small files by path, below a root."""

    def __init__(self, root: str, beat: Callable[[], None]) -> None:
        self._root, self._beat = root, beat
        self._objects = os.path.join(root, "objects")
        self._turn = 0

    def verbs(self) -> Dict[str, Verb]:
        """Return what can be asked for."""
        return {
            "have": self.have, "put": self.put, "get": self.get, "write": self.write,
            "read": self.read, "remove": self.remove, "look": self.look,
        }  # fmt: skip

    def below(self, relative: str) -> str:
        """Return the path of a file below the root; raises Problem for one that is elsewhere."""
        parts = relative.split("/")
        if not relative or "\0" in relative or any(part in ("", ".", "..") for part in parts):
            raise Problem(relative or "''", "is no path below the place's folder")
        return os.path.join(self._root, *parts)

    # -- objects ----------------------------------------------------------------------------------

    def have(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Answer which objects are missing, and how much of each has come already."""
        missing = [each for each in asked["digests"] if not os.path.exists(self._object(each))]
        partial: Dict[str, int] = {}
        for each in missing:
            try:
                partial[each] = os.stat(self._part(each)).st_size
            except OSError:
                pass
        return {"missing": missing, "partial": partial}, b""

    def put(self, asked: Dict[str, Any], data: bytes) -> Answer:
        """Take a part of an object from offset `at`; with the last one it is checked and there.

        Answers `done`, or how many bytes there are (`at`), or `damaged`: begin anew.
        """
        digest, at, size = str(asked["digest"]), int(asked["at"]), int(asked["of"])
        final = self._object(digest)
        if os.path.exists(final):
            return {"done": True}, b""
        fd = self._locked(self._part(digest))
        try:
            has = os.fstat(fd).st_size
            if has > size:
                os.ftruncate(fd, 0)
                has = 0
            if at > has:
                return {"at": has}, b""
            _write_at(fd, data, at)
            has = max(has, at + len(data))
            if has < size:
                return {"at": has}, b""
            return self._finish(fd, digest, final), b""
        finally:
            os.close(fd)

    def _finish(self, fd: int, digest: str, final: str) -> Dict[str, Any]:
        part = self._part(digest)
        if self._digest(fd) != digest:
            os.unlink(part)
            return {"damaged": True}
        os.fsync(fd)
        os.fchmod(fd, 0o444)
        os.makedirs(os.path.dirname(final), exist_ok=True)
        os.rename(part, final)
        return {"done": True}

    def get(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Answer bytes of an object from an offset, and its size (`of`)."""
        path = self._object(str(asked["digest"]))
        try:
            with open(path, "rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                stream.seek(int(asked["at"]))
                return {"of": size}, stream.read(min(int(asked["most"]), MOST_BYTES))
        except FileNotFoundError:
            raise Problem("object %s" % asked["digest"][:16], "is not there") from None

    def sweep(self) -> None:
        """Remove uploads that nobody went on with for days."""
        try:
            found = [each for each in os.scandir(self._objects) if each.name.startswith(_PART)]
        except OSError:
            return
        for each in found:
            try:
                if time.time() - each.stat().st_mtime > ABANDONED_S:
                    os.unlink(each.path)
            except OSError:
                pass

    def _object(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise Problem(repr(digest), "is no digest")
        return object_path(self._objects, digest)

    def _part(self, digest: str) -> str:
        return os.path.join(self._objects, _PART + digest)

    def _locked(self, path: str) -> int:
        """Open an unfinished upload and hold it, so that two brokers don't finish it at once."""
        os.makedirs(self._objects, exist_ok=True)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                if os.stat(path).st_ino == os.fstat(fd).st_ino:
                    return fd
            except FileNotFoundError:  # another one finished it
                pass
            os.close(fd)

    def _digest(self, fd: int) -> str:
        """Return the digest of an open file; says meanwhile that the desk is there."""
        size = os.fstat(fd).st_size
        parts: List[bytes] = []
        for start in range(0, max(size, 1), hashing.PART_BYTES):
            part, at = hashlib.sha256(), start
            while at < min(start + hashing.PART_BYTES, size):
                block = os.pread(fd, min(_BLOCK_BYTES, start + hashing.PART_BYTES - at), at)
                if not block:
                    break
                part.update(block)
                at += len(block)
                self._beat()
            parts.append(part.digest())
        return hashing.join_parts(parts)

    # -- small files ------------------------------------------------------------------------------

    def write(self, asked: Dict[str, Any], data: bytes) -> Answer:
        """Write files (`[path, size]` each), each whole at once."""
        at = 0
        for relative, size in asked["files"]:
            replace(self.below(relative), data[at : at + size])
            at += size
            self._beat()
        return {}, b""

    def read(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Answer a file, and whether it is there."""
        try:
            with open(self.below(asked["path"]), "rb") as stream:
                return {"there": True}, stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return {"there": False}, b""

    def remove(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Remove files and folders; those that aren't there are no error."""
        for relative in asked["paths"]:
            path = self.below(relative)
            if os.path.isdir(path) and not os.path.islink(path):
                scratch.remove(path)
            else:
                try:
                    os.unlink(path)
                except (FileNotFoundError, NotADirectoryError):
                    pass
            self._beat()
        return {}, b""

    def look(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Answer what jobs (`[id, events from, output from]` each) wrote, MOST_BYTES in all.

        Messages go first, and what they tell of output is there by then; whose output goes first
        changes from look to look. The answer's rows are [bytes of messages, of output, whether the
        folder is there, whether that was all].
        """
        left, whole = MOST_BYTES, True
        jobs = [
            (self.below("jobs/%s" % job), events, output) for job, events, output in asked["jobs"]
        ]
        messages: List[bytes] = []
        rows: List[List[Any]] = []
        for folder, since, _output in jobs:
            data, whole = tail(os.path.join(folder, "events.jsonl"), since, left)
            left -= len(data)
            messages.append(data)
            rows.append([len(data), 0, os.path.isdir(folder), whole])
        outputs = [b""] * len(jobs)
        self._turn += 1
        for step in range(len(jobs)):
            at = (step + self._turn) % len(jobs)
            folder, _events, since = jobs[at]
            outputs[at], whole = tail(os.path.join(folder, "output"), since, left)
            left -= len(outputs[at])
            rows[at][1], rows[at][3] = len(outputs[at]), rows[at][3] and whole
        return {"rows": rows}, b"".join(part for pair in zip(messages, outputs) for part in pair)


def replace(path: str, data: bytes, mode: int = 0o644) -> None:
    """Write a file whole at once; folders on the way are made."""
    made = "%s.new-%d-%s" % (path, os.getpid(), os.urandom(3).hex())
    try:
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        _write_at(fd, data, 0)
        os.rename(made, path)
    except OSError:
        os.unlink(made)
        raise
    finally:
        os.close(fd)


def tail(path: str, since: int, most: int) -> Tuple[bytes, bool]:
    """Return bytes of a file from an offset on, and whether those are all that there are."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return b"", True
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size <= since:
            return b"", True
        data = os.pread(fd, most, since) if most > 0 else b""
        return data, since + len(data) >= found.st_size
    finally:
        os.close(fd)


def _write_at(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done
