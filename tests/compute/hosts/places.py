"""Places of hosts for tests: their scheduler on this machine, and orders that are shell scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ems.compute.hosts.scheduler import HostScheduler, Limits
from ems.compute.job import JobState, Resources
from ems.compute.remote.desk import DeskSite, Line, Near
from ems.compute.remote.order import Native, Order
from ems.compute.remote.spool import SpoolBackend
from tests.contract.place import Kept


class Desk:
    """A site and a scheduler for a folder; one of several brokers that may share it."""

    def __init__(self, folder: Path, limits: Limits, python: str = "python3") -> None:
        self.root = folder
        self.site = DeskSite(Near(), str(folder), python)
        self.scheduler = HostScheduler(self.site, limits, ("hosts",))

    def order(self, name: str, script: str, **keys: Any) -> Order:
        """Return an order whose worker is a script."""
        folder = f"{self.root}/jobs/ems-{name}"
        asked = {
            key: keys.pop(key) for key in ("cpus", "memory", "gpus", "gpu_kind") if key in keys
        }
        argv = ("sh", "-c", script)
        return Order(f"ems-{name}", name, argv, folder, Resources.of(**asked), **keys)

    def start(self, name: str, script: str, **keys: Any) -> str:
        """Start a script; return its id."""
        order = self.order(name, script, **keys)
        assert self.scheduler.start([order]) == [None]
        return order.id

    def look(self, *ids: str) -> Mapping[str, Native]:
        return self.scheduler.look(ids)

    def until(self, true: Callable[[], bool], timeout_s: float = 20) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.02)

    def ended(self, *ids: str, timeout_s: float = 30) -> list[Native]:
        """Wait for the end of jobs."""
        self.until(lambda: all(each.state.ended for each in self.look(*ids).values()), timeout_s)
        found = self.look(*ids)
        return [found[id] for id in ids]

    def running(self, id: str) -> None:
        """Wait until a job runs."""
        self.until(lambda: self.look(id)[id].state is JobState.RUNNING)

    def output(self, id: str) -> str:
        path = self.root / "jobs" / id / "output"
        return path.read_text() if path.exists() else ""


class Broker(SpoolBackend):
    """A backend for a folder at the end of a link; a second one may follow what a first began."""

    def __init__(self, link: Line, folder: str, work: Path, slots: int = 4) -> None:
        self.site = DeskSite(link, folder)
        self.warned: list[str] = []
        super().__init__(
            "hosts", self.site, HostScheduler(self.site, Limits(slots, 8.0, 0), ("hosts",)),
            Kept(work / "objects"), work / "cache", poll_s=0.1, warn=self.warned.append,
        )  # fmt: skip
