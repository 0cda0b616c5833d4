"""How a store lies in a folder, and how a new one is laid out.

Knows names at the top. Does not know what is below them.
"""

from __future__ import annotations

import os
from pathlib import Path

from ems.errors import UsageError

FORMAT = "format.json"
TEMP = ".tmp-"
TOP = ("log", "objects", "runners")
"""Made once; where one is missing later, the store is damaged or gone."""
OPEN = os.O_RDONLY | os.O_CLOEXEC
IGNORED = ".gitignore"
_KNOWN = frozenset({*TOP, "attempts", "jobs", "links", "runs", "scratch", IGNORED})


def open_folder(path: Path) -> int | None:
    """Return a descriptor of a folder, None if there is none."""
    try:
        return os.open(path, OPEN | os.O_DIRECTORY)
    except FileNotFoundError:
        return None


def lay_out(path: Path, fd: int | None) -> int:
    """Make a store's folders in a new or an empty folder; return its descriptor."""
    if fd is None:
        path.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, OPEN | os.O_DIRECTORY)
    others = {n for n in os.listdir(fd) if not n.startswith(TEMP)} - _KNOWN - {FORMAT}
    if others:
        os.close(fd)
        raise UsageError(
            str(path),
            f"holds other files ({min(others)}, …) and is no store",
            "an empty or a new folder as `store:`",
        )
    for name in TOP:
        try:
            os.mkdir(name, dir_fd=fd)
        except FileExistsError:
            continue
    if not has(fd, IGNORED):  # a store in a project is not for git
        with open(os.open(IGNORED, os.O_WRONLY | os.O_CREAT, 0o666, dir_fd=fd), "w") as file:
            file.write("*\n")
    return fd


def has(fd: int, name: str) -> bool:
    """Whether there is something of this name in an open folder."""
    try:
        os.stat(name, dir_fd=fd)
    except OSError:
        return False
    return True
