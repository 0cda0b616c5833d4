"""The least scheduler that is one: a job is a detached process of this machine, at once.

What it knows of a job stands in the job's folder, so that another process knows it too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ems.compute.backend import Capabilities, Room
from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Native, Order, Refused
from ems.compute.variables import resolve
from ems.errors import EmsError

_LINE = "echo $$ >pid.new && mv pid.new pid; ({shell}); echo $? >code.new && mv code.new code"
_KILLER = """
import os, signal, sys, time
from ems.worker.usage import kill_descendants
pid = int(sys.argv[1])
time.sleep(float(sys.argv[2]))
kill_descendants(pid, signal.SIGKILL)
try:
    os.kill(pid, signal.SIGKILL)
except ProcessLookupError:
    pass
"""


class Processes:
    """Jobs as processes; `most_cpus` is what one may ask for. `down` stands for a place that is."""

    kind = "processes"
    capabilities = Capabilities(durable=True, targets=("spooled",))

    def __init__(self, folder: Path, most_cpus: float = 8) -> None:
        self._jobs = folder / "jobs"
        self._most = most_cpus
        self.started: list[str] = []

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        return [self._start(order) for order in orders]

    def _start(self, order: Order) -> Refused | None:
        if order.resources.cpus > self._most:
            detail = f"needs {order.resources.cpus:g} CPUs, and there are {self._most:g}"
            return Refused(Reason.IMPOSSIBLE, detail)
        try:
            secrets = {name: resolve(name, ref) for name, ref in order.secrets.items()}
        except EmsError as error:
            return Refused(Reason.WORKER, str(error))
        folder = self._jobs / order.id
        try:
            (folder / "started").touch(exist_ok=False)
        except FileExistsError:
            return None
        self.started.append(order.id)
        subprocess.Popen(
            ["sh", "-c", _LINE.format(shell=order.shell())],
            cwd=folder, env={**os.environ, **order.variables, **secrets}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return None

    def look(self, ids: Sequence[str]) -> Mapping[str, Native]:
        return {each: found for each in ids if (found := self._native(self._jobs / each))}

    def _native(self, folder: Path) -> Native | None:
        code, pid = _number(folder / "code"), _number(folder / "pid")
        if code is not None:
            ended = JobState.FAILED if code else JobState.SUCCEEDED
            return Native(ended, Reason.EXIT if code else None, exit_code=code)
        if pid is None:
            started = (folder / "started").exists()
            return Native(JobState.SUBMITTED) if started else None
        if _lives(pid):
            return Native(JobState.RUNNING)
        return Native(JobState.FAILED, Reason.LOST, "its process is gone")

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        for each in ids:
            pid = _number(self._jobs / each / "pid")
            if pid is not None and _lives(pid):
                for child in _children(pid):
                    os.kill(child, signal.SIGTERM)
                words = [sys.executable, "-c", _KILLER, str(pid), str(grace_s)]
                subprocess.Popen(words, start_new_session=True)

    def forget(self, ids: Sequence[str]) -> None:
        pass

    def room(self) -> Room:
        return Room(self._most, self._most)

    def version(self) -> str:
        return "processes 1"

    def close(self) -> None:
        pass


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children(pid: int) -> list[int]:
    """Return the processes below the shell: the subshell has become the worker."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(word) for word in words]
