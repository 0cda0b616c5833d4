"""N empty jobs at each kind of place, through EMS and by the place's own bare way (Figure 8).

`ems` submits N jobs by the job API and watches them to their end; `ems, tasks` runs a pipeline of N
empty tasks there, which travel as parcels. Instance time is how long the processes that the place
started for them ran, one CPU each, by a clock around them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench.contenders import EMS_CACHE, PROGRAMS, Contender
from bench.groups.growth import FIT_FROM, exponent
from bench.lineup import Lineup
from bench.measure import Case, Results, Step, Steps
from bench.places import PLACES
from bench.places.ground import Bare, Ground, Place, settings_of

TASKS = "ems, tasks"
QUICK_MOST = 10
OFTEN = 10
"""Up to so many jobs, a measurement is done `turns` times; else once."""
_QUIET_S = 60.0
_SETTLES_S = 3.0


def cases(lineup: Lineup) -> list[Case]:
    ems = lineup.ems
    if not ems:
        return []
    there = [place for place in PLACES if not place.missing()]
    return [
        Case("ems", f"places-{p.word}", partial(_steps, ems, p, lineup.quick), repeat_at_most=1)
        for p in there
    ]


def derive(lineup: Lineup, results: Results) -> None:
    for place in PLACES:
        _derive_times(place, results)
        _derive_memory(place, results)


def _derive_times(place: Place, results: Results) -> None:
    """How EMS's time grows, what it adds to a bare job, and what parcels save."""
    ours = {n: t for n in place.jobs if (t := results.median(_row(place, n), "ems"))}
    late = [(n, t) for n, t in ours.items() if n * FIT_FROM >= max(place.jobs)]
    if len(late) > 1:
        results.derive(f"places.{place.word}.growth", "ems", exponent(late))
    for what, who in (("over", "ems"), ("parcels", TASKS)):
        both = [(n, bare) for n in place.tasks if (bare := _bare(results, place, n, who == TASKS))]
        known = [(n, bare) for n, bare in both if results.median(_row(place, n), who)]
        if not known:
            continue
        n, bare = known[-1]
        took = results.median(_row(place, n), who) or 0.0
        value = (took - 1.1 * bare) / n if what == "over" else took / bare
        results.derive(f"places.{place.word}.{what}", "ems", value)


def _bare(results: Results, place: Place, n: int, best: bool) -> float | None:
    """The time of the way with a native job each, or of the fastest."""
    found = results.samples.get(_row(place, n), {})
    times = [results.median(_row(place, n), who) for who in found if not who.startswith("ems")]
    known = [each for each in times if each is not None]
    if not known:
        return None
    return min(known) if best else known[0]


def _derive_memory(place: Place, results: Results) -> None:
    sizes = [results.median(f"memory.{place.word}.{n}", "ems") for n in place.jobs]
    known = [each for each in sizes if each is not None]
    if len(known) > 1:
        results.derive(f"places.{place.word}.memory", "ems", known[-1] - known[0])


def _steps(ems: Contender, place: Place, quick: bool, folder: Path) -> Steps:
    """Everything at one place; it is up for that long alone."""
    short = Path(tempfile.mkdtemp(prefix="ems-b-"))  # sockets below it have short names
    try:
        with place.up(short) as ground:
            yield _ours(ems, place, ground, folder / "warm-up", "jobs", 1, warm=True)
            for n in sorted({*place.jobs, *place.tasks}):
                if quick and n > QUICK_MOST:
                    continue
                for turn in range(place.turns if n <= OFTEN else 1):
                    yield from _size(ems, place, ground, folder / f"{n}-{turn}", n)
    finally:
        shutil.rmtree(short, ignore_errors=True)


def _size(ems: Contender, place: Place, ground: Ground, folder: Path, n: int) -> Steps:
    for bare in ground.bare:
        if n <= min(bare.most, max(place.tasks)):
            yield _theirs(place, ground, folder / bare.name.replace(" ", "-"), bare, n)
    for way, sizes in (("jobs", place.jobs), ("tasks", place.tasks)):
        if n in sizes:
            yield _ours(ems, place, ground, folder / way, way, n)


def _ours(
    ems: Contender, place: Place, ground: Ground, folder: Path, way: str, n: int, *,
    warm: bool = False,
) -> Step:  # fmt: skip
    folder.mkdir(parents=True)
    (folder / ".ems.yaml").write_text(settings_of(ground, place.word))
    shutil.copy(PROGRAMS / "places.py", folder)
    argv = (ems.environment.program("python"), "places.py", way, place.word, str(n))
    variables = {**ems.environment.variables(folder), **ground.variables}
    variables |= {"EMS_CACHE": str(EMS_CACHE), "HOME": str(folder / "home")}
    _until_quiet(ground)
    return Step(
        None if warm else _row(place, n), argv, folder, variables, expect='"rss_mib"',
        reads={} if warm or way == "tasks" else {"rss_mib": f"memory.{place.word}.{n}"},
        who="ems" if way == "jobs" else TASKS,
        figures=dict if warm else partial(_held, place, ground, n, _lines(ground)),
    )  # fmt: skip


def _theirs(place: Place, ground: Ground, folder: Path, bare: Bare, n: int) -> Step:
    folder.mkdir(parents=True)
    _until_quiet(ground)
    return Step(
        _row(place, n), (*bare.argv, str(n)), folder, {**os.environ, **ground.variables},
        who=bare.name, figures=partial(_held, place, ground, n, _lines(ground)),
    )  # fmt: skip


def _row(place: Place, n: int) -> str:
    return f"places.{place.word}.{n}"


def _until_quiet(ground: Ground) -> None:
    """Wait until what ran before is cleared away; what stays longer is measured with."""
    end = time.monotonic() + _QUIET_S
    while not ground.quiet() and time.monotonic() < end:
        time.sleep(0.2)


def _lines(ground: Ground) -> int:
    return len(_clocked(ground))


def _clocked(ground: Ground) -> list[str]:
    if ground.clock is None or not ground.clock.exists():
        return []
    return ground.clock.read_text().splitlines()


def _held(place: Place, ground: Ground, n: int, before: int) -> Mapping[str, float]:
    """The instance time since the clock had so many lines; its last ones may come late."""
    if ground.clock is None:
        return {}
    end = time.monotonic() + _SETTLES_S
    while _lines(ground) < before + n and time.monotonic() < end:
        time.sleep(0.05)
    spans = [each.split() for each in _clocked(ground)[before:]]
    return {f"instance.{place.word}.{n}": sum(float(b) - float(a) for a, b in spans)}
