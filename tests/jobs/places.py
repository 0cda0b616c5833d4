"""What the tests of jobs run on: this machine, and a place that outlives processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ems.compute.backend import Backend, Room
from ems.compute.broker import Broker, Opening
from ems.compute.local import LocalBackend
from ems.compute.remote.environments import Given
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.order import Order, Refused
from ems.compute.remote.spool import SpoolBackend
from ems.jobs.jobs import Jobs
from ems.jobs.preparing import Prepared
from ems.store.store import Store
from tests.contract.processes import Processes


def store_in(home: Path) -> Store:
    return Store.open(home / "store", cache=home / "cache", warn=lambda _: None)


def local(home: Path) -> Jobs:
    """Jobs on this machine, which end with this process."""
    made = store_in(home)
    cache = home / "cache"
    return Jobs(made, lambda: LocalBackend(cpus=4, memory_gib=4, cache=cache), cache=cache)


def spooled(home: Path, kind: type[Processes] = Processes) -> Backend:
    """A place whose jobs are detached processes; `home` is all that two processes share."""
    there, cache = home / "there", home / f"cache-{os.getpid()}"
    objects = Store.open(home / "store", cache=cache, warn=lambda _: None).objects
    return SpoolBackend(
        "spooled", FolderSite(there), kind(there), objects, cache, poll_s=0.05,
        environments=Given(sys.executable),
    )  # fmt: skip


class Queueing(Processes):
    """A place that takes members of a role `late`, and never comes to them."""

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        for order in orders:
            if order.member is not None and order.member.role == "late":
                (self._jobs / order.id / "started").touch()
        return super().start(orders)

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        for each in ids:
            if not (self._jobs / each / "pid").exists():
                (self._jobs / each / "code").write_text("1")
        super().stop(ids, grace_s)


def queueing(home: Path) -> Backend:
    """A place that never starts some of a gang."""
    return spooled(home, Queueing)


class Full(Processes):
    """A place that others fill, and that takes its time to say so."""

    def room(self) -> Room:
        time.sleep(0.5)
        return Room(0.0, 4.0)


def brokered(home: Path, *names: str, kind: type[Processes] = Processes) -> Jobs:
    """Jobs of somebody whose settings name these targets: `local`, `spooled`."""
    opened: dict[str, Opening] = {
        "local": lambda: [LocalBackend(cpus=4, memory_gib=4, cache=home / "cache")],
        "spooled": lambda: [spooled(home, kind)],
    }
    broker = Broker({name: opened[name] for name in names}, names)

    def choose(prepared: Sequence[Prepared]) -> list[str]:
        return [each.asked[0][0] for each in prepared]

    return Jobs(
        store_in(home), lambda: broker, cache=home / "cache", choose=choose, now=broker.now,
        seat=lambda jobs, apart: broker.seats(jobs, apart=apart), knows=broker.has,
    )  # fmt: skip


def durable(home: Path, backend: Callable[[Path], Backend] = spooled) -> Jobs:
    """Jobs at a place that outlives this process."""
    return Jobs(store_in(home), lambda: backend(home), cache=home / "cache", who="ann")
