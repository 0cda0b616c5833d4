"""Heartbeats: one small file a runner, rewritten by a thread, read by those who wait for it.

All ages are by the store's own time: that of the file's last write against that of our own file.
Knows processes and heartbeats; who may take what is in `takeover.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import cast

from ems.errors import StoreError
from ems.store.root import Root, Stat
from ems.store.takeover import Beat, why_dead

PREFIX = "runners/"
SCHEMA = 1


def beat_key(runner: str) -> str:
    """Return the key of a runner's heartbeat."""
    return f"{PREFIX}{runner}.json"


class Clock:
    """Store time, as far as it is known: local time until the store's own was seen."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def set(self, stamp: float) -> None:
        """Note that the store just stamped something with this time."""
        self._ahead = stamp - time.monotonic()

    def now(self) -> float:
        """Return the store's time."""
        return time.monotonic() + self._ahead


class Watch:
    """Says which runners live. Verdicts are kept a moment: thousands of versions ask at once."""

    def __init__(self, root: Root, clock: Clock, stale_s: float) -> None:
        self._root = root
        self._clock = clock
        self._stale_s = stale_s
        self._fresh_s = min(1.0, stale_s / 10)
        self._verdicts: dict[str, tuple[float, str]] = {}

    def alive(self, runner: str) -> bool:
        """Whether a runner lives."""
        return not self.why_dead(runner)

    def why_dead(self, runner: str) -> str:
        """Return why it doesn't, or nothing."""
        now = time.monotonic()
        kept = self._verdicts.get(runner)
        if kept is None or now - kept[0] > self._fresh_s:
            beat = read_beat(self._root, runner)
            verdict = why_dead(beat, self._clock.now(), self._stale_s, host_id(), running)
            kept = self._verdicts[runner] = (now, verdict)
        return kept[1]

    def forget(self) -> None:
        """Look again at the next question."""
        self._verdicts.clear()

    def heads(self) -> dict[str, int]:
        """Return the living runners and the log's end when each began."""
        found: dict[str, int] = {}
        for stat in self._root.list(PREFIX):
            runner = stat.key.removeprefix(PREFIX).removesuffix(".json")
            if stat.key == beat_key(runner) and self.alive(runner):
                data = self._root.get(stat.key)
                found[runner] = _number(_object(data or b"{}"), "head")
        return found


class Heartbeat:
    """Our own sign of life. `fault` is what the last beat met, if it failed."""

    def __init__(
        self,
        root: Root,
        clock: Clock,
        runner: str,
        run: str,
        head: int,
        beat_s: float,
        stale_s: float = 20.0,
    ) -> None:
        self._root = root
        self._clock = clock
        self._key = beat_key(runner)
        self._every_s = beat_s
        self._stale_s = stale_s
        self._most_s = max(stale_s - beat_s, stale_s / 2)
        self._data = json.dumps(
            {
                "schema": SCHEMA,
                "runner": runner,
                "run": run,
                "host": host_id(),
                "name": os.uname().nodename,
                "pid": os.getpid(),
                "pid_start": start_of(os.getpid()),
                "head": head,
            }
        ).encode("ascii")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="ems-heartbeat", daemon=True)
        self.fault: StoreError | None = None
        self._tried = threading.Condition()
        self._last = time.monotonic()
        """When the last beat that was written began."""

    def start(self) -> None:
        """Write the first beat, then go on in a thread."""
        self._last = time.monotonic()
        self._root.put(self._key, self._data)
        self._tell_time()
        self._thread.start()

    def stop(self) -> None:
        """End, and take the sign away, so that nobody has to wait until it is stale."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(StoreError):  # else it will be stale
            self._root.delete([self._key])

    def check(self) -> None:
        """Raise StoreError where no beat could be written for so long that we soon count as dead.

        A process that was stopped and goes on has no fault: what its thread is at is waited for.
        """
        if self._in_time():
            return
        with self._tried:
            self._tried.wait_for(lambda: self.fault or self._in_time(), self._stale_s)
            if self._in_time():
                return
            fault = self.fault or StoreError(
                self._root.url, "its writing hangs", "emsctl run, once the store can be written"
            )
        raise StoreError(
            self._root.url,
            f"the heartbeat can't be written for {self._lapse():.0f} s ({fault.problem}); others"
            " may take this run's work over",
            fault.next_step,
        )

    def _lapse(self) -> float:
        return time.monotonic() - self._last

    def _in_time(self) -> bool:
        return self._lapse() <= self._most_s

    def _loop(self) -> None:
        while not self._stop.wait(self._every_s):
            began = time.monotonic()
            try:
                self._beat()
                self._last, self.fault = began, None
            except StoreError as e:
                self.fault = e
            with self._tried:
                self._tried.notify_all()

    def _beat(self) -> None:
        # a touch needs no space on a full disk; S3 has no such thing
        if not (self._root.probes and self._root.freshen(self._key)):
            self._root.put(self._key, self._data)
        self._tell_time()

    def _tell_time(self) -> None:
        stat: Stat | None = self._root.stat(self._key)
        if stat is not None:
            self._clock.set(stat.mtime)


def read_beat(root: Root, runner: str) -> Beat | None:
    """Return a runner's heartbeat, None if there is none."""
    found = root.look(beat_key(runner))
    if found is None:
        return None
    data, stat = found
    said = _object(data)
    return Beat(
        runner, str(said.get("host")), _number(said, "pid"), _number(said, "pid_start"), stat.mtime
    )


@cache
def host_id() -> str:
    """Return what two processes share that can see each other by process id.

    On Linux the boot and the process namespace: a container is a host of its own.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            boot = f.read().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        import uuid

        return f"{os.uname().nodename}/{uuid.getnode():x}"


def start_of(pid: int) -> int:
    """Return when a process started, in ticks since boot; 0 where that can't be known.

    -1: there is no such process, or only its remains.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return -1 if os.path.isdir("/proc/self") else 0
    except (OSError, ProcessLookupError):
        return -1
    return -1 if fields[0] in "ZX" else int(fields[19])


def running(pid: int, start: int, started: Callable[[int], int] = start_of) -> bool:
    """Whether the process that had this id and start still runs on this host."""
    now = started(pid)
    if now == 0:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    return now == start


def _object(data: bytes) -> Mapping[str, object]:
    try:
        raw: object = json.loads(data)
    except ValueError:
        return {}
    return cast("dict[str, object]", raw) if isinstance(raw, dict) else {}


def _number(said: Mapping[str, object], name: str) -> int:
    value = said.get(name)
    return value if isinstance(value, int) else 0
