"""Faults on purpose, for tests: a resource that takes long, or that the cloud refuses.

A test hands them to the engine; they travel to the provider's stand-in in an environment variable.
The stand-in also keeps a journal, so that a test can wait until something has come so far.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FAULTS = "SKY_FAULTS"
JOURNAL = "SKY_JOURNAL"


@dataclass(frozen=True)
class Fault:
    """What shall happen to resources whose name matches."""

    name: str
    """A regular expression for the whole name of the resource in the program."""
    op: str = "create"
    """create, read, update or delete."""
    after: bool = False
    """After the cloud has done it, and before the engine hears of it."""
    wait_s: float = 0
    refuse: str = ""
    """The cloud's message."""


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    op: str
    when: str
    """`begun`, `made` (create: the id exists), `done`, `failed`."""
    type: str
    name: str
    id: str


class Refused(Exception):
    """What a `Fault` with `refuse` raises."""


def environment(faults: Sequence[Fault]) -> dict[str, str]:
    """Return the environment variable that carries the faults."""
    return {FAULTS: json.dumps([asdict(fault) for fault in faults])} if faults else {}


def planned() -> tuple[Fault, ...]:
    """Return the faults that this process was started with."""
    return tuple(Fault(**fault) for fault in json.loads(os.environ.get(FAULTS, "[]")))


def strike(faults: Sequence[Fault], op: str, name: str, *, after: bool) -> None:
    """Let the faults for this operation happen."""
    for fault in faults:
        if (fault.op, fault.after) == (op, after) and re.fullmatch(fault.name, name):
            time.sleep(fault.wait_s)
            if fault.refuse:
                raise Refused(fault.refuse)


def note(entry: Entry) -> None:
    """Append to the journal, where there is one."""
    path = os.environ.get(JOURNAL)
    if path:
        line = json.dumps(asdict(entry)) + "\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def journal(path: Path) -> Iterator[Entry]:
    """Read a journal's whole lines, oldest first."""
    if path.exists():
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield Entry(**json.loads(line))
