"""Where a runner at a place finds the store that this machine uses.

A store in S3 is the same from everywhere. One in a folder will do where the place has this folder:
this machine itself, or a cluster that shares the file system. Knows which keys of targets say so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ems.compute.targets import Target
from ems.errors import UsageError

_HERE = "here"


def store_at(target: Target, store: str, base: Path) -> str:
    """Return the store's URL as a job at the target finds it; UsageError where it can't."""
    if "://" in store:
        return store
    seen = _SHARED.get(target.kind.word, _nowhere)(target.settings, Path(store), base)
    if isinstance(seen, _Needs):
        raise UsageError(
            "--driver",
            f"jobs at {target.name} do not see the store {store} of this machine "
            f"(allowed: s3://BUCKET/PREFIX{seen})",
            "emsctl --store s3://… run …, or `store:` in .ems.yaml",
        )
    return seen


class _Needs(str):
    """What else than S3 would do."""


_Seen = str | _Needs


def _nowhere(_settings: Any, _store: Path, _base: Path) -> _Seen:
    return _Needs("")


def _of_hosts(settings: Any, store: Path, _base: Path) -> _Seen:
    hosts = [settings.ssh] if isinstance(settings.ssh, str) else list(settings.ssh)
    return str(store) if set(hosts) == {_HERE} else _Needs("")


def _of_slurm(settings: Any, store: Path, base: Path) -> _Seen:
    if settings.slurm != _HERE:
        return _Needs("")
    return _under_one_path(base / Path(settings.folder).expanduser(), store)


def _of_mount(settings: Any, store: Path, base: Path) -> _Seen:
    """Kubernetes and Ray: `folder` here is `root` there."""
    folder = base / Path(settings.folder).expanduser()
    if not settings.root or Path(settings.root) == folder:
        return _under_one_path(folder, store)
    real, inside = os.path.realpath(folder), os.path.realpath(store)
    if inside.startswith(real + os.sep):
        return f"{settings.root.rstrip('/')}/{os.path.relpath(inside, real)}"
    return _Needs(f", or a folder below {folder}")


def _under_one_path(shared: Path, store: Path) -> _Seen:
    """A path means the same there on the file system that the place shares."""
    if _device(shared) == _device(store):
        return str(store)
    return _Needs(f", or a folder on the file system of {shared}")


def _device(path: Path) -> int | None:
    """Return the file system of a folder, or of where it would be made."""
    for each in (path, *path.parents):
        try:
            return os.stat(each).st_dev
        except OSError:
            continue
    return None


_SHARED: Mapping[str, Callable[[Any, Path, Path], _Seen]] = {
    "ssh": _of_hosts,
    "slurm": _of_slurm,
    "kubernetes": _of_mount,
    "ray": _of_mount,
}
