"""Read jobs from a file, or from what a program has made, and say every fault at once.

Knows that there may be one job or a list of them. The parts know the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from ems.compute.jobfile import rules
from ems.compute.jobfile.fault import Fault, JobFileError, Steps
from ems.compute.jobfile.fitting import Fitting, Unfit, shown
from ems.compute.jobfile.source import Source, load, located
from ems.compute.jobfile.types import JobSpec


class Read(msgspec.Struct, frozen=True):
    """What was read: the jobs, whether they stood in a list, where relative paths start."""

    jobs: tuple[JobSpec, ...]
    listed: bool
    folder: Path


def read_file(path: Path, changes: Mapping[Steps, object] | None = None) -> Read:
    """Return the jobs of a file; `changes` are set in each of them first.

    Raises JobFileError with every fault and its line.
    """
    return read(load(path), changes)


def read_value(
    value: object,
    folder: Path,
    subject: str = "job",
    changes: Mapping[Steps, object] | None = None,
) -> Read:
    """Return the jobs of a mapping or a list of them; raises JobFileError with every fault."""
    return read(Source(subject, value, folder), changes)


def read(source: Source, changes: Mapping[Steps, object] | None = None) -> Read:
    """Return the jobs of a source."""
    listed = isinstance(source.value, (list, tuple))
    items = list(cast("list[object]", source.value)) if listed else [source.value]
    fitting, faults = Fitting(), list[Fault]()
    found: list[JobSpec] = []
    for place, each in enumerate(items):
        steps: Steps = (place,) if listed else ()
        try:
            spec: JobSpec = fitting.fit(JobSpec, _changed(each, changes or {}), steps)
        except Unfit:
            continue
        found.append(spec)
        faults += rules.check(spec, steps)
    if not items:
        fitting.say((), f"{shown(source.value)} holds no job")
    said = {fault.steps for fault in fitting.faults}
    faults = [*fitting.faults, *(fault for fault in faults if fault.steps not in said)]
    if faults:
        raise JobFileError(source.file, located(faults, source.lines()))
    return Read(tuple(found), listed, source.folder)


def plain(spec: JobSpec) -> dict[str, Any]:
    """Return a job as JSON holds it, without what is left at its default."""
    made: dict[str, Any] = msgspec.to_builtins(spec)
    return made


def _changed(value: object, changes: Mapping[Steps, object]) -> object:
    if not changes or not isinstance(value, dict):
        return value
    made: dict[str, Any] = dict(cast("dict[str, Any]", value))
    for steps, new in changes.items():
        inside = made
        for step in steps[:-1]:
            kept = inside.get(str(step))
            inside[str(step)] = dict(cast("dict[str, Any]", kept)) if isinstance(kept, dict) else {}
            inside = inside[str(step)]
        inside[str(steps[-1])] = new
    return made
