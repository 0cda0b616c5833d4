"""How far a worker is with its parcel, and what becomes of it when the worker is lost.

Knows messages, limits and the order of versions: they run one after the other. Does not know
processes; both who starts workers here and the one-shot worker ask it.
"""

from __future__ import annotations

import time

from . import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

    from .protocol import Message


_EPOCH = time.time() - time.monotonic()


def steady_now() -> float:
    """Return seconds since the epoch by a clock that runs evenly, whoever sets the other one."""
    return _EPOCH + time.monotonic()


class Progress:
    """Follows one parcel through the lines that come back. Times are those of `steady_now`."""

    def __init__(
        self,
        parcel: Message,
        now: float,
        seconds: Optional[float] = None,
        gib: Optional[float] = None,
    ) -> None:
        """Follow `parcel`; `seconds` and `gib` limit tasks that bring no limit of their own."""
        self.parcel = parcel
        self._default = (seconds or None, gib or None)
        self.since = now
        self._meets = False
        """Whether a gang's member waits for the others: no time of its command passes."""
        self.index = 0
        self.failed: Optional[Message] = None
        self._versions: List[Message] = parcel["versions"]
        self._last_end = b""
        self._log_end = int(parcel.get("log_from") or 0)

    @property
    def current(self) -> Optional[Message]:
        """The version that runs now, or None when all have ended."""
        return self._versions[self.index] if self.index < len(self._versions) else None

    def note(self, line: bytes, now: float) -> None:
        """Take notice of one line from the worker."""
        if not line.startswith(protocol.END_PREFIX):
            if line.startswith((protocol.READY_PREFIX, protocol.MET_PREFIX)):
                self._meets = line.startswith(protocol.READY_PREFIX)
                self.since = now
            return
        self.index += 1
        self.since, self._meets = now, False
        self._last_end = line
        at = line.find(b'"ok":')  # stands before anything that a task can say
        if self.failed is None and line[at + 5 : at + 6] == b"f":
            self.failed = protocol.decode(line)

    def limits(self) -> Tuple[Optional[float], Optional[float]]:
        """Return (seconds, GiB) that the current version may take; None is no limit."""
        version = self.current
        if version is None:
            return None, None
        task = self.parcel["tasks"][version["task"]]
        seconds, gib = self._default
        seconds = None if self._meets else task.get("timeout_s") or seconds
        return seconds, task.get("memory_gib") or gib

    def verdict(self, now: float, resident: Optional[int]) -> Optional[Tuple[str, str]]:
        """Return (reason, sentence) if the current version must be ended, given its memory."""
        seconds, gib = self.limits()
        if seconds is not None and now - self.since > seconds:
            return "timed_out", "ran longer than its timeout of %g s" % seconds
        if gib is not None and resident is not None and resident > gib * 2**30:
            used = resident / 2.0**30
            return "out_of_memory", "used %s, and its limit is %s" % (_gib(used), _gib(gib))
        return None

    def lost(
        self,
        reason: str,
        sentence: str,
        now: float,
        log_end: int,
        exit_code: Optional[int] = None,
        signal: Optional[int] = None,
        resident: int = 0,
    ) -> Message:
        """Return the `end` of the current version, whose worker is gone, and go on to the next."""
        version = self.current
        assert version is not None
        log = [self._log_start(), max(log_end, self._log_start())]
        message = protocol.lost_end(
            version, reason, sentence, self.since, now, log, exit_code, signal
        )
        message["rss_mib"] = round(resident / 2.0**20, 1)
        self._pass(message, now)
        return message

    def give_up(self, reason: str, sentence: str, now: float) -> List[Message]:
        """Return an `end` for every version that has none; they never started."""
        made: List[Message] = []
        while self.current is not None:
            message = protocol.lost_end(self.current, reason, sentence, now, now, None)
            self._pass(message, now)
            made.append(message)
        return made

    def rest(self, log_from: int) -> Optional[Message]:
        """Return a parcel of the versions that have not ended, or None."""
        if self.current is None:
            return None
        return {**self.parcel, "versions": self._versions[self.index :], "log_from": log_from}

    def _pass(self, message: Message, now: float) -> None:
        if self.failed is None:
            self.failed = message
        if message["log"] is not None:
            self._log_end, self._last_end = message["log"][1], b""
        self.index += 1
        self.since, self._meets = now, False

    def _log_start(self) -> int:
        if self._last_end:
            log = protocol.decode(self._last_end).get("log")
            self._last_end = b""
            self._log_end = log[1] if log else self._log_end
        return self._log_end


def _gib(amount: float) -> str:
    return "%.3g GiB" % amount if amount >= 1 else "%.3g MiB" % (amount * 1024)
