"""Processes of one cluster: started apart from this one, remembered in its folder, ended by id.

Knows pids and log files. Does not know what runs in them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class Processes:
    """What was started for a folder; another object on the same folder knows them too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "processes.json"

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        """Start a command in the background, if it does not run already; its output is logged."""
        if self.runs(name):
            return
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._write({**self._read(), name: (process.pid, _started(process.pid))})

    def runs(self, name: str) -> bool:
        """Whether it is alive: the same process, not another that has its id by now."""
        pid, started = self._read().get(name, (0, ""))
        return bool(pid) and _started(pid) == started != ""

    def pid(self, name: str) -> int:
        """Return its process id."""
        return self._read()[name][0]

    def end(self, name: str, how: signal.Signals = signal.SIGTERM, within_s: float = 10) -> None:
        """End one, and wait until it is gone; harder if it does not go."""
        known = self._read()
        if self.runs(name):
            pid = known[name][0]
            os.kill(pid, how)
            if not wait(lambda: not self.runs(name), within_s):
                os.kill(pid, signal.SIGKILL)
                wait(lambda: not self.runs(name), within_s)
        self._write({other: one for other, one in known.items() if other != name})

    def tail(self, name: str, lines: int = 5) -> str:
        """Return the end of a log, for an error."""
        log = self.folder / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

    def _read(self) -> dict[str, tuple[int, str]]:
        if not self._file.exists():
            return {}
        return {name: (pid, at) for name, (pid, at) in json.loads(self._file.read_text()).items()}

    def _write(self, known: dict[str, tuple[int, str]]) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(known))
        part.replace(self._file)


def wait(done: Callable[[], bool], within_s: float, every_s: float = 0.05) -> bool:
    """Wait until it is so; False if it is not in time."""
    end = time.monotonic() + within_s
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)
    return True


def _started(pid: int) -> str:
    """Return when a process was started, in ticks since boot; empty where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()
    if state in "ZX":
        _reap(pid)
        return ""
    return rest[18]


def _reap(pid: int) -> None:
    """Take the exit status of a child of ours, so that it is not left as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
