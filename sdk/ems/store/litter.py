"""What lies beside the objects of a store in a folder and outlives its use: links, scratch, halves.

Links are `links/<start of a digest>/<name>` or `links/<digest>/<name>/`; a worker's scratch folder
is named after its process. Knows names and processes; which objects stay is told.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from ems.store.folder import FolderRoot
from ems.store.layout import TEMP
from ems.store.leases import running, start_of
from ems.store.root import Root, Stat
from ems.worker.scratch import home_of

LINKS = "links/"
_HEX = frozenset("0123456789abcdef")
_DAY_S = 86400.0


def folders(
    root: Root, staying: Sequence[str], now: float, grace_s: float, anybody: bool
) -> dict[str, int]:
    """Return all folders that may go -> bytes, when these objects stay (sorted digests)."""
    links = dangling(root, staying)
    inner = half_made(root, now, grace_s)
    more = {key: size for key, size in inner.items() if key.rpartition("/")[0] not in links}
    return links | more | dead_scratch(root, now, grace_s, anybody)


def dangling(root: Root, staying: Sequence[str]) -> dict[str, int]:
    """Return folders of links to none of these digests (sorted) -> bytes of the copies in them."""
    found: dict[str, int] = {}
    for name, _ in _folders(root, "links"):
        digest = name.partition("-")[0]
        if len(digest) >= 12 and _HEX.issuperset(digest) and not _starts_one(name, staying):
            found[f"{LINKS}{name}"] = _size(root, f"{LINKS}{name}")
    return found


def is_for_object(key: str) -> bool:
    """Whether a folder is all the links to one object."""
    return key.startswith(LINKS) and key.count("/") == 1


def half_made(root: Root, now: float, grace_s: float) -> dict[str, int]:
    """Return link folders `<name>.<pid>` whose `<name>` was made since -> bytes."""
    found: dict[str, int] = {}
    for digest, _ in _folders(root, "links"):
        inner = dict(_folders(root, f"{LINKS}{digest}"))
        for name, changed in inner.items():
            final, _, pid = name.rpartition(".")
            old = final in inner and now - changed > grace_s
            if old and pid.isdigit() and not _lives(int(pid)):
                key = f"{LINKS}{digest}/{name}"
                found[key] = _size(root, key)
    return found


def dead_scratch(root: Root, now: float, grace_s: float, anybody: bool) -> dict[str, int]:
    """Return scratch folders of workers that are gone -> bytes.

    Whether those of other machines are gone can't be seen: when no runner lives (`anybody`), and
    a day after the last task.
    """
    here = os.path.basename(home_of("", 0)).rpartition("-")[0]
    found: dict[str, int] = {}
    for name, changed in _folders(root, "scratch"):
        place, _, pid = name.rpartition("-")
        if place == here and pid.isdigit():
            dead = not _lives(int(pid)) and now - changed > grace_s
        else:
            dead = not anybody and now - changed > max(grace_s, _DAY_S)
        if dead:
            found[f"scratch/{name}"] = _size(root, f"scratch/{name}")
    return found


def halves(root: Root, now: float, grace_s: float) -> Iterator[Stat]:
    """Yield temporary files at the top, of those who made the store and were killed."""
    names = os.listdir(root.at) if isinstance(root, FolderRoot) else ()
    for name in names:
        seen = root.stat(name) if name.startswith(TEMP) else None
        if seen is not None and now - seen.mtime > grace_s:
            yield seen


def _starts_one(name: str, digests: Sequence[str]) -> bool:
    place = bisect_left(digests, name)
    return place < len(digests) and digests[place].startswith(name)


def _folders(root: Root, key: str) -> Iterator[tuple[str, float]]:
    """Yield the folders in a folder, and when each last changed."""
    if not isinstance(root, FolderRoot):
        return
    try:
        with os.scandir(root.at / key) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    seen = entry.stat(follow_symlinks=False)
                    yield entry.name, max(seen.st_mtime, seen.st_ctime)
    except FileNotFoundError:
        return


def _size(root: Root, key: str) -> int:
    """Return the bytes of the files below a folder; links count nothing."""
    assert isinstance(root, FolderRoot)
    total = 0
    for parent, _, names in os.walk(root.at / key):
        for name in names:
            try:
                seen = os.lstat(os.path.join(parent, name))
            except FileNotFoundError:
                continue
            total += seen.st_size if stat.S_ISREG(seen.st_mode) else 0
    return total


def _lives(pid: int) -> bool:
    start = start_of(pid)
    return start >= 0 and running(pid, start)
