"""Ends worker groups when this process is gone, however it went.

A shell holds the other end of a pipe. When the pipe closes, which a kill -9 does too, it kills the
process groups that were named last, and on Linux all that carries the workers' mark in its
environment: what left its group. It sleeps in a read otherwise.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

_SCRIPT = """
trap '' HUP INT TERM QUIT
groups=
while IFS= read -r line; do groups=$line; done
for group in $groups; do kill -s KILL -- "-$group"; done
[ -n "$groups" ] && [ -d /proc/self ] || exit 0
for file in $(grep -ls -- "$1" /proc/[0-9]*/environ); do
  file=${file%/environ}
  [ "$(cat "$file/comm")" = ems-supervisor ] && continue  # it looks after jobs that outlive this
  kill -s KILL "${file#/proc/}"
done
"""


class Lifeline:
    """The shell and the pipe to it; started with the first group."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None

    def name(self, groups: Iterable[int]) -> None:
        """Say which process groups must not outlive this process, in place of all said before."""
        named = list(groups)
        line = " ".join(map(str, named)).encode() + b"\n"
        process = self._process
        if process is None:
            if line == b"\n":
                return
            process = self._process = self._start()
        if process.stdin is not None:
            try:
                process.stdin.write(line)
            except BrokenPipeError:  # somebody killed the shell; the next one knows all there is
                self._process = None
                process.wait()
                self.name(named)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
            cwd="/",
        )

    def close(self) -> None:
        """Let go: nothing is killed."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(b"\n")
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.wait()
