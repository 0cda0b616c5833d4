"""Where everything of a sandbox lies, and who may work on it.

Knows names of files. Does not know what is in them, nor any process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
STACK = "sandbox"
"""The environment, and the name of its file."""


@dataclass(frozen=True)
class Place:
    """A sandbox's folder."""

    folder: Path = ROOT / ".sandbox"

    @property
    def project(self) -> Path:
        """The copy of the repository's programs and settings that the engine runs."""
        return self.folder / "project"

    @property
    def settings(self) -> Path:
        """The environment's file in the copy."""
        return self.project / "stacks" / f"Pulumi.{STACK}.yaml"

    @property
    def state(self) -> Path:
        """The engine's state."""
        return self.folder / "state"

    @property
    def home(self) -> Path:
        """The engine's own folder."""
        return self.folder / "home"

    @property
    def cluster(self) -> Path:
        """The cluster's folder."""
        return self.folder / "cluster"

    @property
    def cluster_ready(self) -> Path:
        """There once the cluster has been seen ready."""
        return self.folder / "cluster.ready"

    def log(self, name: str) -> Path:
        """What a part has said."""
        return self.folder / f"{name}.log"

    def clear(self) -> None:
        """Remove everything but the folder itself, which carries the lock."""
        for each in self.folder.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()


def shown(path: Path) -> str:
    """Return a path as a person here reads it: from the working folder, where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@contextmanager
def alone(place: Place) -> Iterator[None]:
    """Hold the sandbox's lock; wait for whoever holds it. It goes with the process."""
    held = _locked(place.folder)
    try:
        yield
    finally:
        os.close(held)


def _locked(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("sandbox: another command is at work on it; waiting", flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        try:  # it may have been removed meanwhile, and made again by somebody else
            if os.fstat(held).st_ino == folder.stat().st_ino:
                return held
        except FileNotFoundError:
            pass
        os.close(held)
