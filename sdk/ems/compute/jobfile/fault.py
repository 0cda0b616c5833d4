"""What is wrong with a job's file: one fault, and all of them as one error.

Knows how a fault is said. Does not know who finds faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ems.errors import UsageError

Step = str | int
"""A key, or the place in a list."""
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Fault:
    """One thing that is off: where, what, and what to do about it."""

    steps: Steps
    what: str
    next: str = ""
    line: int = 0
    """The line of the key, or of the nearest above it that is there; 0 where there is no file."""

    @property
    def where(self) -> str:
        """Return the key's path: `[2].resources.cpus`."""
        text = ""
        for step in self.steps:
            text += f"[{step}]" if isinstance(step, int) else f".{step}"
        return text.removeprefix(".")

    def said(self, file: str) -> str:
        """Return it as one line."""
        place = f"{file}:{self.line}: " if self.line else ""
        where = f"{self.where}: " if self.steps else ""
        text = f"{place}{where}{self.what}"
        return f"{text}. Try: {self.next}" if self.next else text


class JobFileError(UsageError):
    """Jobs are off; holds every fault that was found, and prints them as one list."""

    def __init__(self, subject: str, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = "".join(f"\n  {fault.said(subject)}" for fault in self.faults)
        super().__init__(subject, f"{count}, and nothing was submitted{lines}")

    def __reduce__(self) -> tuple[type[JobFileError], tuple[str, tuple[Fault, ...]]]:
        return type(self), (self.subject, self.faults)
