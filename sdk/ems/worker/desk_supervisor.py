"""Who looks after one job of a host without a scheduler: a process that needs nobody.

A desk forks it off; it waits for its turn, starts the worker, holds it to its time, ends it when it
is asked, and writes how it ended. What is known of a job lies in its folder:

    order.json    what was asked for            pid     who looks after it, and who runs it
    stop          end it, with this grace       exit    how it ended

Knows processes and signals; what jobs hold is `desk_slots`. A supervisor that is killed takes its
worker with it where the kernel can do that (Linux).
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import time

from . import desk_login, desk_slots, usage
from .alone import CANCELED, DONE, PREEMPTED, TASK_FAILED
from .desk_files import replace, tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

    Process = Sequence[int]

_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
"""How often the first in line asks whether it may start; those behind it ask more rarely."""
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36
"""linux/prctl.h"""


def begun(folder: str) -> bool:
    """Whether somebody looks after a job, or did."""
    return any(os.path.exists(os.path.join(folder, name)) for name in ("pid", "exit"))


def alive(then: Optional[str], process: Optional[Process]) -> bool:
    """Whether a process is there, and is the one that had this number then."""
    return process is not None and then == boot_id() and started_at(process[0]) == process[1]


def started_at(pid: int) -> int:
    """Return when a process started, in ticks or seconds of some clock; 0 where there is none."""
    if usage.LINUX:
        try:
            with open("/proc/%d/stat" % pid, "rb", 0) as stream:
                fields = stream.read(2048).rpartition(b")")[2].split()
        except OSError:
            return 0
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    words = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    said = subprocess.run(words, stdout=subprocess.PIPE, check=False).stdout.decode().split()
    if not said or said[0].startswith("Z"):
        return 0
    return int(time.mktime(time.strptime(" ".join(said[1:]), "%a %b %d %H:%M:%S %Y")))


def boot_id() -> str:
    """Return what names this run of the host; nothing where nobody tells."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def noted(folder: str, name: str) -> Any:
    """Return what a file of a job's folder says, or None."""
    try:
        with open(os.path.join(folder, name), "rb") as stream:
            return json.loads(stream.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a power cut may leave it empty
        return None


def detach(supervisor: Supervisor) -> None:
    """Let a supervisor go its own way; returns when it is known, or another one is."""
    take, give = os.pipe()
    pid = os.fork()
    if pid:
        os.close(give)
        os.waitpid(pid, 0)
        os.read(take, 1)
        os.close(take)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _leave_all(give)
            supervisor.live(give)
    finally:
        os._exit(0)


def _leave_all(keep: int) -> None:
    """Hold nothing of the desk's: its session ends when its last descriptor is closed."""
    os.chdir("/")
    empty = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(empty, fd)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2 and int(name) != keep:
            try:
                os.close(int(name))
            except OSError:  # what listed them
                pass


class Supervisor:
    """Looks after one job, from its place in the line to its end."""

    def __init__(
        self, root: str, folder: str, order: Dict[str, Any], has: desk_slots.Amounts
    ) -> None:
        self._root, self._folder, self._order, self._has = root, folder, order, has
        self._since = time.time_ns()
        self._told = False
        self._wake = -1
        self._prctl: Any = None

    def live(self, give: int) -> None:
        """Look after the job to its end."""
        self._listen()
        if not self._begin():
            return
        turn: Optional[desk_slots.Turn] = None
        try:
            turn = desk_slots.Turn(
                desk_slots.folder_of(self._root), self._order["id"], self._since, self._order
            )
            os.write(give, b"1")
            os.close(give)
            outcome = self._work(turn)
        except desk_login.Failed as failed:
            outcome = {"why": failed.args[0], "detail": failed.args[1]}
        except Exception as error:  # nobody would hear of it
            outcome = {"why": "worker", "detail": "its supervisor failed: %r" % (error,)}
        if os.path.isdir(self._folder):  # else nobody wants to know any more
            self._write("exit", {**outcome, "at": time.time()})
        if turn is not None:
            turn.close()

    def _listen(self) -> None:
        """Have signals end a pause, and be the parent of what loses its own.

        The job outlives whoever handed it over, and where that was a job of this host, too: by its
        name this process is spared when that one is cleared away.
        """
        self._wake, give = os.pipe()
        for fd in (self._wake, give):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(give, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._asked_to_end)
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
            # not SIG_IGN: the worker would inherit that
            signal.signal(number, lambda _number, _frame: None)
        if usage.LINUX:
            try:
                import ctypes

                self._prctl = ctypes.CDLL(None).prctl
                self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
                self._prctl(_PR_SET_NAME, usage.APART.encode(), 0, 0, 0)
            except (ImportError, OSError, AttributeError):  # then what daemonizes may stay
                pass

    def _asked_to_end(self, _number: int, _frame: Any) -> None:
        self._told = True

    def _begin(self) -> bool:
        """Write down who looks after the job, unless another one does."""
        lock = os.open(os.path.join(self._folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if begun(self._folder):
                return False
            self._note(None)
            return True
        finally:
            os.close(lock)

    def _note(self, worker: Optional[int]) -> None:
        made: Dict[str, Any] = {"boot": boot_id(), "supervisor": _process(os.getpid())}
        if worker is not None:
            made["worker"] = _process(worker)
        self._write("pid", made)

    def _write(self, name: str, content: Any) -> None:
        replace(os.path.join(self._folder, name), json.dumps(content).encode())

    def _stopped(self) -> bool:
        """Whether somebody asked for the end (with a SIGTERM, or a word in the folder)."""
        return self._told or os.path.exists(os.path.join(self._folder, "stop"))

    def _why_stopped(self) -> str:
        asked = os.path.exists(os.path.join(self._folder, "stop"))
        return "canceled" if asked else "preempted"

    def _pause(self, seconds: float) -> None:
        """Wait, at most until a signal comes."""
        if select.select([self._wake], [], [], max(0.0, seconds))[0]:
            os.read(self._wake, 512)

    def _work(self, turn: desk_slots.Turn) -> Dict[str, Any]:
        """Wait for room, run the worker; return how that ended."""
        while True:
            if self._stopped():
                why = self._why_stopped()
                raise desk_login.Failed(why, "was %s before it started" % why)
            gpus = turn.take(self._has)
            if gpus is not None:
                break
            self._pause(min(_LONGEST_PAUSE_S, _PAUSE_S * (1 + turn.ahead)))
        child = self._start(gpus)
        self._note(child.pid)
        status, why = self._follow(child.pid)
        child.returncode = 0  # it has been waited for
        self._clear()
        return self._outcome(status, why)

    def _start(self, gpus: List[str]) -> subprocess.Popen[bytes]:
        line, prctl = self._order["shell"], self._prctl
        words = ["/bin/sh", "-c", line]
        if self._order["modules"]:
            words = [desk_login.shell(), "-l", "-c", desk_login.with_modules(self._folder, line)]
            words += ["sh", *self._order["modules"]]
        ends_with_us = (lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)) if prctl else None
        return subprocess.Popen(
            words, env=self._variables(gpus), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=ends_with_us,  # noqa: PLW1509 - one thread
        )  # fmt: skip

    def _variables(self, gpus: Sequence[str]) -> Dict[str, str]:
        made = dict(os.environ)
        made.pop(usage.MARK, None)  # the job outlives the task that handed it over, if one did
        made["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        made.update(self._order["variables"])
        made.update(desk_login.secrets(self._order["secrets"]))
        return made

    def _follow(self, child: int) -> Tuple[int, str]:
        """Wait for the worker; end it when its time is over or somebody asks for it."""
        wall_s = self._order["wall_s"]
        over_at = time.monotonic() + wall_s if wall_s else float("inf")
        kill_at, why = float("inf"), ""
        while True:
            for pid, status in _reaped():
                if pid == child:
                    return status, why
            now = time.monotonic()
            if self._stopped() and kill_at == float("inf"):
                why = self._why_stopped()
                kill_at = now + self._grace_s()
                os.kill(child, signal.SIGTERM)
            if now >= min(over_at, kill_at):
                why = why or "timed_out"
                usage.kill_descendants(os.getpid(), signal.SIGKILL)
                usage.kill_session(child, signal.SIGKILL)
            self._pause(min(1.0, max(0.05, min(over_at, kill_at) - now)))

    def _grace_s(self) -> float:
        asked = noted(self._folder, "stop")
        return float(asked if asked is not None else self._order["grace_s"])

    def _clear(self) -> None:
        """End what the worker started and left, so that what it held is free."""
        for _ in range(20):
            _reaped()
            if not usage.kill_descendants(os.getpid(), signal.SIGKILL):
                return
            time.sleep(0.02)

    def _outcome(self, status: int, why: str) -> Dict[str, Any]:
        if os.WIFSIGNALED(status):
            return {"why": why, "signal": os.WTERMSIG(status)}
        code = os.WEXITSTATUS(status)
        if code in (DONE, TASK_FAILED, PREEMPTED, CANCELED):
            return {"why": why, "code": code}
        if code == desk_login.NO_MODULE and self._order["modules"]:
            named = ", ".join(self._order["modules"])
            raise desk_login.Failed(
                "environment", "module load %s: its output says what failed" % named
            )
        return {"why": why, "code": code, "detail": _last_words(self._folder, code)}


def _process(pid: int) -> List[int]:
    return [pid, started_at(pid)]


def _reaped() -> List[Tuple[int, int]]:
    """Return (process id, wait status) of all children that ended."""
    found: List[Tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found.append((pid, status))


def _last_words(folder: str, code: int) -> str:
    path = os.path.join(folder, "output")
    size = os.path.getsize(path) if os.path.exists(path) else 0
    lines = tail(path, max(0, size - 2000), 2000)[0].decode("utf-8", "replace").split("\n")
    said = [each.strip() for each in lines if each.strip()]
    return "the worker ended with exit code %d: %s" % (code, said[-1] if said else "no output")
