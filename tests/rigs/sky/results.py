"""What one command of the engine did, read from its event log.

Knows no command and no process.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

_BETWEEN = ("replace", "create-replacement", "delete-replaced", "discard-replaced")
"""The parts of a replacement; `replace` stands for all of them."""
UNCHANGED = ("same", "read", "refresh", "read-replacement")


@dataclass(frozen=True)
class Step:
    """One thing that was done, or would be, to one resource."""

    op: str
    """create, update, replace, delete, same, … as the engine calls it."""
    urn: str
    type: str
    changed: tuple[str, ...] = ()
    """Paths of the properties that differ, dotted."""
    replacing: tuple[str, ...] = ()
    """The properties that need a new resource."""
    state: str = "begun"
    """begun, done or failed."""
    custom: bool = True
    """False for components and the stack itself."""

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.split("::", 3)[-1]


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    command: str
    code: int
    stdout: str
    stderr: str
    steps: tuple[Step, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    """URN (empty where it is of no resource) and message."""
    warnings: tuple[str, ...] = ()
    summary: Mapping[str, int] = field(default_factory=dict)
    """The engine's own counts."""
    took_s: float = 0

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Resources by what was done to them; components and the stack itself count too."""
        return Counter(step.op for step in self.steps)

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change a resource in the cloud (no providers, no components)."""
        return tuple(s for s in self.steps if s.op not in UNCHANGED and _real(s))

    def names(self, *ops: str) -> list[str]:
        """Return the names of the resources that one of `ops` was done to, sorted."""
        return sorted(step.name for step in self.steps if step.op in ops and _real(step))

    def types(self, *ops: str) -> Mapping[str, int]:
        """Return how many of each type one of `ops` was done to."""
        return Counter(step.type for step in self.steps if step.op in ops and _real(step))

    def step(self, name: str) -> Step:
        """Return the step of the one resource in the cloud that has this name."""
        found = [step for step in self.steps if step.name == name and _real(step)]
        if len(found) != 1:
            raise LookupError(f"{name}: {len(found)} steps in `{self.command}`")
        return found[0]

    def shown(self) -> str:
        """Return the end of what the command printed, for a person."""
        return "\n".join((self.stdout + self.stderr).splitlines()[-60:])


def read(log: Path) -> dict[str, Any]:
    """Return what an event log says, as `Result`'s fields; a broken last line is left out."""
    steps: dict[str, Step] = {}
    errors: list[tuple[str, str]] = []
    warnings: list[str] = []
    summary: Mapping[str, int] = {}
    for event in _events(log):
        if "summaryEvent" in event:
            summary = event["summaryEvent"].get("resourceChanges") or {}
        said = event.get("diagnosticEvent")
        if said and said["severity"] == "error":
            errors.append((said.get("urn", ""), said["message"].strip()))
        elif said and said["severity"] == "warning" and "from $PATH" not in said["message"]:
            warnings.append(said["message"].strip())
        for kind, state in _STEPS.items():
            if kind in event:
                _take(steps, event[kind]["metadata"], state)
    return {
        "steps": tuple(steps.values()),
        "errors": tuple(errors),
        "warnings": tuple(warnings),
        "summary": summary,
    }


_STEPS = {"resourcePreEvent": "begun", "resOutputsEvent": "done", "resOpFailedEvent": "failed"}


def _take(steps: dict[str, Step], data: Mapping[str, Any], state: str) -> None:
    """A resource's latest event holds; the parts of a replacement count as one step."""
    urn, op = data["urn"], data["op"]
    before = steps.get(urn)
    if op in _BETWEEN:
        op = "replace"
        if state == "begun" or (before and before.op == "replace" and before.state == "failed"):
            state = before.state if before and before.op == "replace" else "begun"
    changed = tuple(data.get("detailedDiff") or data.get("diffs") or ())
    replacing = tuple(data.get("keys") or ())
    if before and before.op == op:
        changed, replacing = changed or before.changed, replacing or before.replacing
    custom = bool((data.get("new") or data.get("old") or {}).get("custom"))
    steps[urn] = Step(op, urn, data["type"], changed, replacing, state, custom)


def _events(log: Path) -> Iterator[Mapping[str, Any]]:
    if log.exists():
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n") or line.rstrip().endswith("}"):
                try:
                    yield json.loads(line)
                except ValueError:
                    return


def _real(step: Step) -> bool:
    """Whether a step is of something in the cloud: no component, no provider."""
    return step.custom and not step.type.startswith("pulumi:")
