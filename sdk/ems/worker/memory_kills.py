"""Whether the kernel ended processes of this one's cgroup because its memory limit was reached.

Batch systems, Kubernetes and Docker limit memory by cgroups; to whoever waits, a process that the
kernel ended for it looks like any SIGKILL. Reads both versions of cgroups. Does not know workers.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

MOUNT = "/sys/fs/cgroup"
OWN = "/proc/self/cgroup"
_UNLIMITED = 2**60
"""A limit of version 1 that is above this is none: the largest number of pages."""


class MemoryKills:
    """Counts from its making on; where there are no cgroups, nothing is ever counted."""

    def __init__(self, own: str = OWN, mount: str = MOUNT) -> None:
        self._folders, self._counter, self._limit = _found(own, mount)
        self._before = self._count()

    def grew(self) -> bool:
        """Return whether there were kills since the last time that this was asked."""
        before, self._before = self._before, self._count()
        return self._before > before

    def sentence(self) -> str:
        """Return what happened, with the limit where it is known."""
        limit = self._lowest_limit()
        said = "" if limit is None else " of %s" % _text(limit)
        return "the kernel ended it: the memory limit%s of its job was reached" % said

    def _count(self) -> int:
        for line in _lines(self._folders, self._counter):
            words = line.split()
            if words[:1] == ["oom_kill"]:
                return int(words[1])
        return 0

    def _lowest_limit(self) -> Optional[int]:
        """Return the lowest limit of the cgroup and of those above it."""
        found: List[int] = []
        for folder in self._folders:
            for line in _lines([folder], self._limit):
                if line.strip().isdigit() and int(line) < _UNLIMITED:
                    found.append(int(line))
        return min(found) if found else None


def _found(own: str, mount: str) -> Tuple[List[str], str, str]:
    """Return the folders of the cgroup and those above it, and which files tell kills and limit."""
    for line in _lines([""], own):
        _, controllers, path = line.rstrip("\n").split(":", 2)
        if "memory" in controllers.split(","):
            root = os.path.join(mount, "memory")
            return _upward(root, path), "memory.oom_control", "memory.limit_in_bytes"
    for line in _lines([""], own):
        if line.startswith("0::"):
            path = line.rstrip("\n").split(":", 2)[2]
            return _upward(mount, path), "memory.events", "memory.max"
    return [], "memory.events", "memory.max"


def _upward(root: str, path: str) -> List[str]:
    """Return a cgroup's folder and those above; a container may see its own as the root."""
    folders: List[str] = []
    parts = [part for part in path.split("/") if part]
    for count in range(len(parts), -1, -1):
        folder = os.path.join(root, *parts[:count])
        if os.path.isdir(folder):
            folders.append(folder)
    return folders


def _lines(folders: List[str], name: str) -> List[str]:
    """Return the lines of a file in the first of the folders; none where it can't be read."""
    for folder in folders[:1]:
        try:
            with open(os.path.join(folder, name)) as stream:
                return stream.readlines()
        except OSError:
            pass
    return []


def _text(limit: int) -> str:
    mib = limit / 2.0**20
    return "%.3g GiB" % (mib / 1024) if mib >= 1024 else "%.3g MiB" % mib
