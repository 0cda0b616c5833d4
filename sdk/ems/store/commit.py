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
        self._soft: list[int] = []
        self.lock = threading.RLock()
        """Held while something is decided that must still be true when it is written."""

    def refresh(self) -> None:
        """Take new segments into the index."""
        replay(self._log, self._index)

    def commit(
        self, runner: str, entries: Sequence[Entry], lines: Sequence[bytes] | None = None
    ) -> dict[bytes, Hit]:
        """Publish entries that hold whatever came before; `harden` makes them durable.

        Returns versions whose records came second, with the winner.
        """
        self.may_write()
        body = Body(entries, lines if lines is not None else [encode(e) for e in entries])
        with self.lock:
            while True:
                segment = self._log.publish(self._index.applied + 1, runner, body)
                if segment is not None:
                    self._soft.append(segment.n)
                    return self._index.apply([segment])
                self.refresh()

    def attempt(self, runner: str, decide: Callable[[], Sequence[Entry]]) -> bool:
        """Publish what `decide` returns if nothing came before it; False: decide again.

        Never hardened: what is written so is worth little after a power cut. True as well where
        there was nothing to write.
        """
        self.may_write()
        with self.lock:
            entries = decide()
            if not entries:
                return True
            body = Body(entries, [encode(e) for e in entries])
            segment = self._log.publish(self._index.applied + 1, runner, body)
            if segment is None:
                self.refresh()
                return False
            self._index.apply([segment])
            return True

    def harden(self) -> None:
        """Return when all that was committed would survive a power cut.

        Not under the lock: others, and claims of our own, go on while the disk is written.
        """
        soft, self._soft = self._soft, []
        try:
            self._log.harden(soft)
        except BaseException:
            self._soft[:0] = soft
            raise

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
