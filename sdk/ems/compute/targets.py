"""Targets: the places of `.ems.yaml`, by name, read and checked, and opened when they are needed.

    targets:
      robots: {ssh: [pi@robot1, pi@robot2], slots: 2}
      cluster: {slurm: here, folder: /shared/ems, partition: gpu}

Knows kinds by their words alone. Asks no place anything before a job goes there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from ems.compute.backend import ANYWHERE, LOCAL, Backend
from ems.compute.kinds import Finding, Kind, Setting, kinds
from ems.errors import UsageError, did_you_mean

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class Target:
    """A place or a pool of places, under the name that `on=` calls it by."""

    name: str
    kind: Kind
    settings: Any

    def open(self, setting: Setting) -> Sequence[Backend]:
        """Return a backend for each of its places."""
        return self.kind.open(self.name, self.settings, setting)

    def check(self, setting: Setting) -> Sequence[Finding]:
        """Return what a look at each of its places finds."""
        return self.kind.check(self.name, self.settings, setting)


def read(targets: Mapping[str, Any], where: str = "targets") -> dict[str, Target]:
    """Return the targets of a settings file; raises UsageError for the first that can't be."""
    return {name: _target(name, keys, f"{where}: {name}") for name, keys in targets.items()}


def _target(name: str, keys: Any, where: str) -> Target:
    if not _NAME.fullmatch(name) or name in (LOCAL, ANYWHERE):
        allowed = "a small letter, then letters, digits or hyphens, 31 at most"
        raise UsageError(where, f"is no name for a target (allowed: {allowed}; {LOCAL} is taken)")
    known = kinds()
    if not isinstance(keys, dict):
        raise UsageError(where, "is no mapping", f"{name}: {{ssh: user@host}}")
    found = cast("dict[str, Any]", keys)
    words = [word for word in known if word in found]
    if len(words) != 1:
        near = next((near for key in found if (near := did_you_mean(str(key), sorted(known)))), "")
        said = "stands under several kinds" if words else f"stands under no kind of place{near}"
        raise UsageError(where, f"{said} (allowed, one of: {', '.join(sorted(known))})")
    kind = known[words[0]]()
    try:
        return Target(name, kind, msgspec.convert(found, kind.settings))
    except msgspec.ValidationError as error:
        allowed = ", ".join(kind.settings.__struct_fields__)
        raise UsageError(where, f"{error} (keys: {allowed})") from None
