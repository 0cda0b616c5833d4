"""Runs programs and keeps what each cost: wall time, CPU time, peak memory.

A case is one contender in one situation; its steps are the programs that it runs, one after the
other, in a folder that nothing has been in before. Cases take turns, round by round, so that
whatever else the machine does falls on all of them. Knows nothing about what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import cast

OUTPUT_TAIL_BYTES = 16_384
_LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. `value` is what a row shows; the rest is what the process cost."""

    value: float
    wall_s: float
    cpu_s: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Step:
    """One program. `row` is None where it only prepares; `reads` names figures that it prints.

    A program that measures a part of itself prints a JSON object as its last line; `reads` maps
    keys of that object to rows. `expect` must stand in the output, and `verify` gets the output and
    says what is wrong with it, or the sample does not count. `figures` are asked for after it:
    values by row that others than the program know. `who` is who did it, if not its case's
    contender; where that fails, the case goes on.
    """

    row: str | None
    argv: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    expect: str = ""
    reads: Mapping[str, str] = field(default_factory=dict[str, str])
    verify: Callable[[str], str | None] = lambda output: None
    timeout_s: float = 900.0
    figures: Callable[[], Mapping[str, float]] = dict
    who: str = ""


Steps = Generator[Step, None, None]


@dataclass(frozen=True, slots=True)
class Case:
    """A contender in a situation; `steps` gets a fresh folder."""

    who: str
    name: str
    steps: Callable[[Path], Steps]
    repeat_at_most: int = 1000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, with the end of what it said."""

    exit: int
    wall_s: float
    cpu_s: float
    rss_mib: float
    timed_out: bool
    output: str


class Results:
    """All samples, by row and contender, and what went wrong."""

    def __init__(self) -> None:
        self.samples: dict[str, dict[str, list[Sample]]] = {}
        self.derived: dict[str, dict[str, float]] = {}
        self.failures: dict[str, dict[str, str]] = {}

    def add(self, row: str, who: str, sample: Sample) -> None:
        self.samples.setdefault(row, {}).setdefault(who, []).append(sample)

    def fail(self, row: str, who: str, why: str) -> None:
        self.failures.setdefault(row, {})[who] = why

    def derive(self, row: str, who: str, value: float) -> None:
        self.derived.setdefault(row, {})[who] = value

    def value(self, row: str, who: str) -> float | None:
        """What a row shows: a median, or what was worked out from several."""
        derived = self.derived.get(row, {}).get(who)
        return self.median(row, who) if derived is None else derived

    def median(self, row: str, who: str) -> float | None:
        found = self.samples.get(row, {}).get(who, [])
        return median(each.value for each in found) if found else None

    def median_rss(self, row: str, who: str) -> float | None:
        found = self.samples.get(row, {}).get(who, [])
        return median(each.rss_mib for each in found) if found else None


def run_process(step: Step) -> Ended:
    """Run the step's program to its end, with everything that it started.

    CPU time covers the program and the children that it waited for; peak memory is that of the
    largest of them.
    """
    log = step.folder / "output.txt"
    request = {
        "argv": step.argv,
        "env": step.env,
        "folder": str(step.folder),
        "log": str(log),
        "timeout_s": step.timeout_s,
    }
    os.sync()  # what the one before wrote shall not slow this one's own syncs
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_LAUNCH)],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Ended(**json.loads(done.stdout), output=_tail(log))


def run_rounds(
    cases: Sequence[Case], repeat: int, work: Path, results: Results, say: Callable[[str], None]
) -> None:
    """Every case once, then every case again: A B C A B C."""
    broken: set[tuple[str, str]] = set()
    for number in range(1, repeat + 1):
        for case in cases:
            key = (case.who, case.name)
            if key in broken or number > case.repeat_at_most:
                continue
            folder = work / f"{case.name}-{case.who.replace(', ', '-').replace(' ', '-')}-{number}"
            say(f"  round {number}: {case.name}: {case.who}")
            if not run_case(case, folder, results, say):
                broken.add(key)


def run_case(case: Case, folder: Path, results: Results, say: Callable[[str], None]) -> bool:
    """One case in its fresh folder; False if a step of it failed."""
    folder.mkdir(parents=True)
    steps = case.steps(folder)
    try:
        for step in steps:
            ended, who = run_process(step), step.who or case.who
            why = (_wrong(step, ended) or "").replace(str(folder), "the folder")
            if why:
                say(f"    failed: {why}")
                for row in (step.row, *step.reads.values()):
                    results.fail(row or case.name, who, why)
                if step.who:
                    continue  # what others do in the same case stands for itself
                return False
            _keep(who, step, ended, results)
            if step.row:
                by = f" by {step.who}" if step.who else ""
                say(f"    {step.row}{by}: {ended.wall_s:.3f} s, {ended.rss_mib:.0f} MiB")
            printed = last_json(ended.output) if step.reads else {}
            for key, row in step.reads.items():
                say(f"    {row} by {who}: {printed[key]:.4g}")
    finally:
        steps.close()
    return True


def _keep(who: str, step: Step, ended: Ended, results: Results) -> None:
    costs = (ended.wall_s, ended.cpu_s, ended.rss_mib)
    if step.row:
        results.add(step.row, who, Sample(ended.wall_s, *costs))
    if step.reads:
        printed = last_json(ended.output)
        for key, row in step.reads.items():
            results.add(row, who, Sample(float(printed[key]), *costs))
    for row, value in step.figures().items():
        results.add(row, who, Sample(value, *costs))


def _wrong(step: Step, ended: Ended) -> str | None:
    """Why the sample does not count, or None."""
    if ended.timed_out:
        return f"took more than {step.timeout_s:.0f} s"
    if ended.exit != 0:
        lines = ended.output.strip().splitlines() or ["no output"]
        return f"exit {ended.exit}: {lines[-1][:300]}"
    if step.expect and step.expect not in ended.output:
        return f"{step.expect!r} is not in its output"
    if step.reads and not set(step.reads) <= set(last_json(ended.output)):
        return f"it printed no {', '.join(step.reads)}"
    return step.verify(ended.output)


def last_json(output: str) -> dict[str, float]:
    """The JSON object on the last line, or an empty one."""
    lines = output.strip().splitlines()
    try:
        found: object = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return cast(dict[str, float], found) if isinstance(found, dict) else {}


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - OUTPUT_TAIL_BYTES))
        return file.read().decode("utf-8", "replace")
