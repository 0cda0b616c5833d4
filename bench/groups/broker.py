"""What the broker takes of this machine while 1,000 jobs wait and run at a place.

The jobs sleep. Slurm runs eight of them at a time, the host by ssh as many as SLOTS, and the rest
wait: a thousand running Pythons are more than a machine of this size holds. For the broker that is
the same work: it asks for all of them.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from functools import partial
from pathlib import Path

from bench.contenders import EMS_CACHE, PROGRAMS, Contender
from bench.lineup import Lineup
from bench.measure import Case, Results, Step, Steps
from bench.places import SLURM, SSH
from bench.places.ground import Place, settings_of

JOBS, QUICK_JOBS = 1000, 50
SLOTS = 16
SLEEP_S, WATCH_S, QUICK_WATCH_S = 20, 30, 5


def cases(lineup: Lineup) -> list[Case]:
    ems = lineup.ems
    if not ems:
        return []
    there = [place for place in (SSH, SLURM) if not place.missing()]
    return [
        Case("ems", f"broker-{place.word}", partial(_steps, ems, place, lineup.quick), 1)
        for place in there
    ]


def derive(lineup: Lineup, results: Results) -> None:
    """Nothing follows from these."""


def _steps(ems: Contender, place: Place, quick: bool, folder: Path) -> Steps:
    short = Path(tempfile.mkdtemp(prefix="ems-b-"))
    try:
        with place.up(short) as ground:
            target = {**(ground.target or {}), **({"slots": SLOTS} if place is SSH else {})}
            ground = dataclasses.replace(ground, target=target)
            (folder / ".ems.yaml").write_text(settings_of(ground, place.word))
            n, watch_s = (QUICK_JOBS, QUICK_WATCH_S) if quick else (JOBS, WATCH_S)
            words = (place.word, str(n), str(SLEEP_S), str(watch_s))
            variables = {**ems.environment.variables(folder), **ground.variables}
            yield Step(
                None,
                (ems.environment.program("python"), str(PROGRAMS / "broker.py"), *words),
                folder,
                {**variables, "EMS_CACHE": str(EMS_CACHE), "HOME": str(folder / "home")},
                reads={
                    "own": f"broker.{place.word}.cpu",
                    "children": f"broker.{place.word}.commands",
                    "rss_mib": f"broker.{place.word}.rss",
                },
                verify=_began,
            )
    finally:
        shutil.rmtree(short, ignore_errors=True)


def _began(output: str) -> str | None:
    return None if '"began": 0' not in output else "none of the jobs began while they were watched"
