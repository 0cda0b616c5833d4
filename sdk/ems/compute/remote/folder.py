"""A folder that this machine shares with the place: an NFS mount, a login node's home, a volume.

Knows files. What was written is renamed into place; what is read may still grow.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ems.compute.remote.order import PlaceError
from ems.compute.remote.site import Look, Seen
from ems.hashing import PART_BYTES, join_parts
from ems.worker.places import object_path

MOST_BYTES = 4 * 2**20
"""What one look brings of one file at most: the next look brings the rest."""
_BLOCK_BYTES = 256 * 1024
_AT_ONCE = 4


class FolderSite:
    """A place's files under `folder` here, which jobs there see as `root`."""

    def __init__(self, folder: Path, root: str = "") -> None:
        self._folder = folder
        self._objects = str(folder / "objects")
        self._jobs = str(folder / "jobs")
        self.root = root or str(folder)

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Return those of the objects that are not there."""
        return {d for d in digests if not os.path.exists(object_path(self._objects, d))}

    def put(self, objects: Mapping[str, Path]) -> None:
        """Copy objects there."""
        for digest, source in objects.items():
            self._copy(source, Path(object_path(self._objects, digest)), digest)

    def fetch(self, digest: str, size: int, target: Path) -> None:
        """Copy an object here."""
        source = Path(object_path(self._objects, digest))
        if not source.exists():
            raise PlaceError(f"object {digest[:16]}", f"is not in {self._objects}")
        self._copy(source, target, digest)

    def _copy(self, source: Path, target: Path, digest: str) -> None:
        made = target.with_name(f"tmp-{os.getpid()}-{os.urandom(4).hex()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if _copied(source, made) != digest:
                raise PlaceError(str(source), f"is no longer the object {digest[:16]}")
            made.chmod(0o444)
            made.rename(target)
        except OSError as error:
            raise PlaceError(str(target), f"can't be written: {error.strerror}") from None
        finally:
            made.unlink(missing_ok=True)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole at once."""
        for relative, data in files.items():
            path = self._folder / relative
            made = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.write_bytes(data)
                made.rename(path)
            except OSError as error:
                raise PlaceError(str(path), f"can't be written: {error.strerror}") from None

    def read(self, path: str) -> bytes | None:
        """Return a file; None where there is none."""
        try:
            return (self._folder / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PlaceError(path, f"can't be read: {error.strerror}") from None

    def look(self, asked: Sequence[Look]) -> list[Seen]:
        """Return what jobs wrote."""
        return [self._seen(each) for each in asked]

    def _seen(self, asked: Look) -> Seen:
        folder = f"{self._jobs}/{asked.job}"
        events, more = _tail(f"{folder}/events.jsonl", asked.events)
        output, even_more = _tail(f"{folder}/output", asked.output)
        there = bool(events or output) or os.path.isdir(folder)
        return Seen(events, output, there, not (more or even_more))

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files and folders."""
        for relative in paths:
            path = self._folder / relative
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held."""


def _copied(source: Path, made: Path) -> str:
    """Copy a file, parts side by side, and return the digest of what was written."""
    take = os.open(source, os.O_RDONLY)
    try:
        give = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            starts = range(0, os.fstat(take).st_size or 1, PART_BYTES)
            if len(starts) == 1:
                return join_parts([_copied_part(take, give, 0)])
            with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
                return join_parts(pool.map(partial(_copied_part, take, give), starts))
        finally:
            os.close(give)
    finally:
        os.close(take)


def _copied_part(take: int, give: int, start: int) -> bytes:
    """Copy one part and return its digest: each block is hashed while it is at hand."""
    found, block = hashlib.sha256(), memoryview(bytearray(_BLOCK_BYTES))
    at, end = start, start + PART_BYTES
    while at < end and (got := os.preadv(take, [block[: min(_BLOCK_BYTES, end - at)]], at)):
        found.update(block[:got])
        done = 0
        while done < got:
            done += os.pwrite(give, block[done:got], at + done)
        at += got
    return found.digest()


def _tail(path: str, since: int) -> tuple[bytes, bool]:
    """Return what a file holds from an offset on, and whether there is more.

    It is opened even where its size may be known: only that asks a network's file system anew.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            size = os.fstat(fd).st_size
            data = os.pread(fd, MOST_BYTES, since) if size > since else b""
            return data, since + len(data) < size
        finally:
            os.close(fd)
    except FileNotFoundError:
        return b"", False
    except OSError as error:
        raise PlaceError(path, f"can't be read: {error.strerror}") from None
