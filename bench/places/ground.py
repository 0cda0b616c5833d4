"""What the benchmarks know of a place: its target, its bare ways, and a clock for its jobs.

The clock is a shell around the Python (or the `true`) that a place starts for a job: it notes when
that began and ended, so that what jobs hold of a place is counted alike for EMS and for the bare
way, to a hundredth of a second.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.environments import BENCH

PYTHON = os.path.realpath(sys.executable)
"""What starts jobs at places: this machine's Python, without a virtual environment."""
WIDTH = 2
"""How many jobs run at once where nobody else says so."""
BARE = BENCH / "programs" / "bare"
_CLOCK = """\
#!/bin/sh
case "$1 $2" in {timed}) ;; *) exec {command} "$@" ;; esac
read -r began _ </proc/uptime
{command} "$@"
code=$?
read -r ended _ </proc/uptime
echo "$began $ended" >>{log}
exit $code
"""


@dataclass(frozen=True, slots=True)
class Bare:
    """A way to run N empty jobs there without EMS: a program that is given N, up to `most`."""

    name: str
    argv: tuple[str, ...]
    most: int = 1000


@dataclass(frozen=True, slots=True)
class Ground:
    """A place that is up. `target` stands under `word` in `.ems.yaml`; None is this machine."""

    target: Mapping[str, object] | None
    bare: tuple[Bare, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    """Further keys of `.ems.yaml`."""
    clock: Path | None = None
    """Where the clock writes; None where nothing of a place's own is held."""
    quiet: Callable[[], bool] = lambda: True
    """Whether nothing of what ran before is still being cleared away."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place that can be brought up; sizes say how many jobs it is given.

    `tasks` are sizes of pipelines: more than `jobs` where parcels carry them.
    """

    word: str
    title: str
    missing: Callable[[], str]
    up: Callable[[Path], AbstractContextManager[Ground]]
    jobs: tuple[int, ...]
    tasks: tuple[int, ...]
    turns: int = 2
    """How many times the small numbers are measured; the large ones once."""


def clock(folder: Path, name: str, command: str, timed: str = '"run "*') -> Path:
    """Write a clock around a command; only calls whose first two words fit `timed` are noted."""
    path = folder / name
    log = folder / "clock.txt"
    path.write_text(_CLOCK.format(timed=timed, command=command, log=log))
    path.chmod(0o755)
    return path


def settings_of(ground: Ground, word: str) -> str:
    """Return the text of `.ems.yaml` for a place: JSON, which YAML is a superset of."""
    targets = {} if ground.target is None else {"targets": {word: ground.target}}
    return json.dumps({**ground.settings, **targets}, indent=1) + "\n"
