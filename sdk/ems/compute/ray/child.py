"""What runs one job on a node of a Ray cluster and writes down what became of it.

    python3 child.py FOLDER ORDER.json      one job, in the foreground: a Ray job's entrypoint
    python3 child.py FOLDER -               the order comes on standard input; goes on by itself

It is a file of its own that is copied to the cluster: standard library alone, nothing of EMS. In
the job's folder it writes

    ray.claim       made by whoever starts the job, or decides that it never will: only one can
    ray.json        {"state": "running" | "ended", "code", "signal", "why", "detail", "node"}
    ray.beat        a number that grows while it lives

and reads `ray.stop` {"grace", "why"}: SIGTERM at once, SIGKILL after the grace. Knows nothing of
Ray: a job goes on when the process that started it, and Ray with it, is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLAIM, STATE, BEAT, STOP = "ray.claim", "ray.json", "ray.beat", "ray.stop"
BEAT_S = 2.0
_LOOK_S = 0.25
_BURY_S = 2.0
CANCELED, UNSTARTED = 103, 111
# Ray's own words for the process that it started; a program of the user's begins afresh.
_RAYS_OWN = ("RAY_JOB_ID", "RAY_RAYLET_PID", "RAY_JOB_STOP_WAIT_TIME_S")


def claim(folder: str) -> bool:
    """Whether the job in this folder is now ours to start, or to end unstarted; once for ever."""
    try:
        os.close(os.open(os.path.join(folder, CLAIM), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    return True


def put(folder: str, name: str, data: dict[str, Any]) -> None:
    """Write a file of a job's folder whole at once."""
    path = os.path.join(folder, name)
    made = "%s.%d.new" % (path, os.getpid())
    with open(made, "w") as stream:
        json.dump(data, stream)
    os.replace(made, path)


def get(folder: str, name: str) -> dict[str, Any] | None:
    """Return what such a file holds; None where there is none."""
    try:
        with open(os.path.join(folder, name)) as stream:
            return json.load(stream)
    except (FileNotFoundError, ValueError):
        return None


def ended(why: str = "", detail: str = "", code: int | None = None) -> dict[str, Any]:
    """Return the state of a job that has ended; `why` is empty for one that ended by itself."""
    number = -code if code is not None and code < 0 else None
    return {
        "state": "ended", "why": why, "detail": detail, "signal": number,
        "code": None if number else code, "node": socket.gethostname(),
    }  # fmt: skip


