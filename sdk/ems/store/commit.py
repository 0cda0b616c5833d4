"""Committing to the log and taking it into the index: the one place where both move.

Knows order and conflicts. Does not know threads' queues, nor leases.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ems.errors import StoreError
from ems.store.answers import Hit
from ems.store.entries import Entry, encode
from ems.store.index import Index
from ems.store.log import Log
from ems.store.segment import Body


class Committer:
    """Publishes entries as the next segment, after reading all before it."""

    def __init__(self, log: Log, index: Index, writable: bool, url: str) -> None:
        self._log = log
        self._index = index
        self._writable = writable
        self._url = url
        self.lock = threading.RLock()
        """Held while something is decided that must still be true when it is written."""

    def refresh(self) -> None:
        """Take new segments into the index."""
        replay(self._log, self._index)

    def commit(
        self, runner: str, entries: Sequence[Entry], lines: Sequence[bytes] | None = None
    ) -> dict[bytes, Hit]:
        """Publish entries that hold whatever came before; durable when it returns.

        Returns versions whose records came second, with the winner.
        """
        self.may_write()
        body = Body(entries, lines if lines is not None else [encode(e) for e in entries])
        with self.lock:
            while True:
                segment = self._log.publish(self._index.applied + 1, runner, body, durable=True)
                if segment is not None:
                    return self._index.apply([segment])
                self.refresh()

    def attempt(self, runner: str, decide: Callable[[], Sequence[Entry]]) -> bool:
        """Publish what `decide` returns if nothing came before it; False: decide again.

        Not synced: what is written so is worth little after a power cut. True as well where
        there was nothing to write.
        """
        self.may_write()
        with self.lock:
            entries = decide()
            if not entries:
                return True
            body = Body(entries, [encode(e) for e in entries])
            segment = self._log.publish(self._index.applied + 1, runner, body, durable=False)
            if segment is None:
                self.refresh()
                return False
            self._index.apply([segment])
            return True

    def may_write(self) -> None:
        """Raise StoreError where the store is only read."""
        if not self._writable:
            raise StoreError(
                self._url,
                "the store may not be written (read-only); reading it is fine",
                "a store that you may write to: `store:` in .ems.yaml",
            )


def replay(log: Log, index: Index) -> None:
    """Bring an index up to the log."""
    while True:
        segments = log.after(index.catch_up())
        if not segments:
            return
        index.apply(segments)
