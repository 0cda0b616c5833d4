"""A local folder of objects: each is written under a temporary name, then renamed to its digest.

Knows files and names. Does not know which are wanted, nor S3.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from ems.errors import StoreError
from ems.store.faults import explain, vanished
from ems.store.layout import TEMP

_COPY_BYTES = 1 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Shelf:
    """`<folder>/<2 hex>/<digest>`; `url` names the store in errors."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = str(folder)
        self._url = url
        self._own = f"{TEMP}{os.getpid()}-{os.urandom(4).hex()}"
        self._count = count()  # threads may share it, which a generator can't be

    def path(self, digest: str) -> str:
        """Return where an object lies, or would."""
        return f"{self.folder}/{digest[:2]}/{digest}"

    def temp(self) -> str:
        """Return a new name beside the objects."""
        return f"{self.folder}/{self._own}-{next(self._count)}"

    def write(self, data: bytes) -> str:
        """Return a temporary file with these bytes."""
        temp = self.temp()
        try:
            with open(os.open(temp, _CREATE, 0o444), "wb") as out:
                out.write(data)
        except OSError as e:
            raise self.failed(e, temp) from None
        return temp

    def stage(self, path: str, move: bool) -> str:
        """Return a temporary file that nobody else writes to, with a file's content."""
        temp = self.temp()
        if move:
            try:
                os.rename(path, temp)
                os.chmod(temp, 0o444)
                return temp
            except OSError as e:
                if e.errno != errno.EXDEV:
                    raise self.failed(e, temp) from None
        with open(path, "rb") as source:
            try:
                with open(os.open(temp, _CREATE, 0o444), "wb") as target:
                    while block := source.read(_COPY_BYTES):
                        target.write(block)
            except OSError as e:
                raise self.failed(e, temp) from None
        if move:
            os.unlink(path)
        return temp

    def place(self, temp: str, digest: str) -> None:
        """Give a temporary file its digest as its name."""
        path = self.path(digest)
        try:
            try:
                os.replace(temp, path)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(os.path.dirname(path))
                os.replace(temp, path)
        except OSError as e:
            raise self.failed(e, temp) from None

    def renew(self, digest: str, size: int) -> bool:
        """Make an object young, so that gc spares it; False: it isn't there with this size."""
        path = self.path(digest)
        try:
            if os.stat(path).st_size != size:
                return False
            os.utime(path)
        except OSError:
            return False
        return True

    def sync(self, digests: Iterable[str]) -> None:
        """Return when these would survive a power cut; those that aren't there are passed over."""
        folders: set[str] = set()
        try:
            for digest in digests:
                path = self.path(digest)
                try:
                    _fsync(path)
                except FileNotFoundError:
                    continue  # what a record needs is checked when it is used
                folders.add(os.path.dirname(path))
            for folder in folders:
                _fsync(folder)
        except OSError as e:
            raise self.failed(e) from None

    def remove(self, digest: str) -> None:
        """Remove a damaged object; in a store that is only read it stays."""
        with contextlib.suppress(OSError):
            os.unlink(self.path(digest))

    def failed(self, e: OSError, temp: str = "") -> StoreError:
        """Return the error to raise for one of the operating system; the temporary file goes."""
        with contextlib.suppress(OSError):
            os.unlink(temp)
        if isinstance(e, FileNotFoundError) and not os.path.isdir(self.folder):
            return vanished(self._url)
        return explain(self._url, "objects", e)

    def missing(self, digest: str) -> StoreError:
        """Return the error for an object that isn't there."""
        if not os.path.isdir(self.folder):
            return vanished(self._url)
        return StoreError(self._url, f"there is no object {digest}", "emsctl check")


def _fsync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
