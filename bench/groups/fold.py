"""A fold over 64 arrivals of which one is new: it must cost one step, and run one step."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.contenders import Contender, ems_folder, ems_variables
from bench.lineup import Lineup
from bench.measure import Case, Results, Step, Steps
from bench.rows import STEP_S

ARRIVALS = 64


def cases(lineup: Lineup) -> list[Case]:
    return [_fold(lineup.ems)] if lineup.ems else []


def derive(lineup: Lineup, results: Results) -> None:
    new = results.median("fold.new", "ems")
    none = results.median("fold.none", "ems")
    if new and none:
        results.derive("fold.added", "ems", new - none)


def _fold(ems: Contender) -> Case:
    def steps(folder: Path) -> Steps:
        ems_folder(folder, "fold.py")
        count = folder / "count.txt"
        count.write_text("")
        (folder / "settings.py").write_text(f"COUNT = {str(count)!r}\nSTEP_S = {STEP_S}\n")
        (folder / "raw").mkdir()
        began = time.time() - ARRIVALS
        for number in range(ARRIVALS - 1):
            _arrive(folder, number, began)
        argv = (ems.environment.program("emsctl"), "run", "fold.py")
        variables = ems_variables(ems.environment, folder)
        for row, ran in (
            ("fold.first", ARRIVALS - 1),
            ("fold.none", ARRIVALS - 1),
            ("fold.new", ARRIVALS),
        ):
            if row == "fold.new":
                _arrive(folder, ARRIVALS - 1, began)
            yield Step(row, argv, folder, variables, verify=lambda _, n=ran: _ran(count, n))

    return Case(ems.name, "fold", steps)


def _arrive(folder: Path, number: int, began: float) -> None:
    """A file of its own content and time; its name says nothing about the order."""
    path = folder / "raw" / f"{(number * 37) % ARRIVALS:02}.txt"
    path.write_text(f"{number}\n")
    os.utime(path, (began + number, began + number))


def _ran(count: Path, wanted: int) -> str | None:
    found = len(count.read_text().splitlines())
    return None if found == wanted else f"{found} steps have run by now, not {wanted}"
