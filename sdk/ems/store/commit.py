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
from ems.store.segment import Body, Segment


class Committer:
    """Publishes entries as the next segment, after reading all before it."""

    def __init__(self, log: Log, index: Index, writable: bool, url: str) -> None:
        self._log = log
        self._index = index
        self._writable = writable
        self._url = url
        self._soft: list[int] = []
        self._soft_lock = threading.Lock()
        self._gapless = False
        self.lock = threading.RLock()
        """Held while something is decided that must still be true when it is written."""

    def close_gaps(self) -> None:
        """Never write into a hole: where a segment was lost, go on behind the last.

        Once is enough, before the first that we publish: from then on all is read in order.
        """
        with self.lock:
            close_gaps(self._log, self._index)
            self._gapless = True

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
                segment = self._publish(runner, body)
                if segment is not None:
                    return self._index.apply([segment])
                self.refresh()

    def attempt(self, runner: str, decide: Callable[[], Sequence[Entry]]) -> bool:
        """Publish what `decide` returns if nothing came before it; False: decide again.

        Hardened with what is committed next, and nobody waits for it: by itself it is worth
        little after a power cut, but it must not leave a hole. True as well where there was
        nothing to write.
        """
        self.may_write()
        with self.lock:
            if not self._gapless:
                self.close_gaps()  # what is decided must know all that was said
            entries = decide()
            if not entries:
                return True
            body = Body(entries, [encode(e) for e in entries])
            segment = self._publish(runner, body)
            if segment is None:
                self.refresh()
                return False
            self._index.apply([segment])
            return True

    def harden(self) -> None:
        """Return when all that was committed would survive a power cut.

        Not under the lock: others, and claims of our own, go on while the disk is written.
        """
        with self._soft_lock:
            soft, self._soft = self._soft, []
        try:
            self._log.harden(soft)
        except BaseException:
            with self._soft_lock:
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

    def _publish(self, runner: str, body: Body) -> Segment | None:
        if not self._gapless:
            self.close_gaps()
        segment = self._log.publish(self._index.applied + 1, runner, body)
        if segment is not None:
            with self._soft_lock:
                self._soft.append(segment.n)
        return segment


def close_gaps(log: Log, index: Index) -> None:
    """Bring an index up to the last segment, whatever is missing before it."""
    if log.probes:  # a listing has no need of it
        for segments in log.all(index.catch_up()):
            if segments:
                index.apply(segments)


def replay(log: Log, index: Index) -> None:
    """Bring an index up to the log; when it is built, no hole ends it."""
    if not index.catch_up():
        close_gaps(log, index)
    while True:
        segments = log.after(index.catch_up())
        if not segments:
            return
        index.apply(segments)
