"""What a job writes, as lines: an offset into its output, and what of the last line is there.

Knows bytes. Does not know where they come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_LONGEST_LINE = 64 * 1024


@dataclass
class Stream:
    """One growing output, followed by one watcher."""

    offset: int = 0
    tail: bytes = b""

    def lines(self, data: bytes, *, last: bool = False) -> Iterator[bytes]:
        """Yield the lines that have come to their end, with it; of the last one what is there.

        A line that is longer than 64 KiB comes in pieces.
        """
        lines = (self.tail + data).split(b"\n")
        self.tail = lines.pop()
        for line in lines:
            yield line + b"\n"
        while len(self.tail) > _LONGEST_LINE:
            yield self.tail[:_LONGEST_LINE]
            self.tail = self.tail[_LONGEST_LINE:]
        if last and self.tail:
            yield self.tail
            self.tail = b""
