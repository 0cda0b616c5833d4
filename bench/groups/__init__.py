"""The groups of rows, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.groups import broker, code, content, fold, growth, movement, places, sky, start, tasks
from bench.lineup import Lineup
from bench.measure import Case, Results


@dataclass(frozen=True, slots=True)
class Group:
    """`cases` are measured; `derive` then adds the rows that follow from others."""

    name: str
    cases: Callable[[Lineup], list[Case]]
    derive: Callable[[Lineup, Results], None]


GROUPS = tuple(
    Group(module.__name__.rpartition(".")[2], module.cases, module.derive)
    for module in (start, tasks, growth, code, content, fold, sky, places, broker, movement)
)
