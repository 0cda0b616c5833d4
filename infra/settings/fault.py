"""What is wrong with an environment's settings: one fault, and all of them as one error.

Knows how a fault is said. Does not know who finds faults, nor in which file they stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ems.errors import UsageError

Level = Literal["error", "warning"]
Step = str | int
"""A key, or the place in a list."""

NAMESPACE = "ems"
_PLAIN = re.compile(r"^[A-Za-z0-9_-]+$")
_LAST = re.compile(r"(\.[A-Za-z0-9_-]+|\[[^\[\]]*\])$")


@dataclass(frozen=True)
class Fault:
    """One thing that is off: where, what, and what to do about it."""

    where: str
    """The key's path (`ems:sites.oregon.cidr`), or what else it is about (`credentials`)."""
    what: str
    next: str = ""
    level: Level = "error"
    line: str = ""
    """File and line, where the settings come from a file."""

    def __str__(self) -> str:
        text = f"{self.line}: " if self.line else ""
        text += f"{self.where}: {self.what}"
        return f"{text}. Try: {self.next}" if self.next else text


class SettingsError(UsageError):
    """Settings are off; holds every fault that was found, and prints them as one list."""

    def __init__(self, subject: str, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = "".join(f"\n  {fault}" for fault in self.faults)
        super().__init__(subject, f"{count}, and nothing was changed{lines}")

    def __reduce__(self) -> tuple[type[SettingsError], tuple[str, tuple[Fault, ...]]]:
        return type(self), (self.subject, self.faults)


def at(*steps: Step) -> str:
    """Return a key's path: `at("sites", "oregon", "zones", 1)` is `ems:sites.oregon.zones[1]`."""
    text = f"{NAMESPACE}:"
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.match(step):
            text += step if text.endswith(":") else f".{step}"
        else:
            text += f"[{step!r:.60}]"
    return text


def with_lines(faults: Sequence[Fault], lines: Mapping[str, int], file: str) -> list[Fault]:
    """Return the faults with the line of their key, or of the nearest key above that is there.

    What is about no key (`credentials`) has no line.
    """
    found: list[Fault] = []
    for fault in faults:
        where = fault.where
        if not where.startswith(f"{NAMESPACE}:"):
            found.append(fault)
            continue
        while where not in lines and (shorter := _LAST.sub("", where)) != where:
            where = shorter
        place = f"{file}:{lines[where]}" if where in lines else file
        found.append(replace(fault, line=fault.line or place))
    return found


def errors(faults: Sequence[Fault]) -> list[Fault]:
    """Return the faults that stop a deployment."""
    return [fault for fault in faults if fault.level == "error"]


def concerns(where: str, other: str) -> bool:
    """Whether what is said of one path follows from what is off at the other.

    It does where the path is the other, lies inside it, or is a list that holds it.
    """
    inside = where.startswith(other) and where[len(other) :][:1] in ("", ".", "[")
    return inside or other.startswith(f"{where}[")
