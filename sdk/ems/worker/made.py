"""Environments that were made at a place: where they lie, which are whole, and who uses them.

    <root>/environments/<key>/
        want.json    what it is made of            lock        held by whoever makes it
        e-<random>/  the environment itself        attempt     which try that is
        made.json    where it is; written last     failed.json how the last try ended
        used         held by those who use it      log         what the tools said

A folder without `made.json` is none. Locks are the kernel's: they end with their holder. Knows
files and locks. Does not know how an environment is made.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from contextlib import contextmanager

from .desk_files import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generator, Optional

FOLDER = "environments"


class Made:
    """One environment of a place, by its key; there or not."""

    def __init__(self, root: str, key: str) -> None:
        self.key = key
        self.folder = os.path.join(root, FOLDER, key)

    def path(self, name: str) -> str:
        """Return the path of one of its files."""
        return os.path.join(self.folder, name)

    def note(self, name: str) -> Any:
        """Return what one of its files says; None where it is not there, or was cut off."""
        try:
            with open(self.path(name), "rb") as stream:
                return json.loads(stream.read())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def write(self, name: str, content: Any) -> None:
        """Write one of its files, whole at once."""
        replace(self.path(name), json.dumps(content, sort_keys=True).encode())

    def python(self) -> Optional[str]:
        """Return its Python where it is whole, None otherwise."""
        made = self.note("made.json")
        path = os.path.join(self.folder, made["python"]) if made else ""
        return path if made and os.path.exists(path) else None

    def take(self) -> Optional[str]:
        """Return its Python where it is whole, and note that it is used now."""
        if self.note("made.json") is None:
            return None
        fd = lock(self.path("used"), shared=True)
        if fd is None:  # somebody removes it
            return None
        try:
            _touch(fd)
            return self.python()
        finally:
            os.close(fd)


def lock(path: str, shared: bool = False) -> Optional[int]:
    """Return a descriptor that holds a file until it is closed; None where another one holds it.

    None as well where the file's folder is not there.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # the umask says who shares it
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:  # removed meanwhile
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


@contextmanager
def held() -> Generator[None, None, None]:
    """Keep the environment that this Python is of, where it was made here, from being removed.

    Its programs go before others on the PATH, as its user expects who names them.
    """
    folder = os.path.dirname(sys.prefix)
    parent, key = os.path.split(folder)
    made = Made(os.path.dirname(parent), key)
    if os.path.basename(parent) != FOLDER or made.note("made.json") is None:
        yield
        return
    os.environ["PATH"] = os.pathsep.join(
        [os.path.join(sys.prefix, "bin"), os.environ.get("PATH", os.defpath)]
    )
    conda = os.path.isdir(os.path.join(sys.prefix, "conda-meta"))
    os.environ["CONDA_PREFIX" if conda else "VIRTUAL_ENV"] = sys.prefix
    fd = _used(made)
    try:
        yield
    finally:
        if fd is not None:
            _touch(fd)
            os.close(fd)


def _touch(fd: int) -> None:
    try:
        os.pwrite(fd, b".", 0)  # unlike utime(), this is allowed to those who did not make the file
    except OSError:  # then it looks unused, and is made again when it is missed
        pass


def _used(made: Made) -> Optional[int]:
    try:
        fd = lock(made.path("used"), shared=True)
        if fd is not None:
            _touch(fd)
        return fd
    except OSError:  # the node may only read it, or its file system has no locks
        return None
