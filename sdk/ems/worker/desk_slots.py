"""What jobs of a host hold of its CPUs, memory and GPUs, and the line of those that wait.

    <root>/slots/<host>/wait-<since>-<gpus>-<id>  one that waits: its file is locked while it lives
    <root>/slots/<host>/held-<id>                 one that runs, with what it holds

A file that nobody has locked is left over from a process that is gone, and counts for nothing; so
nothing need be given back, and several brokers share a host. First come, first served; those that
wait for a GPU hold up nobody who needs none. Knows files and locks. Does not know what runs.
"""

from __future__ import annotations

import fcntl
import json
import math
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence

_SLACK_GIB = 1e-6
_NVIDIA = "/proc/driver/nvidia/gpus"


class Amounts:
    """So many CPUs and so much memory, and GPUs by id."""

    def __init__(self, cpus: int, memory_gib: float, gpus: Sequence[str]) -> None:
        self.cpus, self.memory_gib, self.gpus = cpus, memory_gib, tuple(gpus)


def totals(limits: Dict[str, Any]) -> Amounts:
    """Return what jobs may use of this host: what was set, and where nothing was, all there is.

    `cpus` and `memory_gib` are numbers or None; `gpus` is a number, a list of ids, or None.
    """
    cpus, memory, gpus = limits.get("cpus"), limits.get("memory_gib"), limits.get("gpus")
    if gpus is None:
        ids = _gpus()
    else:
        ids = [str(each) for each in (range(gpus) if isinstance(gpus, int) else gpus)]
    return Amounts(
        int(cpus) if cpus is not None else _cpus(),
        float(memory) if memory is not None else _memory_gib(),
        ids,
    )


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / float(2**30)


def _gpus() -> List[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [each.strip() for each in visible.split(",") if each.strip()]
    try:
        return [str(at) for at in range(len(os.listdir(_NVIDIA)))]
    except OSError:
        return []


def of_kind(has: Amounts, kind: str) -> Amounts:
    """Return what a job may use that asks for GPUs of one kind: a part of their model's name."""
    if not kind:
        return has
    models = _models()
    fitting = [each for each in has.gpus if kind.lower() in models.get(each, "").lower()]
    return Amounts(has.cpus, has.memory_gib, fitting)


def _models() -> Dict[str, str]:
    """Return the models of GPUs by number and by UUID, where the driver tells."""
    found: Dict[str, str] = {}
    try:
        names = os.listdir(_NVIDIA)
    except OSError:
        return found
    for name in names:
        with open(os.path.join(_NVIDIA, name, "information"), encoding="utf-8") as stream:
            pairs = [text.partition(":")[::2] for text in stream]
        told = {key.strip(): value.strip() for key, value in pairs}
        for key in ("Device Minor", "GPU UUID"):
            found[told.get(key, "")] = told.get("Model", "")
    return found


def slots_for(cpus: float) -> int:
    """Return how many slots a job of so many CPUs takes."""
    return max(1, math.ceil(cpus))


def too_much(order: Dict[str, Any], has: Amounts) -> str:
    """Say why a job can never run on this host, or nothing."""
    wants = (
        (slots_for(order["cpus"]), has.cpus, "CPUs"),
        (order["memory_gib"], has.memory_gib, "GiB of memory"),
        (order["gpus"], len(has.gpus), ("GPUs " + order["gpu_kind"]).strip()),
    )
    for wanted, there, what in wants:
        if wanted > there + _SLACK_GIB:
            return "needs %g %s, and jobs may use %g on this host" % (wanted, what, there)
    return ""


def folder_of(root: str) -> str:
    """Return the folder of this host's slots: hosts may share a home."""
    return os.path.join(root, "slots", os.uname().nodename)


def used(folder: str) -> Amounts:
    """Return what running jobs hold."""
    cpus, memory = 0, 0.0
    gpus: List[str] = []
    for name in _names(folder, "held-"):
        held = _held(os.path.join(folder, name))
        if held is not None:
            cpus += held["cpus"]
            memory += held["memory_gib"]
            gpus += held["gpus"]
    return Amounts(cpus, memory, gpus)


def line(folder: str) -> List[str]:
    """Return the ids of those that wait, first come first."""
    return [name.split("-", 3)[3] for name in _names(folder, "wait-")]


class Turn:
    """A job's place in the line, and then what it holds, for as long as this object is open."""

    def __init__(self, folder: str, id: str, since: int, order: Dict[str, Any]) -> None:
        self._folder, self._id = folder, id
        self._cpus = slots_for(order["cpus"])
        self._memory: float = order["memory_gib"]
        self._gpus: int = order["gpus"]
        self.ahead = 0
        """How many were before it when it last asked."""
        os.makedirs(folder, exist_ok=True)
        self._name = "wait-%020d-%d-%s" % (since, self._gpus, id)
        made = os.path.join(folder, "new-" + id)
        self._fd = os.open(made, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        os.rename(made, os.path.join(folder, self._name))

    def take(self, has: Amounts) -> Optional[List[str]]:
        """Take what the job needs if it is its turn and there is room; return the GPUs' ids."""
        before = self._before()
        if before and before[0].split("-", 3)[2] == "0" and _lives(self._path(before[0])):
            return None  # what most of a long line are told, without asking what is free
        lock = os.open(os.path.join(self._folder, "turn"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._take(has)
        finally:
            os.close(lock)

    def _take(self, has: Amounts) -> Optional[List[str]]:
        before = self._before()
        now = used(self._folder)
        gpus = [each for each in has.gpus if each not in now.gpus]
        for name in before:
            waits_for_gpus = int(name.split("-", 3)[2]) > len(gpus)
            if not waits_for_gpus and _lives(self._path(name)):
                return None
        fits = (
            now.cpus + self._cpus <= has.cpus
            and now.memory_gib + self._memory <= has.memory_gib + _SLACK_GIB
            and self._gpus <= len(gpus)
        )
        if not fits:
            return None
        mine = gpus[: self._gpus]
        held = {"cpus": self._cpus, "memory_gib": self._memory, "gpus": mine}
        os.pwrite(self._fd, json.dumps(held).encode(), 0)
        name, self._name = self._name, "held-" + self._id
        os.rename(self._path(name), self._path(self._name))
        return mine

    def _before(self) -> List[str]:
        """Return who came before, first come first."""
        names = [name for name in _names(self._folder, "wait-") if name < self._name]
        self.ahead = len(names)
        return names

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def close(self) -> None:
        """Give it back."""
        try:
            os.unlink(os.path.join(self._folder, self._name))
        except OSError:
            pass
        os.close(self._fd)


def _names(folder: str, prefix: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.startswith(prefix))
    except FileNotFoundError:
        return []


def _lives(path: str) -> bool:
    """Whether the process that locked a file is there; the file of one that is not is removed."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.unlink(path)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    finally:
        os.close(fd)
    return False


def _held(path: str) -> Optional[Dict[str, Any]]:
    if not _lives(path):
        return None
    try:
        with open(path, "rb") as stream:
            return json.loads(stream.read())
    except FileNotFoundError:  # it ended meanwhile
        return None
