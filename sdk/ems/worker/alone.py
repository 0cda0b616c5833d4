"""One parcel without anybody watching: what a batch job or a robot runs.

A keeper process starts the worker, writes its messages to a file, holds it to its limits of time
and memory, and goes on with the next version when the worker is lost. Limits hold with no network.
"""

from __future__ import annotations

import os
import select
import signal

from . import protocol, usage
from .channel import Events, Lines, take_over
from .made import held
from .memory_kills import MemoryKills
from .program import signal_name
from .progress import Progress, steady_now
from .serve import FAULT, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from .protocol import Message

DONE, TASK_FAILED, PREEMPTED, CANCELED = 0, 100, 101, 103
_AT_THE_LIMIT = "ran into the limit of time of its whole job"
_LOOK_S = 0.2
_MEMORY_LOOK_S = 0.5
_BLOCK_BYTES = 256 * 1024


def run(parcel_path: str, events_path: str) -> int:
    """Run a parcel and append its messages to a file.

    Returns 0 if every version ended well, 100 if one did not, 101 after a SIGTERM that EMS did not
    ask for (a cluster takes the machine back), 103 after one that it did: then there is a file
    EVENTS.cancel. A file EVENTS.timeout says that the SIGTERM came at the limit of time of the
    whole job: versions that have not ended are timed out then, and 100 is returned.
    """
    with open(parcel_path, "rb") as stream:
        parcel = protocol.read_parcel(stream.read())
    if parcel.get("gang"):
        parcel["gang"]["peers"] = os.path.abspath(events_path) + ".peers"
    os.environ["EMS_CANCEL"] = os.path.abspath(events_path) + ".cancel"
    out = os.open(events_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with held():
        return _Keeper(parcel, out, events_path).run()


class _Keeper:
    def __init__(self, parcel: Message, out: int, events_path: str) -> None:
        self._out = Events(out)
        self._events_path = events_path
        self._kills = MemoryKills()
        self._progress = Progress(parcel, steady_now())
        self._courier = int(os.environ.pop("EMS_COURIER", "0"))
        """The process that carries out what is said here, where there is one (`courier`)."""
        self._stopped = False
        self._child = 0
        self._tail = b""
        self._verdict: Any = None
        self._looked = 0.0
        self._resident = 0

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._asked_to_end)
        left = self._progress.rest(_log_size())
        while left is not None and not self._stopped:
            status = self._one_worker(left)
            if self._progress.current is not None and not self._stopped:
                self._lost(status)
            left = self._progress.rest(_log_size())
        why = self._why_stopped()
        unended = _AT_THE_LIMIT if why == "timed_out" else "was not brought to its end"
        for message in self._progress.give_up(why, unended, steady_now()):
            self._out.send(protocol.encode(message))
        failed = self._progress.failed
        stopped = self._stopped and why != "timed_out"
        state = why if stopped else "done"
        parcel = self._progress.parcel["parcel"]
        self._out.send(protocol.encode(protocol.parcel_end(parcel, state, failed)))
        if stopped:
            return CANCELED if why == "canceled" else PREEMPTED
        return TASK_FAILED if failed else DONE

    def _why_stopped(self) -> str:
        """Return the word for a SIGTERM, which tells not who sent it."""
        if os.path.exists(self._events_path + ".cancel"):
            return "canceled"
        at_the_limit = os.path.exists(self._events_path + ".timeout")
        return "timed_out" if at_the_limit else "preempted"

    def _asked_to_end(self, _number: int, _frame: Any) -> None:
        self._stopped = True
        if self._child:
            os.kill(self._child, signal.SIGTERM)

    def _one_worker(self, parcel: Message) -> int:
        """Run a worker over a parcel until it is gone; return its wait status."""
        requests, give = os.pipe()
        take, events = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            os.close(give)
            os.close(take)
            os._exit(_be_worker(requests, events))
        self._child = pid
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.close(requests)
        os.close(events)
        self._progress.since, self._verdict, self._tail = steady_now(), None, b""
        self._resident = 0
        try:
            Events(give).send(protocol.encode(parcel))
        except BrokenPipeError:
            pass
        os.close(give)
        gone = self._follow(take)
        os.close(take)
        self._child = 0
        status = os.waitpid(pid, 0)[1] if gone is None else gone
        usage.kill_session(pid, signal.SIGKILL)
        return status

    def _follow(self, take: int) -> Optional[int]:
        """Pass messages on until the worker is gone; return its wait status if it is known."""
        while True:
            if select.select([take], [], [], _LOOK_S)[0]:
                block = os.read(take, _BLOCK_BYTES)
                if not block:
                    return None
                lines = (self._tail + block).split(b"\n")
                self._tail = lines.pop()
                for line in lines:
                    self._pass_on(line)
            else:
                pid, status = os.waitpid(self._child, os.WNOHANG)
                if pid:
                    return status  # and something that it started still holds the pipe
            self._look()

    def _pass_on(self, line: bytes) -> None:
        if line.startswith(protocol.END_PREFIX):
            line = self._corrected(line)
        self._progress.note(line, steady_now())
        if not line.startswith(protocol.PARCEL_PREFIX):
            self._out.send(line + b"\n")

    def _corrected(self, line: bytes) -> bytes:
        """Return a version's end with what a worker can't know: who sent its signals."""
        killed = self._kills.grew()
        if killed and b'"signal":%d' % signal.SIGKILL in line:
            return protocol.for_another_reason(
                line, "signal", "out_of_memory", self._kills.sentence(), signal.SIGKILL
            )
        why = self._why_stopped()
        if why == "preempted":
            return protocol.preempted(line)
        if why == "timed_out":
            return protocol.for_another_reason(line, "canceled", why, _AT_THE_LIMIT, signal.SIGTERM)
        return line

    def _look(self) -> None:
        if self._courier and os.getppid() != self._courier:
            usage.kill_session(self._child, signal.SIGKILL)  # nobody would hear of it any more
            os._exit(PREEMPTED)
        now = steady_now()
        if self._verdict is None and now - self._looked >= _MEMORY_LOOK_S:
            self._looked = now
            if self._progress.limits()[1] is not None:
                self._resident = usage.resident_bytes([self._child])[self._child]
        if self._verdict is None:
            self._verdict = self._progress.verdict(now, self._resident)
            if self._verdict is not None:
                usage.kill_session(self._child, signal.SIGKILL)

    def _lost(self, status: int) -> None:
        exit_code = number = None
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            told = ("signal", "the worker was ended by %s" % signal_name(number))
            if number == signal.SIGKILL and self._kills.grew():
                told = ("out_of_memory", self._kills.sentence())
        elif os.WEXITSTATUS(status) == FAULT:
            told = ("worker", "the worker could not go on; its output says why")
        else:
            exit_code = os.WEXITSTATUS(status)
            told = ("exit", "the task ended its process with exit code %d" % exit_code)
        reason, sentence = self._verdict or told
        message = self._progress.lost(
            reason, sentence, steady_now(), _log_size(), exit_code, number, self._resident
        )
        self._out.send(protocol.encode(message))


def _be_worker(requests: int, events: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        os.setsid()
        take_over(stdout_too=False)
        return Worker(Lines(requests), Events(events).send).work()
    except SystemExit:
        return 0
    except BaseException:
        import traceback

        traceback.print_exc()
        return FAULT


def _log_size() -> int:
    found = os.fstat(2)
    return found.st_size if found.st_mode & 0o170000 == 0o100000 else 0
