"""Lines over pipes that never block: reading what has come, writing what fits.

Knows descriptors. Does not know what lines mean; the caller waits for readiness.
"""

from __future__ import annotations

import os
from collections import deque

_BLOCK_BYTES = 1024 * 1024
_MOST_BLOCKS = 16


class LineReader:
    """Whole lines from a non-blocking descriptor."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._parts: list[bytes] = []

    def read(self) -> tuple[list[bytes], bool]:
        """Return the lines that are complete now, without newlines, and whether more can come."""
        lines: list[bytes] = []
        for _ in range(_MOST_BLOCKS):
            try:
                block = os.read(self.fd, _BLOCK_BYTES)
            except BlockingIOError:
                return lines, True
            if not block:
                return lines, False
            head, newline, rest = block.partition(b"\n")
            self._parts.append(head)
            if newline:
                lines.append(b"".join(self._parts))
                more = rest.split(b"\n")
                self._parts = [more.pop()]
                lines.extend(more)
            if len(block) < _BLOCK_BYTES:
                break
        return lines, True


class LineWriter:
    """Bytes to a non-blocking descriptor, as fast as the other side takes them."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._waiting: deque[memoryview] = deque()

    @property
    def pending(self) -> bool:
        """Whether something is left to be written."""
        return bool(self._waiting)

    def put(self, data: bytes) -> None:
        """Write what fits now and keep the rest; raises BrokenPipeError if the reader is gone."""
        self._waiting.append(memoryview(data))
        self.flush()

    def flush(self) -> None:
        """Write what fits now; raises BrokenPipeError if the reader is gone."""
        while self._waiting:
            part = self._waiting[0]
            try:
                sent = os.write(self.fd, part)
            except BlockingIOError:
                return
            if sent == len(part):
                self._waiting.popleft()
            else:
                self._waiting[0] = part[sent:]
