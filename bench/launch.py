"""Starts one program, waits for it and says what it cost: a process of its own, and a small one.

A program inherits the peak memory of whoever started it, so the one that starts it must be
smaller than anything measured here. Reads the request as JSON from standard input, writes the
answer as JSON to standard output. Standard library alone, and little of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def launch(
    argv: list[str], env: dict[str, str], folder: str, log: str, timeout_s: float
) -> dict[str, object]:
    """Run the program in `folder`, its output into `log`, for `timeout_s` at most."""
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, output, 1)]
    actions += [(os.POSIX_SPAWN_DUP2, output, 2)]
    began = time.perf_counter()
    process = os.posix_spawnp(argv[0], argv, env, file_actions=actions, setsid=True)
    overdue: list[int] = []

    def end(number: int, frame: object) -> None:
        overdue.append(number)
        end_group(process)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    _, status, usage = os.wait4(process, 0)
    wall_s = time.perf_counter() - began
    signal.setitimer(signal.ITIMER_REAL, 0)
    end_group(process)
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_mib": usage.ru_maxrss / unit,
        "timed_out": bool(overdue),
    }


def end_group(group: int) -> None:
    """End the program and whatever it left behind."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nothing of it is left


if __name__ == "__main__":
    json.dump(launch(**json.load(sys.stdin)), sys.stdout)
