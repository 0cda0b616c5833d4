"""What this machine has: CPUs, memory and GPUs that this process may use, and what it can do.

Knows cgroups and /proc where there are any. Does not know jobs.
"""

from __future__ import annotations

import os
from pathlib import Path

from ems.compute.backend import Capabilities

CAPABILITIES = Capabilities(push=True, warm=True, durable=False, targets=("local",))
"""What this machine can do as a place for jobs, before its GPUs and CPUs are counted."""
_CGROUP = Path("/sys/fs/cgroup")


def cpus() -> float:
    """Return how many CPUs may be used, a fraction where a container's quota says so."""
    if hasattr(os, "sched_getaffinity"):
        count = float(len(os.sched_getaffinity(0)))
    else:
        count = float(os.cpu_count() or 1)
    words = _read(_CGROUP / "cpu.max").split()
    if len(words) == 2 and words[0] != "max":
        count = min(count, int(words[0]) / int(words[1]))
    return count


def memory_gib() -> float:
    """Return how much memory there is, or as much as a container's limit allows."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _read(_CGROUP / "memory.max").strip()
    if limit.isdigit():
        size = min(size, int(limit))
    return size / 2**30


def gpus() -> tuple[str, ...]:
    """Return the ids of the NVIDIA GPUs, or those that CUDA_VISIBLE_DEVICES leaves."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(each.strip() for each in visible.split(",") if each.strip())
    try:
        return tuple(str(at) for at in range(len(os.listdir("/proc/driver/nvidia/gpus"))))
    except OSError:  # containers may show the devices alone
        names = (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
        return tuple(sorted((name for name in names if name.isdigit()), key=int))


def out_of_memory_kills() -> int:
    """Return how many processes the kernel has killed for want of memory; 0 if it does not tell."""
    total = 0
    for path in (_CGROUP / "memory.events", Path("/proc/vmstat")):
        for line in _read(path).splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill" and number.isdigit():
                total += int(number)
    return total


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
