"""Folders for live output in the cache: one a backend, named after its process.

Knows process ids. Folders of processes that were killed are swept by the next one on the machine.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from ems.worker import scratch

_serial = itertools.count(1)


def folder_in(cache: Path) -> Path:
    """Return a folder that no other backend has; it is not made yet."""
    return cache / "live" / f"{_named(os.getpid())}-{next(_serial)}"


def _named(pid: int) -> str:
    """Return what names a process here: containers may share a cache, a host's name and ids."""
    return os.path.basename(scratch.home_of("", pid))


def sweep(folder: Path) -> None:
    """Remove the folders beside this one whose processes on this machine are gone."""
    here = _named(0).rpartition("-")[0]
    if folder.parent.name != "live":  # a folder that somebody else chose
        return
    try:
        names = os.listdir(folder.parent)
    except OSError:
        return
    for name in names:
        place, _, serial = name.rpartition("-")
        there, _, pid = place.rpartition("-")
        if there == here and pid.isdigit() and serial.isdigit() and not _lives(int(pid)):
            scratch.remove(str(folder.parent / name))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
