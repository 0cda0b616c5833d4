"""Warm workers: processes that run parcel after parcel, kept for the next that suits them.

Knows processes, their pipes and their output files. Does not know jobs; an owner hangs its own
record on a worker (`busy`).
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ems.compute import live, ship, variables
from ems.compute.lifeline import Lifeline
from ems.compute.pipes import LineReader, LineWriter
from ems.worker import scratch, usage

_PIPE_BYTES = 1024 * 1024
_MARK = "EMS_WORKER"
"""The variable by which whatever a task started is found. A run inside a task adds to it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What workers must have in common to stand in for each other."""

    python: str
    code: str
    environment: str
    threads: int
    gpus: tuple[str, ...] | None
    variables: tuple[tuple[str, str], ...]
    secrets: tuple[tuple[str, str], ...]


class Worker:
    """One worker process, as seen from outside."""

    def __init__(self, kind: Kind, process: subprocess.Popen[bytes], log: Path, mark: str) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.kind = kind
        self.process = process
        self.pid = process.pid
        self.log = log
        self.mark = mark
        self.reader = LineReader(process.stdout.fileno())
        self.writer = LineWriter(process.stdin.fileno())
        self.greeted = False
        self.ending = False
        self.busy: str | None = None
        self.scratch_roots: set[str] = set()
        self.pidfd = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else -1

    def log_size(self) -> int:
        """Return how long the output file is."""
        return os.stat(self.log).st_size

    def ask_to_end(self) -> None:
        """Send SIGTERM: what it runs may write a checkpoint, then it ends."""
        try:
            os.kill(self.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """Kill the worker with all that it started."""
        usage.kill_session(self.pid, signal.SIGKILL)


class Pool:
    """Starts workers, keeps idle ones, and tells a selector what to watch.

    The selector's data is `(what, worker)`; `what` is "read", "write" or "gone".
    """

    def __init__(self, cache: Path, folder: Path, selector: selectors.BaseSelector) -> None:
        self._cache = cache
        self._folder = folder
        self._selector = selector
        self._app: Path | None = None
        self._mark = f"{os.environ.get(_MARK, '')}/{os.urandom(6).hex()}-"
        self._lifeline = Lifeline(self._mark)
        self._count = 0
        self.most_idle = 2
        self.tells_ends = hasattr(os, "pidfd_open")
        self.workers: dict[int, Worker] = {}
        self._idle: list[Worker] = []

    def take(self, kind: Kind) -> Worker:
        """Return an idle worker of this kind, or a new one."""
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at].kind == kind:
                return self._idle.pop(at)
        self._free_gpus(kind)
        return self._start(kind)

    def _free_gpus(self, kind: Kind) -> None:
        """End idle workers that may still hold memory of the GPUs that a new one gets."""
        wanted = set(kind.gpus or ())
        for worker in [each for each in self._idle if wanted.intersection(each.kind.gpus or ())]:
            self.end(worker)

    def give_back(self, worker: Worker) -> None:
        """Keep a worker for the next parcel; the longest idle ones end when there are too many."""
        worker.busy = None
        if worker.ending:
            self.end(worker)
            return
        self._idle.append(worker)
        while len(self._idle) > self.most_idle:
            self.end(self._idle[0])

    def _start(self, kind: Kind) -> Worker:
        if self._app is None:
            self._app = ship.extracted(self._cache)
            self._folder.mkdir(parents=True, exist_ok=True)
            live.sweep(self._folder)
        self._count += 1
        mark = f"{self._mark}{self._count}."
        log = self._folder / f"worker-{self._count}.log"
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        try:
            process = subprocess.Popen(
                [kind.python or sys.executable, str(self._app), "serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=variables.of_worker(
                    kind.threads,
                    kind.gpus,
                    {**dict(kind.variables), _MARK: mark},
                    dict(kind.secrets),
                ),
                start_new_session=True,
                bufsize=0,
                pipesize=_PIPE_BYTES,
            )
        finally:
            os.close(output)
        worker = Worker(kind, process, log, mark)
        self.workers[worker.pid] = worker
        self._lifeline.name(self.workers)
        self._selector.register(worker.reader.fd, selectors.EVENT_READ, ("read", worker))
        if worker.pidfd >= 0:
            self._selector.register(worker.pidfd, selectors.EVENT_READ, ("gone", worker))
        return worker

    def send(self, worker: Worker, line: bytes) -> None:
        """Give a worker a line; what does not fit now is written when the selector says so."""
        try:
            worker.writer.put(line)
        except BrokenPipeError:  # it is gone, which its end will tell
            return
        self.watch_writes(worker)

    def watch_writes(self, worker: Worker) -> None:
        """Watch for room in the worker's pipe if and only if something waits to be written."""
        watched = worker.writer.fd in self._selector.get_map()
        if worker.writer.pending and not watched:
            self._selector.register(worker.writer.fd, selectors.EVENT_WRITE, ("write", worker))
        elif watched and not worker.writer.pending:
            self._selector.unregister(worker.writer.fd)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def gone(self) -> list[Worker]:
        """Return workers whose process has ended, where the selector can't tell."""
        return [
            each
            for each in self.workers.values()
            if each.pidfd < 0 and each.process.poll() is not None
        ]

    def end(self, worker: Worker) -> int:
        """Kill a worker with all that it started, free what it held, return its exit status."""
        worker.kill()
        status = worker.process.wait()
        if worker.busy is not None:  # an idle one has ended all that its tasks started
            usage.kill_marked(worker.mark)
        if self.workers.pop(worker.pid, None) is None:
            return status
        if worker in self._idle:
            self._idle.remove(worker)
        for fd in (worker.reader.fd, worker.writer.fd, worker.pidfd):
            self.unwatch(fd)
        for stream in (worker.process.stdin, worker.process.stdout):
            if stream is not None:
                stream.close()
        if worker.pidfd >= 0:
            os.close(worker.pidfd)
        self._lifeline.name(self.workers)
        for root in worker.scratch_roots:
            scratch.remove(scratch.home_of(os.path.realpath(root), worker.pid))
        return status

    def close(self) -> None:
        """End every worker."""
        for worker in list(self.workers.values()):
            self.end(worker)
        self._lifeline.close()
