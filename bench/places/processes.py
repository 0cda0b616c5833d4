"""This machine, and a host behind ssh: the bare way is a loop, with as many at once as EMS has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import cores
from bench.places.ground import BARE, PYTHON, WIDTH, Bare, Ground, Place, clock
from tests.rigs import sshd

_EACH = (sys.executable, str(BARE / "each.py"))


@contextmanager
def _local(folder: Path) -> Iterator[Ground]:
    yield Ground(None, (Bare("a loop", (*_EACH, str(cores()), "true")),))


@contextmanager
def _ssh(folder: Path) -> Iterator[Ground]:
    with sshd.Host(folder / "host") as host:
        options = [word for option in host.options for word in ("-o", option)]
        shared = [f"ControlPath={folder}/c", "ControlMaster=auto", "ControlPersist=60"]
        options += [word for option in shared for word in ("-o", option)]
        nothing = str(clock(folder, "nothing", "true", "*"))
        loop = (*_EACH, str(WIDTH), "ssh", *options, host.name, nothing)
        target = {
            "ssh": host.name, "folder": str(folder / "place"), "slots": WIDTH,
            "python": str(clock(folder, "python", PYTHON, '*"/objects/"*" run"')),
            "options": host.options,
        }  # fmt: skip
        yield Ground(
            target, (Bare("ssh each", loop),), dict(os.environ), clock=folder / "clock.txt"
        )


LOCAL = Place("local", "this machine", lambda: "", _local, (1, 10, 100, 1000), (1, 10, 100, 1000))
SSH = Place("ssh", "a host by ssh", sshd.missing, _ssh, (1, 10, 100), (1, 10, 100, 1000))
