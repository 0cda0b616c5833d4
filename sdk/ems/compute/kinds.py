"""Kinds of places: the words that a target may stand under in `.ems.yaml`, and who makes them.

    targets:
      robots: {ssh: [pi@robot1, pi@robot2], slots: 2}      # a target: its name, its kind, its keys
      cluster: {slurm: login.lab, folder: /shared/ems}

A kind is an entry point in the group `ems.backends`: the kind's word → an object as `Kind` says. A
lab adds its own without touching ours. Knows no kind by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ems.compute.backend import Backend
from ems.compute.remote.beside import Stored
from ems.compute.remote.moving import Objects

GROUP = "ems.backends"


@dataclass(frozen=True)
class Setting:
    """What a place is opened with, whatever its kind.

    `objects` are the store's; `cache` is this machine's folder for what can be made again. `warn`
    tells a person one sentence. `base` is the folder that relative paths of the settings start at.
    `stack` is the project's sky, as `.ems.yaml` names it. `store` are the same objects where the
    store lies in S3: a place beside it moves none of them through this machine.
    """

    objects: Objects
    cache: Path
    warn: Callable[[str], None]
    base: Path
    stack: str = ""
    store: Stored | None = None


@dataclass(frozen=True)
class Finding:
    """What a look at a place found, for `emsctl check`: ready, or why not and how to mend it."""

    place: str
    ready: bool
    what: str
    """`slurm 22.05.8, 3 nodes, 12 of 48 CPUs in use`; or what is wrong."""
    next_step: str = ""


class Kind(Protocol):
    """One kind of place. Importing it imports nothing heavy."""

    word: str
    """The key that a target of this kind has in `.ems.yaml`."""
    settings: type[Any]
    """A frozen msgspec Struct of a target's keys, `forbid_unknown_fields`, the word among them."""

    def open(self, name: str, settings: Any, setting: Setting) -> Sequence[Backend]:
        """Return a backend for each place of a target: `robots` has one for each host.

        Their names are the target's, or begin with it: `robots/robot1`. Nothing is asked of the
        place yet. Raises UsageError for settings that can't be.
        """
        ...

    def check(self, name: str, settings: Any, setting: Setting) -> Sequence[Finding]:
        """Ask each place of a target whether it is ready; never raises for what it answers."""
        ...


def kinds() -> Mapping[str, Callable[[], Kind]]:
    """Return what loads each kind that is installed, by its word."""
    from importlib.metadata import entry_points

    return {each.name: each.load for each in entry_points(group=GROUP)}
