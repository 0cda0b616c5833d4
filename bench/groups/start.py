"""What a command costs that has next to nothing to do: `--help`, and one task that is cached."""

from __future__ import annotations

from pathlib import Path

from bench.contenders import Contender, python_contender
from bench.lineup import Lineup
from bench.measure import Case, Results, Step, Steps

TIMES = 3
"""How often a round takes each of these short measurements."""


def cases(lineup: Lineup) -> list[Case]:
    found = [_nothing(python_contender())]
    found += [_help(each) for each in lineup.all if each.help]
    found += [_one(each) for each in lineup.all if each.one]
    return found


def derive(lineup: Lineup, results: Results) -> None:
    """Nothing follows from these."""


def _nothing(python: Contender) -> Case:
    def steps(folder: Path) -> Steps:
        argv = (python.environment.program("python"), "-c", "pass")
        for _ in range(TIMES):
            yield Step("start.python", argv, folder, python.environment.variables(folder))

    return Case(python.name, "nothing", steps)


def _help(contender: Contender) -> Case:
    def steps(folder: Path) -> Steps:
        argv = (contender.environment.program(contender.help), "--help")
        for _ in range(TIMES):
            yield Step("start.help", argv, folder, contender.environment.variables(folder))

    return Case(contender.name, "help", steps)


def _one(contender: Contender) -> Case:
    one = contender.one
    assert one is not None
    return Case(contender.name, "one", lambda folder: one(contender.environment, folder))
