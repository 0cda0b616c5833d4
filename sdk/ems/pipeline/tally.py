"""Counting a run: how many calls ran, were cached, failed, and how long the rest will take.

Pure over a board. Times come from earlier runs, by task, and from this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ems.pipeline.board import Board, State
from ems.pipeline.graph import Kind
from ems.pipeline.observer import Running, Snapshot

HOW = {
    State.CACHED: "cached",
    State.RAN: "ran",
    State.FAILED: "failed",
    State.SKIPPED: "skipped",
    State.LEFT_OUT: "left out",
}


class Tally:
    """The counts of one board; `expected` maps task names to seconds from earlier runs."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.expected: Mapping[str, float] = {}
        self.slots = 1

    def counts(self) -> dict[str, int]:
        """Return how many calls came to which end; `pending` are those that did not."""
        found = Counter(
            HOW.get(state, "pending")
            for node, state in zip(self._board.graph.nodes, self._board.states, strict=True)
            if node.kind is Kind.CALL
        )
        return dict(found)

    def snapshot(self, running: Sequence[Running], elsewhere: int, elapsed_s: float) -> Snapshot:
        """Return the counts as a person sees them, with the time that is left if it is known."""
        counts = self.counts()
        return Snapshot(
            total=sum(counts.values()) - counts.get("left out", 0),
            ran=counts.get("ran", 0),
            cached=counts.get("cached", 0),
            failed=counts.get("failed", 0),
            skipped=counts.get("skipped", 0),
            waiting_elsewhere=elsewhere,
            elapsed_s=elapsed_s,
            eta_s=self.seconds_left(running),
            running=[
                Running(each.label, each.elapsed_s, self.expected.get(task_of(each.label)))
                for each in running
            ],
        )

    def seconds_left(self, running: Sequence[Running] = ()) -> float | None:
        """Return the expected seconds to the end, or None where some task never ran before."""
        total = 0.0
        for node, state in zip(self._board.graph.nodes, self._board.states, strict=True):
            if node.kind is not Kind.CALL or state > State.EXPANDED:
                continue
            expected = self.expected.get(node.task.name)
            if expected is None:
                return None
            total += expected
        spent = sum(min(r.elapsed_s, self.expected.get(task_of(r.label), 0.0)) for r in running)
        return max(0.0, total - spent) / max(1, self.slots)


def task_of(label: str) -> str:
    """Return the task's name in a label such as `sub/train[3]`."""
    return label.rsplit("/", 1)[-1].partition("[")[0]