class Child:
    """One job, from its claim to its end."""

    def __init__(self, folder: str, order: dict[str, Any], alone: bool) -> None:
        self._folder, self._order, self._alone = folder, order, alone
        self._stop: dict[str, Any] | None = None
        self._signaled = False
        self._deadline = float("inf")
        self._beat, self._beaten = 0, float("-inf")

    def run(self) -> dict[str, Any]:
        """Run it and return the state that it ended in."""
        stop = get(self._folder, STOP)
        if stop is not None:
            return self._end(ended(stop.get("why", "canceled"), "was ended before it started"))
        variables = {k: v for k, v in os.environ.items() if k not in _RAYS_OWN}
        variables.update(self._order["variables"])
        for name, reference in self._order["secrets"].items():
            try:
                variables[name] = secret(reference)
            except (OSError, KeyError) as error:
                told = "secret %s: %r can't be had on this node: %s" % (name, reference, error)
                return self._end(ended("environment", told))
        running = {"state": "running", "node": socket.gethostname(), "pid": os.getpid()}
        running["ray_node"] = self._order.get("ray_node", "")
        put(self._folder, STATE, running)
        keep_orphans()
        read, write = os.pipe()
        for end in (read, write):
            os.set_blocking(end, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # Ray blocks SIGINT
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        signal.signal(signal.SIGTERM, self._asked)
        process = subprocess.Popen(
            ["/bin/sh", "-c", self._order["line"]], env=variables, stdin=subprocess.DEVNULL,
            stdout=None if self._alone else subprocess.DEVNULL,
            stderr=None if self._alone else subprocess.DEVNULL, start_new_session=not self._alone,
        )  # fmt: skip
        return self._end(self._follow(process, read))

    def _asked(self, *_: Any) -> None:
        self._signaled = True

    def _follow(self, process: subprocess.Popen[bytes], woken: int) -> dict[str, Any]:
        began = time.monotonic()
        wall = self._order.get("wall_s")
        while process.poll() is None:
            now = time.monotonic()
            if now - self._beaten >= BEAT_S:
                self._live(now)
            if wall and now - began > wall:
                self._end_it(process, {"why": "timed_out", "grace": self._order["grace_s"]}, now)
            asked = get(self._folder, STOP)
            if asked is None and self._signaled:
                asked = {"why": "preempted", "grace": self._order["grace_s"]}
            if asked is not None:
                self._end_it(process, asked, now)
            if now >= self._deadline:
                self._signal(process, signal.SIGKILL)
            if select.select([woken], [], [], _LOOK_S)[0]:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
        kill_what_is_left()
        bury()
        return ended(**self._why(), code=process.returncode)

    def _why(self) -> dict[str, str]:
        why: str = (self._stop or {}).get("why", "")
        if why == "timed_out":
            return {"why": why, "detail": "ran longer than %g s in all" % self._order["wall_s"]}
        return {"why": why, "detail": (self._stop or {}).get("detail", "")}

    def _end_it(self, process: subprocess.Popen[bytes], asked: dict[str, Any], now: float) -> None:
        if self._stop is None:
            self._stop = asked
            self._deadline = now + asked.get("grace", 0)
            self._signal(process, signal.SIGTERM)

    def _signal(self, process: subprocess.Popen[bytes], number: int) -> None:
        """Tell the job's first process, which tells its own; what does not obey ends with all."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        if number == signal.SIGKILL:
            kill_what_is_left()

    def _live(self, now: float) -> None:
        self._beat, self._beaten = self._beat + 1, now
        path = os.path.join(self._folder, BEAT)
        # a full disk is the job's to complain of
        with contextlib.suppress(OSError), open(path, "w") as stream:
            stream.write(str(self._beat))

    def _end(self, state: dict[str, Any]) -> dict[str, Any]:
        put(self._folder, STATE, state)
        return state


def descendants(first: int) -> list[int]:
    """Return the processes below one; none without /proc."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open("/proc/%d/stat" % int(name)) as stream:
                fields = stream.read().rpartition(")")[2].split()
            parents[int(name)] = int(fields[1])
    found, new = set[int](), {first}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return sorted(found)


def keep_orphans() -> None:
    """Be the parent of what a job's processes leave behind when they end (Linux)."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def kill_what_is_left() -> None:
    """Kill all that runs below this process."""
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def bury() -> None:
    """Reap what was killed: a container's first process may not, and Ray waits for zombies too."""
    deadline = time.monotonic() + _BURY_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.02)


def _wake(*_: Any) -> None:
    """The wakeup descriptor does the work; a signal needs a handler for it."""


def secret(reference: str) -> str:
    """Return the secret that a reference (`env:NAME`, `file:PATH`) names on this node."""
    kind, _, where = reference.partition(":")
    if kind == "env":
        return os.environ[where]
    if kind == "file":
        with open(os.path.expanduser(where)) as stream:
            return stream.read().strip()
    raise KeyError("no reference (allowed: env:NAME, file:PATH)")


def alone(folder: str, path: str) -> int:
    """Be a Ray job's entrypoint; return its exit code."""
    with open(path) as stream:
        order = json.load(stream)
    if not claim(folder):
        sys.stderr.write("%s: was started, or ended, before\n" % folder)
        return UNSTARTED
    state = Child(folder, order, alone=True).run()
    if state["signal"]:
        signal.signal(state["signal"], signal.SIG_DFL) if state["signal"] != 9 else None
        os.kill(os.getpid(), state["signal"])
    if state["code"] is None:
        sys.stderr.write("%s\n" % state["detail"])
        return CANCELED if state["why"] == "canceled" else UNSTARTED
    return state["code"]


def by_itself(folder: str) -> int:
    """Leave the process that started us, run the job, and tell its end to whoever still listens.

    Ray ends the children of a process that it ends, so this is no child of it.
    """
    order = json.loads(sys.stdin.readline())
    if os.fork():
        return 0
    state = Child(folder, order, alone=False).run() if claim(folder) else {"state": "claimed"}
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(state) + "\n")
        sys.stdout.flush()
    return 0


def main(words: list[str]) -> int:
    """Run one job."""
    return by_itself(words[0]) if words[1] == "-" else alone(*words)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code & 0xFF)
