"""The digest of the code that a task reaches: first, nothing changed, one module edited.

A part of EMS rather than a command, so it is timed within the process; the process is shown too.
Each of the three is a new process; what the one before kept on disk is there for it.
"""

from __future__ import annotations

from pathlib import Path

from bench.contenders import PROGRAMS, Contender, ems_variables
from bench.lineup import Lineup
from bench.measure import Case, Results, Step, Steps, last_json
from bench.project import LINES, MODULES, edit_module, make_project

EDITED = MODULES // 2
_PROGRAM = PROGRAMS / "code_digest.py"


def cases(lineup: Lineup) -> list[Case]:
    return [_digest(lineup.ems)] if lineup.ems else []


def derive(lineup: Lineup, results: Results) -> None:
    """Nothing follows from these."""


def _digest(ems: Contender) -> Case:
    def steps(folder: Path) -> Steps:
        project = folder / "project"
        lines = make_project(project)
        assert lines == MODULES * LINES, f"the project has {lines} lines"
        digests: list[object] = []

        def reaches_all(output: str) -> str | None:
            found = last_json(output)
            digests.append(found.get("digest"))
            if found.get("modules", 0) < MODULES:
                return f"the digest covers {found.get('modules')} modules, not {MODULES}"
            return None

        def unchanged(output: str) -> str | None:
            same = reaches_all(output) is None and digests[-1] == digests[0]
            return None if same else "the digest differs though nothing changed"

        def changed(output: str) -> str | None:
            differs = reaches_all(output) is None and digests[-1] != digests[0]
            return None if differs else "the digest is the same though a module changed"

        for what, verify in (("first", reaches_all), ("unchanged", unchanged), ("edit", changed)):
            if what == "edit":
                edit_module(project, EDITED)
            yield Step(
                f"code.{what}.process",
                (ems.environment.program("python"), str(_PROGRAM), str(project)),
                folder,
                ems_variables(ems.environment, folder),
                reads={"seconds": f"code.{what}"},
                verify=verify,
            )

    return Case(ems.name, "code", steps)
