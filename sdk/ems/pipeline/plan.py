"""What a run would do: which calls are recorded, which would run, and how long that would take.

Knows boards and the store's look-up. Starts and writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ems.pipeline.board import Board, Lost, State
from ems.pipeline.graph import Kind

if TYPE_CHECKING:
    from ems.pipeline.runner import Policy
    from ems.pipeline.written import Written
    from ems.store.store import Store


class PlanRow(NamedTuple):
    """What would happen to the calls of one task; `why` names the label of one that would run."""

    task: str
    total: int
    cached: int
    run: int
    depends: int
    expected_s: float | None
    example: str = ""


class Plan(NamedTuple):
    """What a run would do: nothing was started or written."""

    pipeline: str
    rows: Sequence[PlanRow]
    expected_s: float | None
    unknown: int
    """Shapes (map, fold) whose items are not known before something runs."""


def plan(written: Written, store: Store, policy: Policy, slots: int) -> Plan:
    """Look up what is recorded, wave by wave, and say what the rest would be."""
    look_up(written, store, policy)
    return _planned(written, store, slots)


def look_up(written: Written, store: Store, policy: Policy) -> None:
    """Mark every call that is recorded as cached, wave by wave; nothing is written."""
    board = written.board
    gone: set[int] = set()
    while board.ready:
        calls, troubles = board.take_ready()
        for index, trouble in troubles:
            if isinstance(trouble, Lost) and trouble.index not in gone:  # it would run again
                gone.add(trouble.index)
                board.reopen(trouble.index)
                board.wait_for(index, [trouble.index])
        versions = {index: board.versions[index] for index in calls}
        hits = store.lookup([v for v in versions.values() if v is not None])
        for index in calls:
            hit = hits.get(versions[index] or b"")
            node = board.graph.nodes[index]
            if (
                hit is not None
                and index not in gone
                and policy.rerun.isdisjoint((node.task.name, node.label))
            ):
                board.done(index, hit.content, State.CACHED)


def _planned(written: Written, store: Store, slots: int) -> Plan:
    board = written.board
    found: dict[str, Counter[str]] = {}
    example: dict[str, str] = {}
    seen: set[bytes] = set()
    unknown = 0
    for node, state in zip(board.graph.nodes, board.states, strict=True):
        if node.kind is not Kind.CALL:
            unknown += node.kind is not Kind.GATHER and state is State.WAITING
            continue
        counts = found.setdefault(node.task.name, Counter())
        what = _fate(board, node.index, state, seen)
        counts[what] += 1
        if what == "run" and node.task.name not in example:
            example[node.task.name] = node.label
    expected = store.durations(list(found))
    rows = [
        PlanRow(
            name, counts.total() - counts["left out"], counts["cached"], counts["run"],
            counts["depends"], expected.get(name), example.get(name, ""),
        )
        for name, counts in found.items()
        if counts.total() > counts["left out"]
    ]  # fmt: skip
    busy = [row for row in rows if row.run or row.depends]
    known = all(row.expected_s is not None for row in busy)
    total = sum((row.expected_s or 0.0) * (row.run + row.depends) for row in busy)
    return Plan(written.name, rows, total / max(1, slots) if known else None, unknown)


def _fate(board: Board, index: int, state: State, seen: set[bytes]) -> str:
    if state is State.LEFT_OUT:
        return "left out"
    if state is State.CACHED:
        return "cached"
    version = board.versions[index]
    if version is None:
        return "depends"
    if version in seen:
        return "cached"
    seen.add(version)
    return "run"
