"""Orders for shell lines, without a backend above: what a scheduler alone is tested with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ems.compute.remote.order import Native, Order
from ems.compute.slurm.scheduler import SlurmScheduler
from tests.compute.slurm.conftest import Cluster

COUNT = "echo run >>ran; sleep 0.3"


def order(place: Cluster, number: int, command: str = COUNT) -> Order:
    """Return an order for a shell's line, in a folder that is there."""
    id = f"ems-{number:032x}"
    folder = place.root / "jobs" / id
    folder.mkdir(parents=True, exist_ok=True)
    return Order(id, "count", ("sh", "-c", command), str(folder))


def ran(orders: Sequence[Order]) -> list[int]:
    """Return how often each was run."""
    files = [Path(each.folder) / "ran" for each in orders]
    return [len(file.read_text().splitlines()) if file.exists() else 0 for file in files]


def until_ended(scheduler: SlurmScheduler, orders: Sequence[Order]) -> Mapping[str, Native]:
    """Wait until all have ended; return how."""
    ids = [each.id for each in orders]
    deadline = time.monotonic() + 60
    while True:
        found = scheduler.look(ids)
        if len(found) == len(ids) and all(each.state.ended for each in found.values()):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
