"""CPU seconds and memory: of a stretch of this process, and of whole sessions of processes.

Linux tells both under /proc; elsewhere `resource` and `ps` are asked. Does not know tasks.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, List, Tuple

_MIB = 1024.0 * 1024.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
LINUX = sys.platform.startswith("linux")


class Meter:
    """CPU seconds and peak resident memory of this process between `start` and `stop`.

    Children that have been waited for count: their CPU seconds in full, their memory where the
    largest of them was larger than this process.
    """

    def __init__(self) -> None:
        self._reset = self._status = -1
        if LINUX:
            try:
                self._status = os.open("/proc/self/status", os.O_RDONLY)
                self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY)
            except OSError:  # /proc may be hidden; then the peak is that of the whole process
                pass
        self._cpu = 0.0
        self._children = 0.0

    def start(self) -> None:
        """Begin a stretch: the peak is now."""
        if self._reset >= 0:
            os.write(self._reset, b"5")
        times = os.times()
        self._children = times[2] + times[3]
        self._cpu = time.process_time()

    def stop(self) -> Tuple[float, float]:
        """Return (CPU seconds, peak MiB) since `start`."""
        cpu = time.process_time() - self._cpu
        times = os.times()
        children = times[2] + times[3] - self._children
        peak = self._peak()
        if children > 0:
            peak = max(peak, _largest_child())
        return round(cpu + children, 6), round(peak, 1)

    def _peak(self) -> float:
        if self._status >= 0:
            text = os.pread(self._status, 4096, 0)
            at = text.find(b"VmHWM:")
            if at >= 0:
                return int(text[at + 6 : text.index(b"kB", at)]) / 1024.0
        import resource

        return _rusage_mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _largest_child() -> float:
    import resource

    return _rusage_mib(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _rusage_mib(maxrss: int) -> float:
    return maxrss / (1024.0 if LINUX else _MIB)


def processes() -> List[Tuple[int, int, int, int, int]]:
    """Return (pid, parent, group, session, resident bytes) of every process that can be seen.

    Zombies are left out. Where there is no /proc, the session is given as the group.
    """
    return _from_proc() if LINUX else _from_ps()


def _from_proc() -> List[Tuple[int, int, int, int, int]]:
    found: List[Tuple[int, int, int, int, int]] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb", 0) as stream:
                text = stream.read(1024)
        except OSError:  # it ended meanwhile
            continue
        fields = text[text.rindex(b")") + 2 :].split(b" ", 23)
        if fields[0] not in (b"Z", b"X"):
            parent, group, session = int(fields[1]), int(fields[2]), int(fields[3])
            found.append((int(name), parent, group, session, int(fields[21]) * _PAGE))
    return found


def _from_ps() -> List[Tuple[int, int, int, int, int]]:
    import subprocess

    text = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,pgid=,rss=,state="], capture_output=True, check=False
    ).stdout
    found: List[Tuple[int, int, int, int, int]] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 5 and not fields[4].startswith(b"Z"):
            pid, parent, group, rss = (int(field) for field in fields[:4])
            found.append((pid, parent, group, group, rss * 1024))
    return found


def resident_bytes(leaders: Iterable[int]) -> Dict[int, int]:
    """Return resident bytes of the sessions (or groups) that these processes lead."""
    sums = dict.fromkeys(leaders, 0)
    for _, _, group, session, resident in processes():
        leader = session if session in sums else group
        if leader in sums:
            sums[leader] += resident
    return sums


def kill_session(leader: int, number: int) -> None:
    """Send a signal to the group that a process leads, and to the rest of its session."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass
    for pid, _, group, session, _ in processes():
        if session == leader and group != leader:
            _kill(pid, number)


MARK = "EMS_WORKER"
"""The variable with the mark that all processes of a warm worker carry (`kill_marked`)."""
APART = "ems-supervisor"
"""The name of a process that looks after a job of its own: whoever handed it over may end."""


def kill_descendants(root: int, number: int) -> int:
    """Send a signal to every process below `root`; return how many there were.

    Those called APART, and what is below them, are left alone.
    """
    below: Dict[int, List[int]] = {}
    for pid, parent, _, _, _ in processes():
        below.setdefault(parent, []).append(pid)
    waiting, count = list(below.get(root, ())), 0
    while waiting:
        pid = waiting.pop()
        if _is_apart(pid):
            continue
        count += 1
        waiting.extend(below.get(pid, ()))
        _kill(pid, number)
    return count


def _is_apart(pid: int) -> bool:
    try:
        with open("/proc/%d/comm" % pid, "rb", 0) as stream:
            return stream.read(32) == APART.encode() + b"\n"
    except OSError:
        return False


def kill_marked(mark: str) -> int:
    """Kill every process whose environment holds `mark`; return how many there were.

    That finds what made itself a daemon and lost its parents, too. Those called APART are left
    alone. Linux only.
    """
    import signal

    sought, count, found = mark.encode(), 0, LINUX
    while found:
        found = False
        for pid in [row[0] for row in processes() if row[0] != os.getpid()]:
            try:
                with open("/proc/%d/environ" % pid, "rb", 0) as stream:
                    if sought not in stream.read() or _is_apart(pid):
                        continue
            except OSError:  # it ended, or is another user's
                continue
            _kill(pid, signal.SIGKILL)
            count, found = count + 1, True
    return count


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass
