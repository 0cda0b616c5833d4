"""A Slurm cluster for all tests of a process, and backends of it as a target would open them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ems.compute.remote.environments import Given
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.link import Here
from ems.compute.remote.spool import SpoolBackend
from ems.compute.slurm.scheduler import SlurmScheduler
from tests.contract.place import Kept, Place
from tests.rigs.slurm import Slurm

PYTHON = "/usr/bin/python3"


class Cluster(Place):
    """A place at a Slurm cluster; `root` is the folder that its nodes share."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        self.slurm = slurm
        self.root = folder / "there"
        self.root.mkdir(parents=True)
        self.variables = dict(slurm.variables)
        self.partition = ""
        self._folder = folder
        self._numbers = itertools.count()
        self.opened: list[SpoolBackend] = []
        super().__init__(self.open(), folder)

    def scheduler(self, **keys: object) -> SlurmScheduler:
        """Return a scheduler of its own, as another process would have it."""
        return SlurmScheduler(Here(self.variables), str(self.root), **keys)  # type: ignore[arg-type]

    def open(self, python: str = PYTHON, **keys: object) -> SpoolBackend:
        """Return a backend of its own, as another process would have it."""
        objects, cache = Kept(self._folder / "objects"), f"cache-{next(self._numbers)}"
        backend = SpoolBackend(
            "cluster", FolderSite(self.root), self.scheduler(**keys), objects,
            self._folder / cache, environments=Given(python), poll_s=0.2,
        )  # fmt: skip
        self.opened.append(backend)
        return backend

    def leave(self) -> None:
        """Close every backend, as where its process ended; jobs go on."""
        while self.opened:
            self.opened.pop().close()

    def queue(self, id: str, field: str = "%T") -> list[str]:
        """Return what squeue tells of the jobs that were submitted with one, in any state."""
        name = (self.root / "jobs" / id / "ems-native").read_text().split()[0]
        words = ("squeue", "-h", "-r", "-t", "all", f"--name={name}", "-o", field)
        return self.slurm.run(*words).splitlines()

    def job_of(self, id: str) -> str:
        """Return a job's id in Slurm, with its index where it is one of an array."""
        return (self.root / "jobs" / id / "ems-started").read_text().strip()


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """The cluster that tests of this process share."""
    with Slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


Places = Callable[[Slurm], Cluster]


@pytest.fixture
def place_at(tmp_path: Path) -> Iterator[Places]:
    """Make places at clusters; their backends are closed after the test, and their jobs ended."""
    made: list[Cluster] = []

    def make(slurm: Slurm) -> Cluster:
        made.append(Cluster(slurm, tmp_path / f"place-{len(made)}"))
        return made[-1]

    yield make
    for cluster in made:
        if cluster.slurm.up:
            cluster.slurm.run("scancel", "--user=root", "--signal=KILL", "--full", check=False)
            cluster.slurm.run("scancel", "--user=root", check=False)
        cluster.leave()


@pytest.fixture
def place(place_at: Places, slurm: Slurm) -> Cluster:
    """A place at the shared cluster."""
    return place_at(slurm)
