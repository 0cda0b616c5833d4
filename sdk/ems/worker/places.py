"""Folders where objects lie by digest, and how one is put there: `<folder>/<2 hex>/<digest>`.

Knows names and atomic renames. Does not know values, tasks or what the objects are for.
"""

from __future__ import annotations

import errno
import os

from ..hashing import digest_bytes, digest_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence, Tuple

_COPY_BYTES = 1024 * 1024


def object_path(folder: str, digest: str) -> str:
    """Return where an object lies in an object folder."""
    return os.path.join(folder, digest[:2], digest)


def find(folders: Sequence[str], digest: str) -> Optional[str]:
    """Return the path of an object in the first folder that has it."""
    for folder in folders:
        path = object_path(folder, digest)
        if os.path.exists(path):
            return path
    return None


def copy_file(source: str, target: str) -> None:
    """Copy bytes only; `target` must not exist."""
    with open(source, "rb") as reader, open(target, "xb") as writer:
        while True:
            block = reader.read(_COPY_BYTES)
            if not block:
                return
            writer.write(block)


class ObjectFolder:
    """An object folder to write to. Objects are read-only and appear whole or not at all.

    One that is there already is replaced: it may be damaged, and is young again for gc.
    """

    def __init__(self, folder: str, fsync: bool = False) -> None:
        self._folder = folder
        self._fsync = fsync
        self._count = 0
        self._own = "%d-%s" % (os.getpid(), os.urandom(4).hex())

    def put_bytes(self, data: bytes) -> Tuple[str, int]:
        """Keep bytes; return (digest, size)."""
        digest = digest_bytes(data)
        temporary = self._temporary()
        with open(temporary, "xb") as stream:
            stream.write(data)
        self._publish(temporary, object_path(self._folder, digest))
        return digest, len(data)

    def take(self, path: str) -> Tuple[str, int]:
        """Move a file in; return (digest, size). It is copied only between file systems."""
        temporary = self._temporary()
        try:
            os.rename(path, temporary)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy_file(path, temporary)
            os.unlink(path)
        return self._keep(temporary)

    def copy(self, path: str) -> Tuple[str, int]:
        """Copy a file in, which stays where it is; return (digest, size)."""
        temporary = self._temporary()
        copy_file(path, temporary)
        return self._keep(temporary)

    def _keep(self, temporary: str) -> Tuple[str, int]:
        os.chmod(temporary, 0o444)
        digest, size = digest_file(temporary), os.stat(temporary).st_size
        self._publish(temporary, object_path(self._folder, digest))
        return digest, size

    def _temporary(self) -> str:
        self._count += 1
        os.makedirs(self._folder, exist_ok=True)
        return os.path.join(self._folder, "tmp-%s-%d" % (self._own, self._count))

    def _publish(self, temporary: str, final: str) -> None:
        os.chmod(temporary, 0o444)
        if self._fsync:
            _sync(temporary)
        try:
            os.rename(temporary, final)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(final), exist_ok=True)
            os.rename(temporary, final)
        if self._fsync:
            _sync(os.path.dirname(final))


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
