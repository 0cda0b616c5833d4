"""The manifest of a version: everything that is kept of it, as one readable document.

Knows records, failed attempts and spec documents. Loads no values: they stay trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ems.cli.library import Library
from ems.errors import StoreError
from ems.store.entries import Failed, Record

if TYPE_CHECKING:
    from ems.store.store import Store

SCHEMA = 1


def manifest(store: Store, version: str) -> dict[str, Any]:
    """Return the document of a version: of its record, or else of its last attempt."""
    library, attempts = Library(store), store.attempts(version)
    entry = library.entry(version)
    if entry is None:
        raise StoreError(f"version {version[:12]}", "is not recorded any more", "emsctl runs")
    winner = store.record(version)
    return {
        "schema": SCHEMA,
        "version": version,
        "task": entry.task,
        "state": "recorded" if winner is not None else _state(entry),
        "run": entry.run,
        "spec": _spec(library, entry.spec),
        "args": library.shown(entry.args),
        **_outcome(library, entry),
        **_timing(entry),
        "used": {"cpu_s": entry.cpu_s, "rss_mib": entry.rss_mib},
        "place": entry.place,
        "who": entry.who,
        "attempts": [_attempt(each, each == winner) for each in attempts],
    }


def _state(entry: Record | Failed) -> str:
    return "failed" if isinstance(entry, Failed) else "revoked"


def _spec(library: Library, digest: str) -> dict[str, Any]:
    document = library.document(digest)
    return {"digest": digest, **document} if document else {}


def _outcome(library: Library, entry: Record | Failed) -> dict[str, Any]:
    """Return what came of an attempt; both kinds have the same keys."""
    common: dict[str, Any] = {
        "exit": entry.exit,
        "log": library.text(entry.log),
        "metrics": library.rows(entry.metrics),
    }
    if isinstance(entry, Record):
        return {
            "out": library.shown(entry.out),
            "content": entry.content,
            "files": [list(row) for row in entry.files],
            "asked": dict(entry.asked),
            "usd": entry.usd,
            "reason": "",
            "signal": None,
            "error": None,
            **common,
        }
    return {
        "out": None,
        "content": None,
        "files": [],
        "asked": {},
        "usd": 0.0,
        "reason": entry.reason,
        "signal": entry.signal,
        "error": dict(entry.error) if entry.error else None,
        **common,
    }


def _timing(entry: Record | Failed) -> Mapping[str, float]:
    return {
        "started": entry.t0,
        "ended": entry.t1,
        "seconds": round(max(0.0, entry.t1 - entry.t0), 6),
    }


def _attempt(entry: Record | Failed, winner: bool) -> dict[str, Any]:
    failed = isinstance(entry, Failed)
    return {
        "state": "failed" if failed else "recorded" if winner else "superseded",
        "reason": entry.reason if failed else "",
        "run": entry.run,
        "gen": entry.gen,
        "try": entry.attempt if failed else None,
        "who": entry.who,
        "place": entry.place,
        **_timing(entry),
    }
