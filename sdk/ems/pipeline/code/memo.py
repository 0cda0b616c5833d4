"""Facts of a project's modules, kept on disk from one process to the next.

One file a project, replaced as a whole. It holds nothing that can't be read again from the
sources: a broken or foreign file counts as none. A source is taken as unchanged by size, time and
inode, and by its digest where it was written so shortly before it was read that time can't tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ems.settings import cache_folder

from .symbols import Facts

_MAGIC = b"ems-facts-1\n"
_SOURCES = (
    "calls.py",
    "expressions.py",
    "facts.py",
    "imports.py",
    "items.py",
    "parameters.py",
    "patterns.py",
    "scope.py",
    "statements.py",
    "symbols.py",
    "walk.py",
)
_YOUNG_NS = 50_000_000
_COARSE_NS = 2_000_000_000
Stamp = tuple[int, int, int]


# Where packed bytes lie: an open file (it stays readable when it is replaced), offset, length.
Place = tuple[BinaryIO, int, int]


@dataclass(slots=True)
class Kept:
    """What is kept of one file; `texts` are the normal forms, packed."""

    stamp: Stamp
    digest: str
    settled: bool
    facts: bytes
    texts: bytes | Place


def stamp_of(path: str) -> Stamp:
    """Return what tells a file's present state: size, modification time in ns, inode."""
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def is_settled(stamp: Stamp, read_ns: int) -> bool:
    """Return whether a later write would show in the stamp of a file read at `read_ns`."""
    coarse = stamp[1] % 1_000_000_000 == 0
    return read_ns - stamp[1] > (_COARSE_NS if coarse else _YOUNG_NS)


class Memo:
    """The facts kept for one project: `get`, `put`, then `save`."""

    def __init__(self, root: str, cache: Path | None = None) -> None:
        name = hashlib.sha256(root.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        name = f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
        self.path = (cache or cache_folder()) / "facts" / name
        self._head = _MAGIC + b"%d\n" % _version()
        self._kept, self._loaded = self._read()
        self._dirty = False

    def get(self, key: str, path: str) -> tuple[Facts, str] | None:
        """Return the facts kept under a key and the file's digest, if the file is unchanged."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        stamp = stamp_of(path)
        if kept.stamp != stamp or not kept.settled:
            now = time.time_ns()
            with open(path, "rb") as file:
                if hashlib.sha256(file.read()).hexdigest() != kept.digest:
                    return None
            kept.stamp, kept.settled, self._dirty = stamp, is_settled(stamp, now), True
        fields: Any = marshal.loads(kept.facts)
        return Facts(*fields, texts={}), kept.digest

    def put(self, key: str, facts: Facts, stamp: Stamp, digest: str, read_ns: int) -> None:
        """Keep the facts of a file that had this stamp and digest when it was read."""
        packed = marshal.dumps(_fields(facts), 4)
        texts = marshal.dumps(facts.texts, 4)
        self._kept[key] = Kept(stamp, digest, is_settled(stamp, read_ns), packed, texts)
        self._dirty = True

    def file_digest(self, path: str, read: Callable[[str], str]) -> str:
        """Return the digest of any file, remembered; `read` computes it."""
        stamp = stamp_of(path)
        kept = self._kept.get(f"file={path}")
        if kept is not None and kept.stamp == stamp and kept.settled:
            return kept.digest
        now = time.time_ns()
        digest = read(path)
        self._kept[f"file={path}"] = Kept(stamp, digest, is_settled(stamp, now), b"", b"")
        self._dirty = True
        return digest

    def texts(self, key: str) -> dict[str, str]:
        """Return the normal forms kept under a key; empty where they are gone."""
        kept = self._kept.get(key)
        try:
            return marshal.loads(_unpacked(kept.texts)) if kept is not None else {}
        except (OSError, ValueError, EOFError, TypeError):
            return {}

    def save(self) -> None:
        """Write what is new; a folder that can't be written to costs time later, nothing else."""
        if not self._dirty:
            return
        self._dirty = False
        try:
            current: Stamp | None = stamp_of(str(self.path))
        except OSError:
            current = None
        if current != self._loaded:  # another process wrote meanwhile
            self._kept = {**self._read()[0], **self._kept}
        with contextlib.suppress(OSError):
            self._loaded = self._write()

    def close(self) -> None:
        """Save, and close the file of texts: what is asked of it from here on is read anew."""
        self.save()
        for kept in self._kept.values():
            if not isinstance(kept.texts, bytes):
                kept.texts[0].close()
        self._kept = {}

    def _write(self) -> Stamp:
        texts: list[bytes] = []
        entries: dict[str, tuple[object, ...]] = {}
        end = 0
        for key, kept in self._kept.items():
            packed = _unpacked(kept.texts)
            entries[key] = (kept.stamp, kept.digest, kept.settled, kept.facts, end, len(packed))
            texts.append(packed)
            end += len(packed)
        head = marshal.dumps(entries, 4)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.{time.time_ns()}")
        try:
            start = self._head + b"%d %d\n" % (len(head), zlib.crc32(head))
            draft.write_bytes(b"".join([start, head, *texts]))
            stamp = stamp_of(str(draft))
            os.replace(draft, self.path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        return stamp

    def _read(self) -> tuple[dict[str, Kept], Stamp | None]:
        try:
            file = open(self.path, "rb")  # noqa: SIM115 (texts are read from it later)
            stat = os.fstat(file.fileno())
            if file.read(len(self._head)) != self._head:
                return {}, None
            length, check = map(int, file.readline(80).split())
            head = file.read(length)
            if zlib.crc32(head) != check:
                return {}, None
            start = file.tell()
            kept = {
                key: Kept(stamp, digest, settled, facts, (file, start + offset, size))
                for key, (stamp, digest, settled, facts, offset, size) in marshal.loads(
                    head
                ).items()
            }
        except (OSError, ValueError, EOFError, TypeError):
            return {}, None
        return kept, (stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _fields(facts: Facts) -> Any:
    return (
        facts.module, facts.package, facts.symbols, facts.names, facts.stars, facts.exports,
        facts.loads, facts.idle, facts.writers,
    )  # fmt: skip


def _unpacked(texts: bytes | Place) -> bytes:
    if isinstance(texts, bytes):
        return texts
    file, offset, length = texts
    return os.pread(file.fileno(), length, offset)


def _version() -> int:
    """Return a number that changes with the code that makes facts."""
    folder = os.path.dirname(__file__)
    stamps = [stamp_of(os.path.join(folder, name)) for name in _SOURCES]
    return zlib.crc32(repr(stamps).encode("ascii"))
