"""Lines in and out of a worker, and the standard streams its tasks see.

Knows file descriptors. Does not know what the lines mean.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, TextIO, Tuple

_BLOCK_BYTES = 256 * 1024


class Lines:
    """Lines read from a descriptor, one at a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._ready: List[bytes] = []
        self._tail = b""

    def next(self) -> Optional[bytes]:
        """Return the next line without its newline, or None at the end; blocks."""
        while not self._ready:
            parts = [self._tail]
            while True:
                block = os.read(self._fd, _BLOCK_BYTES)
                if not block:
                    return None
                parts.append(block)
                if b"\n" in block:
                    break
            lines = b"".join(parts).split(b"\n")
            self._tail = lines.pop()
            lines.reverse()
            self._ready = lines
        return self._ready.pop()


class Events:
    """Whole lines written to a descriptor, from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = allocate_lock()

    def send(self, line: bytes) -> None:
        """Write one line; blocks while the reader is behind, raises OSError if it is gone."""
        with self._lock:
            sent = os.write(self._fd, line)
            while sent < len(line):
                sent += os.write(self._fd, line[sent:])


class Output:
    """The standard streams of the tasks: stdin is empty, stdout and stderr are one file.

    After each task `settle` puts back what the task replaced, and `size` is the file's length, so
    that a task's output is known by two offsets. Where the output is no regular file, size is -1.
    """

    def __init__(self) -> None:
        self._kept = os.dup(2)
        found = os.fstat(2)
        self._inode = (found.st_dev, found.st_ino)
        self._regular = _is_regular(found.st_mode)
        self.last_size = 0
        self._open()

    def _open(self) -> None:
        self.out: TextIO = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)
        self.err: TextIO = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
        sys.stdout = sys.__stdout__ = self.out
        sys.stderr = sys.__stderr__ = self.err

    def settle(self) -> int:
        """Flush, put replaced streams back and return the output's length so far."""
        try:
            if sys.stdout is not self.out:
                sys.stdout.flush()
            if sys.stderr is not self.err:
                sys.stderr.flush()
            self.out.flush()
            self.err.flush()
        except Exception:  # what a task left as its stream may fail in any way
            self._open()
        sys.stdout, sys.stderr = self.out, self.err
        self.last_size = self._own(1)
        self._own(2)
        return self.last_size

    def _own(self, fd: int) -> int:
        try:
            found = os.fstat(fd)
        except OSError:
            os.dup2(self._kept, fd)
            found = os.fstat(fd)
        if (found.st_dev, found.st_ino) != self._inode:
            os.dup2(self._kept, fd)
            found = os.fstat(fd)
        return found.st_size if self._regular else -1


def _is_regular(mode: int) -> bool:
    return mode & 0o170000 == 0o100000


def take_over(stdout_too: bool) -> Tuple[int, int]:
    """Move frames away from the standard streams; return (requests, events) descriptors.

    From then on descriptor 0 is empty. With `stdout_too`, descriptor 1 is what 2 is, so that no
    task can write into the frames; without, it is left alone and the second value is -1.
    """
    requests = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    if not stdout_too:
        return requests, -1
    events = os.dup(1)
    os.dup2(2, 1)
    return requests, events
