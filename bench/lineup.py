"""What the groups of measurements share: who takes part, where, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import Contender


@dataclass(frozen=True, slots=True)
class Lineup:
    """One run of the benchmark. `cleanup` runs at its end, after everything was measured."""

    ems: Contender | None
    peers: Sequence[Contender]
    quick: bool
    work: Path
    cleanup: ExitStack

    @property
    def all(self) -> list[Contender]:
        return [*([self.ems] if self.ems else []), *self.peers]

    def peer(self, name: str) -> Contender | None:
        return next((each for each in self.peers if each.name == name), None)
