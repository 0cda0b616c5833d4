"""Finding what a word means: a run, a version, a task of a run.

Runs are named by the start of their id, `last` (or `@`) and `last~2`, versions by the start of
their hex or by a call's label (`train[1]`, `RUN:train[1]`). What is unknown or ambiguous ends with
the candidates. Knows the store's questions only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ems.cli.texts import SHORT
from ems.errors import StoreError, UsageError, did_you_mean

if TYPE_CHECKING:
    from ems.pipeline.nodes import NodeRow
    from ems.store.answers import RunInfo
    from ems.store.store import Store

_LAST = re.compile(r"(?:last|@)(?:~(\d{1,6}))?")
_HEX = re.compile(r"[0-9a-f]{4,64}", re.ASCII)
_SHOWN = 6


def run_of(store: Store, word: str) -> RunInfo:
    """Return the run that a word names; raises UsageError with what is near."""
    found = _run_or_none(store, word)
    if found is None:
        raise _unknown(store, word, "run")
    return found


def version_of(store: Store, word: str) -> str:
    """Return the version that a word names, in hex; raises UsageError with what is near.

    The word begins its hex, or is a call's label: `train[1]` in the last run, `RUN:train[1]`.
    """
    found = version_or_none(store, word) or _version_of_call(store, word)
    if found is None:
        raise _unknown(store, word, "version")
    return found


def run_or_version(store: Store, word: str) -> RunInfo | str:
    """Return the run or else the version that a word names."""
    found = _run_or_none(store, word) or version_or_none(store, word)
    if found is None:
        raise _unknown(store, word, "run or version")
    return found


def _run_or_none(store: Store, word: str) -> RunInfo | None:
    last = _LAST.fullmatch(word)
    if last:
        back = int(last[1] or 0)
        runs = store.runs(back + 1)
        if len(runs) <= back:
            raise UsageError(word, f"the store has {_runs(len(runs))}", "emsctl runs")
        return store.run(runs[back].id)
    found = store.find_run(word) if word else []
    if len(found) > 1 and word not in found:
        raise _ambiguous(word, "runs", found, "emsctl runs")
    return store.run(word if word in found else found[0]) if found else None


def version_or_none(store: Store, word: str) -> str | None:
    """Return the version whose hex a word begins, or None where there is none."""
    found = store.find(word.lower()) if _HEX.fullmatch(word.lower()) else []
    if len(found) > 1:
        shown = _telling(found)
        raise _ambiguous(word, "versions", shown, f"emsctl show {shown[0]}")
    return found[0] if found else None


def named(store: Store, word: str) -> RunInfo | str:
    """Return the run, or else the version, that a word names; labels of calls too."""
    found = _run_or_none(store, word) or version_or_none(store, word)
    return found or _version_of_call(store, word) or run_or_version(store, word)


def _version_of_call(store: Store, word: str) -> str | None:
    from ems.cli.history import calls

    run, _, label = word.rpartition(":")
    info = _run_or_none(store, run or "last") if store.runs(1) else None
    if info is None or not label:
        return None
    try:
        rows = [row for row in calls(store, info) if row.version]
    except StoreError:  # the list of its calls is gone
        return None
    found = [row for row in rows if row.label == label] or [r for r in rows if r.task == label]
    if len(found) > 1:
        labels = [row.label for row in found]
        raise _ambiguous(
            word, "calls", labels, f"emsctl show '{run + ':' if run else ''}{labels[0]}'"
        )
    return found[0].version if found else None


def rows_of(rows: Sequence[NodeRow], word: str, run_id: str) -> list[NodeRow]:
    """Return the calls of a run that a word names: one by its label, or all of a task."""
    found = [row for row in rows if row.label == word] or [row for row in rows if row.task == word]
    if not found:
        known = sorted({row.task for row in rows} | {row.label for row in rows})
        tasks = ", ".join(sorted({row.task for row in rows})) or "none"
        raise UsageError(
            word,
            f"no such task in run {run_id}{did_you_mean(word, known)} (it has {tasks})",
            f"emsctl show {run_id}",
        )
    return found


def _telling(versions: Sequence[str]) -> list[str]:
    """Return the versions, as short as tells them apart."""
    length = SHORT
    while len({version[:length] for version in versions}) < len(versions):
        length += 4
    return [version[:length] for version in versions]


def _ambiguous(word: str, what: str, found: Sequence[str], next_step: str) -> UsageError:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    shown = ", ".join(found[:_SHOWN])
    return UsageError(word, f"names {len(found)} {what}: {shown}{more}", next_step)


def _unknown(store: Store, word: str, what: str) -> UsageError:
    known = [run.id for run in store.runs(200)]
    near = _near(word, known)
    hint = (
        "; a version is named by at least 4 hex digits" if what != "run" and len(word) < 4 else ""
    )
    if not known:
        return UsageError(
            word, f"no such {what}: the store {store.url} has no runs", "emsctl run FILE"
        )
    return UsageError(word, f"no such {what}{near}{hint}", "emsctl runs")


def _near(word: str, known: Sequence[str]) -> str:
    parts = [run for run in known if len(word) > 2 and word in run]
    if parts:
        return f" (there are {', '.join(parts[:3])})"
    return did_you_mean(word, list(known))


def _runs(count: int) -> str:
    return {0: "no runs", 1: "one run"}.get(count, f"{count} runs")
