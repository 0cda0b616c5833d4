"""A Ray cluster that the tests of this folder share, and places on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ems.compute.ray.dashboard import Dashboard
from ems.compute.ray.scheduler import RayScheduler
from ems.compute.remote.environments import Given
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.spool import SpoolBackend
from tests.contract.place import Kept, Place
from tests.rigs.ray import Cluster, cluster


class RayPlace(Place):
    """A place on a Ray cluster; what it was warned of is in `warned`."""

    def __init__(self, ray: Cluster, folder: Path, **resources: float) -> None:
        self.ray = ray
        self.there = folder / "there"
        self.warned: list[str] = []
        self.dashboard = Dashboard(ray.url, lambda: ray.token)
        site = FolderSite(self.there)
        self.scheduler = RayScheduler(
            self.dashboard, site, python=sys.executable, resources=resources
        )
        spool = SpoolBackend(
            "ray", site, self.scheduler, Kept(folder / "objects"), folder / "cache",
            environments=Given(sys.executable), poll_s=0.2, warn=self.warned.append,
        )  # fmt: skip
        self.spool = spool
        super().__init__(spool, folder, self.there / "attempts")

    def state_file(self, native: str) -> dict[str, Any]:
        """What child.py wrote of a job."""
        path = self.there / "jobs" / native / "ray.json"
        return json.loads(path.read_bytes()) if path.exists() else {}

    def drivers(self) -> dict[str, str]:
        """The drivers of batches of this folder that Ray knows, and their states."""
        mine = {path.name for path in (self.there / "ray").glob("ems-batch-*")}
        jobs = self.dashboard.jobs()
        found = {name: str(each["status"]) for name, each in jobs.items()}
        return {n: s for n, s in found.items() if any(n.startswith(batch) for batch in mine)}


MakePlace = Callable[..., RayPlace]


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("ray")) as made:
        yield made


def _end_all(ray: Cluster, folder: Path) -> None:
    """A test that failed leaves nothing running for the next one."""
    for machine in (ray.head, ray.worker):
        if machine.holder.poll() is None:
            ray.kill(machine, str(folder))


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[MakePlace]:
    """Make places on a cluster, all over one folder."""
    with ExitStack() as open_ones:

        def make(ray: Cluster, **resources: float) -> RayPlace:
            place = RayPlace(ray, tmp_path, **resources)
            open_ones.callback(_end_all, ray, tmp_path)
            open_ones.callback(place.backend.close)
            return place

        yield make


@pytest.fixture
def ray_place(ray_cluster: Cluster, make_place: MakePlace) -> RayPlace:
    return make_place(ray_cluster)
