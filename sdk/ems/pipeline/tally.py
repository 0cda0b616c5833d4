"""Counting a run: how many calls ran, were cached, failed, and how long the rest will take.

Pure over a board. Times come from earlier runs, by task; who counts is given a way to ask for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

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


Durations = Callable[[Iterable[str]], Mapping[str, float]]


class Tally:
    """The counts of one board.

    `durations` returns seconds from earlier runs by task name, as far as they are known; each name
    is asked for once, when a moment is first looked at. `slots` is how many tasks run at once.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._expected: dict[str, float | None] = {}
        self.durations: Durations = lambda _names: {}
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
        self._ask(task_of(each.label) for each in running)
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
                Running(each.label, each.elapsed_s, self._expected.get(task_of(each.label)))
                for each in running
            ],
        )

    def seconds_left(self, running: Sequence[Running] = ()) -> float | None:
        """Return the expected seconds to the end, or None where some task never ran before."""
        left = Counter(
            node.task.name
            for node, state in zip(self._board.graph.nodes, self._board.states, strict=True)
            if node.kind is Kind.CALL and state <= State.EXPANDED
        )
        self._ask(left)
        total = 0.0
        for name, count in left.items():
            expected = self._expected[name]
            if expected is None:
                return None
            total += count * expected
        spent = sum(min(r.elapsed_s, self._expected.get(task_of(r.label)) or 0.0) for r in running)
        return max(0.0, total - spent) / max(1, min(self.slots, left.total()))

    def _ask(self, names: Iterable[str]) -> None:
        new = {name for name in names if name not in self._expected}
        if new:
            known = self.durations(new)
            self._expected.update({name: known.get(name) for name in new})


def task_of(label: str) -> str:
    """Return the task's name in a label such as `sub/train[3]`."""
    return label.rsplit("/", 1)[-1].partition("[")[0]
