"""Targets: the places of `.ems.yaml`, by name, read and checked, and opened when they are needed.

    targets:
      robots: {ssh: [pi@robot1, pi@robot2], slots: 2}
      cluster: {slurm: here, folder: /shared/ems, partition: gpu}

Those of a stack (`ems.compute.derived`) stand beside them. Knows kinds by their words alone. Asks
no place anything before a job goes there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import msgspec

from ems.compute.backend import ANYWHERE, LOCAL, Backend
from ems.compute.environments.tidying import Tidied, Tidy
from ems.compute.kinds import Finding, Kind, Setting, kinds
from ems.errors import UsageError, did_you_mean

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


class Lack(NamedTuple):
    """What must be said of a place of the stack, and how, before jobs go there unasked."""

    problem: str
    next_step: str


@dataclass(frozen=True)
class Target:
    """A place or a pool of places, under the name that `on=` calls it by."""

    name: str
    kind: Kind
    settings: Any
    """The kind's own; None where `lack` keeps them from being made."""
    stack: str = ""
    """The stack that it comes from; nothing for one of `.ems.yaml`."""
    lack: Lack | None = None

    def open(self, setting: Setting) -> Sequence[Backend]:
        """Return a backend for each of its places."""
        if self.settings is None and self.lack is not None:
            raise UsageError(f"target {self.name}", *self.lack)
        return self.kind.open(self.name, self.settings, setting)

    def check(self, setting: Setting) -> Sequence[Finding]:
        """Return what a look at each of its places finds; none at one that lacks something."""
        if self.lack is not None:
            return [Finding(self.name, False, *self.lack)]
        return self.kind.check(self.name, self.settings, setting)

    def tidy(self, setting: Setting, older_s: float, *, remove: bool) -> Sequence[Tidied]:
        """Return which environments of its places nobody used for so long; none if it makes none.

        They are removed where that is asked for.
        """
        if not isinstance(self.kind, Tidy):
            return []
        return self.kind.tidy(self.name, self.settings, setting, older_s, remove=remove)


class Targets(Mapping[str, Target]):
    """The targets of `.ems.yaml`, and those of the stack behind them.

    The stack is read when a word is not in `.ems.yaml`, or when all targets are asked for. A pass
    over them gives what `auto` stands for: each place once, and none that lacks something; more
    names than those may lead to a target.
    """

    def __init__(
        self,
        written: Mapping[str, Target],
        derive: Callable[[], Mapping[str, Target]] = dict[str, Target],
    ) -> None:
        self.written = written
        self._derive = derive

    @cached_property
    def derived(self) -> Mapping[str, Target]:
        """The targets of the stack by all of their names."""
        return self._derive()

    def listed(self) -> dict[str, Target]:
        """Return all targets, each once, under the name that it is best called by."""
        found = dict(self.written)
        for name, each in self.derived.items():
            if name not in found and all(each is not other for other in found.values()):
                found[name] = each
        return found

    def __getitem__(self, name: str) -> Target:
        found = self.written.get(name)
        return self.derived[name] if found is None else found

    def __contains__(self, name: object) -> bool:
        return name in self.written or name in self.derived

    def __iter__(self) -> Iterator[str]:
        return (
            name
            for name, each in self.listed().items()
            if each.lack is None and not self._is_written(each)
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _is_written(self, each: Target) -> bool:
        """Whether `.ems.yaml` says something of its own about a place of the stack."""
        mine = getattr(each.settings, each.kind.word, "")
        said = (
            getattr(other.settings, each.kind.word, "")
            for other in self.written.values()
            if each.stack and other.kind.word == each.kind.word
        )
        return any(one == mine or str(one).startswith(f"{mine}/") for one in said)


def read(targets: Mapping[str, Any], where: str = "targets") -> dict[str, Target]:
    """Return the targets of a settings file; raises UsageError for the first that can't be."""
    return {name: _target(name, keys, f"{where}: {name}") for name, keys in targets.items()}


def is_name(name: str) -> bool:
    """Return whether a target may be called so."""
    return bool(_NAME.fullmatch(name)) and name not in (LOCAL, ANYWHERE)


def _target(name: str, keys: Any, where: str) -> Target:
    if not is_name(name):
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
