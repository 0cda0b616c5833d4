"""Changes in words: one line each, with a diff where it is code, and what lies behind them.

Pure. Knows changes as `ems.pipeline.why` finds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ems.cli.library import mapping
from ems.cli.texts import plural, value
from ems.pipeline.why import ABSENT, Change

OWN = "task"
"""The part that is the task's own function, whose name does not count."""
_MOST = 12
"""Sorts of changes that are shown before the rest is counted."""
_ALIKE = 3
"""Changes of one sort that are shown, such as items of one argument."""


def line(change: Change) -> str:
    """Return a change as one line."""
    if change.part == "cache":
        return "cache=False: it runs in every run"
    if change.upstream:
        return f"argument {change.name}: {_upstream(change)} {change.upstream}"
    own = change.part == "code" and change.name == OWN
    name = "the task's own code" if own else f"{change.part} {change.name}".strip()
    if change.part == "code" and change.before is ABSENT:
        return f"{name} is reached now"
    if change.part == "code" and change.after is ABSENT:
        return f"{name} is not reached any more"
    if change.before is ABSENT:
        return f"{name} is new: {_shown(change, change.after)}"
    if change.after is ABSENT:
        return f"{name} is gone: {_shown(change, change.before)}"
    if change.part in ("code", "command", "outputs"):
        return f"{name} changed"
    return f"{name}: {_shown(change, change.before)} → {_shown(change, change.after)}"


def _upstream(change: Change) -> str:
    if change.before is ABSENT:
        return "takes as well the result of"
    if change.after is ABSENT:
        return "takes no more the result of"
    if "$of" not in mapping(change.before):
        return f"{_shown(change, change.before)} → result of"
    return "another result of"


def lines(changes: Sequence[Change], *, diffs: bool = True) -> Iterator[str]:
    """Yield changes with diffs and causes below them, indented; each cause is told once."""
    yield from _told(changes, diffs, set())


def _told(changes: Sequence[Change], diffs: bool, told: set[tuple[str, ...]]) -> Iterator[str]:
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(sort_of(change), []).append(change)
    for group in list(groups.values())[:_MOST]:
        for change in group[:_ALIKE]:
            yield line(change)
            if diffs:
                yield from (f"    {each}" for each in change.diff)
            causes = tuple(line(cause) for cause in change.causes)
            if causes and causes not in told:
                told.add(causes)
                yield from (f"  {each}" for each in _told(change.causes, diffs, told))
        if len(group) > _ALIKE:
            yield f"and {len(group) - _ALIKE} more of {_base(group[0])}"
    if len(groups) > _MOST:
        yield f"and {plural(len(groups) - _MOST, 'more part')}"


def sort_of(change: Change) -> str:
    """Return what changes have in common that differ in values alone, or in an item's place."""
    return f"{change.part} {_base(change)} {change.upstream}"


def _base(change: Change) -> str:
    return re.split(r"[\[.]", change.name)[0] if change.part == "argument" else change.name


def document(change: Change) -> dict[str, Any]:
    """Return a change as JSON holds it; what is absent is null."""
    return {
        "part": change.part,
        "name": change.name,
        "before": None if change.before is ABSENT else change.before,
        "after": None if change.after is ABSENT else change.after,
        "diff": list(change.diff),
        "upstream": change.upstream or None,
        "causes": [document(cause) for cause in change.causes],
    }


def _shown(change: Change, found: Any) -> str:
    return found if change.part == "environment" and isinstance(found, str) else value(found, 60)
