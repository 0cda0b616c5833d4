"""Changes in words: one line each, with a diff where it is code, and what lies behind them.

Pure. Knows changes as `ems.pipeline.why` finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ems.cli.texts import value
from ems.pipeline.why import ABSENT, Change

_MOST = 12
"""Lines of one kind that are shown before the rest is counted."""


def line(change: Change) -> str:
    """Return a change as one line."""
    if change.part == "cache":
        return "cache=False: it runs in every run"
    if change.part == "argument" and change.upstream:
        what = "another result of" if change.before is not ABSENT else "also takes the result of"
        return f"argument {change.name}: {what} {change.upstream}"
    name = f"{change.part} {change.name}".strip()
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


def lines(changes: Sequence[Change], *, diffs: bool = True) -> Iterator[str]:
    """Yield changes with diffs and causes below them, indented; each cause is told once."""
    yield from _told(changes, diffs, set())


def _told(changes: Sequence[Change], diffs: bool, told: set[tuple[str, ...]]) -> Iterator[str]:
    for change in changes[:_MOST]:
        yield line(change)
        if diffs:
            yield from (f"    {each}" for each in change.diff)
        causes = tuple(line(cause) for cause in change.causes)
        if causes and causes not in told:
            told.add(causes)
            yield from (f"  {each}" for each in _told(change.causes, diffs, told))
    if len(changes) > _MOST:
        yield f"and {len(changes) - _MOST} more differences"


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
