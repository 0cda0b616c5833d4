"""Who holds a version, and who may take it: pure rules, no clock, no files.

A runner is dead when its heartbeat is missing or older than `stale_s` by the store's own time, or
when it ran on this host and its process is gone. What a dead runner holds is free; who takes it
claims it with the next generation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ems.store.answers import Hit

State = tuple[int, str | None, Hit | None]
"""Generation of the last claim, its holder (None: given up), the winner."""


class Beat(NamedTuple):
    """What a runner's heartbeat says, and when it was last written, by store time."""

    runner: str
    host: str
    pid: int
    pid_start: int
    seen: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What to claim, by generation, and what to answer for the rest."""

    free: Mapping[int, list[bytes]] = field(default_factory=dict[int, list[bytes]])
    mine: Mapping[bytes, int] = field(default_factory=dict[bytes, int])
    busy: Mapping[bytes, str] = field(default_factory=dict[bytes, str])
    done: Mapping[bytes, Hit] = field(default_factory=dict[bytes, Hit])


def why_dead(
    beat: Beat | None,
    now: float,
    stale_s: float,
    host: str,
    running: Callable[[int, int], bool],
) -> str:
    """Return why a runner counts as dead, or nothing while it lives.

    `now` is store time, `host` this machine, `running(pid, start)` asks its process table.
    """
    if beat is None:
        return "it has no heartbeat"
    if beat.host == host and not running(beat.pid, beat.pid_start):
        return f"its process {beat.pid} is gone"
    age = now - beat.seen
    if age > stale_s:
        return f"its heartbeat is {age:.0f} s old"
    return ""


def plan_claims(
    versions: Iterable[bytes],
    states: Mapping[bytes, State],
    me: str,
    alive: Callable[[str], bool],
    force: Collection[bytes] = (),
) -> Plan:
    """Sort versions into free, mine, busy and done; those of `force` are never done."""
    free: dict[int, list[bytes]] = {}
    mine: dict[bytes, int] = {}
    busy: dict[bytes, str] = {}
    done: dict[bytes, Hit] = {}
    for version in dict.fromkeys(versions):
        gen, holder, hit = states.get(version, (0, None, None))
        if hit is not None and version not in force:
            done[version] = hit
        elif holder == me:
            mine[version] = gen
        elif holder is not None and alive(holder):
            busy[version] = holder
        else:
            free.setdefault(gen + 1, []).append(version)
    return Plan(free, mine, busy, done)
