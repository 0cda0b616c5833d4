"""A warm worker: parcels in, messages out, until there are no more.

Knows messages and signals. Does not know how a version is run (`execute`) or who listens.
"""

from __future__ import annotations

import os
import signal
import sys

from . import channel, protocol, settle
from .context import Canceled
from .execute import IDLE, TASK, WORK, Executor, Refused
from .inputs import InputMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from .protocol import Message

FAULT = 70
"""The exit code of a worker that could not go on itself; its output says why."""


def serve() -> int:
    """Serve parcels from descriptor 0 and answer on what was descriptor 1, until the end of input.

    If whoever listens is gone, the whole process group ends at once.
    """
    requests, events = channel.take_over(stdout_too=True)
    return Worker(channel.Lines(requests), channel.Events(events).send).work()


class Worker:
    """One process that runs parcels one after the other."""

    def __init__(self, lines: channel.Lines, write: Callable[[bytes], None]) -> None:
        self._lines = lines
        self._write = write
        self._output = channel.Output()
        self._executor = Executor(self._output, self._send)

    def work(self) -> int:
        """Say hello and run what comes; return the exit code."""
        signal.signal(signal.SIGTERM, self._asked_to_end)
        settle.adopt_orphans()
        python = "%d.%d.%d" % sys.version_info[:3]
        self._send(protocol.hello(python, os.getpid(), self._output.settle()))
        try:
            while True:
                line = self._lines.next()
                if line is None:
                    return 0
                self._executor.phase = WORK
                if not self._run_parcel(protocol.read_parcel(line)):
                    return 0
                self._executor.phase = IDLE
        except Exception:  # not the task's: a full disk under the scratch folder, a bad message
            import traceback

            traceback.print_exc()
            return FAULT
        finally:
            self._executor.close()

    def _asked_to_end(self, number: int, _frame: Any) -> None:
        executor = self._executor
        if executor.inherited():
            # a process that the task forked is asked by the task, and ends as it would elsewhere;
            # an exception is no way: multiprocessing loses those that come while a child begins
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        first, executor.canceled = not executor.canceled, True
        if executor.phase == IDLE:
            raise SystemExit(0)
        if executor.phase == TASK and first:
            raise Canceled()

    def _run_parcel(self, parcel: Message) -> bool:
        executor, failed = self._executor, None
        refusal: Optional[Exception] = None
        try:
            executor.enter(parcel)
        except (Refused, InputMissing, OSError) as error:
            refusal = error
        for version in parcel["versions"]:
            if executor.canceled:
                break
            end = executor.run(version) if refusal is None else _refused(version, refusal)
            self._send(end)
            if failed is None and not end["ok"]:
                failed = end
        state = "canceled" if executor.canceled else "done"
        self._send(protocol.parcel_end(parcel["parcel"], state, failed))
        return not executor.canceled

    def _send(self, message: Message) -> None:
        try:
            self._write(protocol.encode(message))
        except BrokenPipeError:
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os._exit(1)


def _refused(version: Message, error: Exception) -> Message:
    import time

    reason = error.reason if isinstance(error, Refused) else "worker"
    reason = "input_missing" if isinstance(error, InputMissing) else reason
    now = time.time()
    return protocol.lost_end(version, reason, str(error), now, now, [0, 0])
