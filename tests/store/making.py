"""What the store's tests make: versions, records, stores with quick timings."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ems.store.entries import Failed, Record, Run
from ems.store.store import Store, Timing

QUICK = Timing(beat_s=0.1, stale_s=0.6, lock_s=0.3, gather_s=0.005)


def version(n: object) -> bytes:
    """Return the 32 bytes of some version."""
    return hashlib.sha256(str(n).encode()).digest()


def record(n: object, **changes: Any) -> Record:
    """Return a record of `version(n)`, with some fields changed."""
    values: dict[str, Any] = {
        "v": version(n).hex(),
        "gen": 1,
        "runner": "r-1",
        "run": "run-1",
        "task": "collect",
        "spec": "ab" * 32,
        "args": {"seed": 3},
        "out": 42,
        "content": f'"{n}"',
        "t0": 1000.0,
        "t1": 1002.5,
    }
    return Record(**(values | changes))


def failed(n: object, **changes: Any) -> Failed:
    """Return a failed attempt at `version(n)`."""
    values: dict[str, Any] = {
        "v": version(n).hex(),
        "gen": 1,
        "attempt": 1,
        "runner": "r-1",
        "run": "run-1",
        "task": "collect",
        "spec": "ab" * 32,
        "args": {"seed": 3},
        "reason": "exception",
        "t0": 1000.0,
        "t1": 1001.0,
        "error": {"type": "ValueError", "message": "no", "traceback": []},
    }
    return Failed(**(values | changes))


def run(id: str, **changes: Any) -> Run:
    """Return the entry of a run that began."""
    values: dict[str, Any] = {
        "id": id,
        "pipeline": "main",
        "file": "pipeline.py",
        "params": {},
        "who": "ann",
        "host": "lab",
        "started": 1000.0,
    }
    return Run(**(values | changes))


def opened(url: str | Path, cache: Path, **changes: Any) -> tuple[Store, list[str]]:
    """Return a store and the list that gathers its warnings."""
    warnings: list[str] = []
    timing = changes.pop("timing", QUICK)
    store = Store.open(url, cache=cache, timing=timing, warn=warnings.append, **changes)
    return store, warnings
