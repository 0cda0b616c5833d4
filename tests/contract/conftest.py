"""Every test of this folder runs once for each backend; a new one adds a line to BACKENDS."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from ems.compute.backend import Backend
from ems.compute.batch.kind import BatchKind, BatchSettings
from ems.compute.hosts.scheduler import HostScheduler, Limits
from ems.compute.kinds import Setting
from ems.compute.local import LocalBackend
from ems.compute.ray.dashboard import Dashboard
from ems.compute.ray.scheduler import RayScheduler
from ems.compute.remote.desk import DeskSite, Near
from ems.compute.remote.environments import Given
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.link import Here
from ems.compute.remote.spool import SpoolBackend
from ems.compute.slurm.scheduler import SlurmScheduler
from tests.compute.batch.cloud import FOLDER, IMAGE, Cloud, cloud_of_its_own, towards
from tests.compute.kubernetes import lab
from tests.contract.place import Kept, Place
from tests.contract.processes import Processes
from tests.rigs import ray as ray_rig
from tests.rigs import rig
from tests.rigs.kubernetes.cluster import Cluster
from tests.rigs.slurm import Slurm

Make = Callable[[pytest.FixtureRequest, Path, Path], Backend]


def _local(_: pytest.FixtureRequest, cache: Path, folder: Path) -> Backend:
    return LocalBackend(
        cpus=2, memory_gib=8, gpus=("0", "1"), cache=cache / "ems", folder=folder / "live"
    )


def _spooled(_: pytest.FixtureRequest, cache: Path, folder: Path) -> Backend:
    site, processes = FolderSite(folder / "there"), Processes(folder / "there")
    return SpoolBackend(
        "spooled", site, processes, Kept(folder / "objects"), cache / "ems", poll_s=0.05
    )


def _hosts(_: pytest.FixtureRequest, cache: Path, folder: Path) -> Backend:
    site = DeskSite(Near(), str(folder / "there"))
    scheduler = HostScheduler(site, Limits(2, 8.0, 2), ("hosts",))
    return SpoolBackend(
        "hosts", site, scheduler, Kept(folder / "objects"), cache / "ems", poll_s=0.1
    )


def _slurm(request: pytest.FixtureRequest, cache: Path, folder: Path) -> Backend:
    slurm: Slurm = request.getfixturevalue("slurm")
    there = folder / "there"
    there.mkdir()
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in slurm.variables.items():
        patch.setenv(name, value)
    scheduler = SlurmScheduler(Here(), str(there))
    return SpoolBackend(
        "slurm", FolderSite(there), scheduler, Kept(folder / "objects"), cache / "ems",
        environments=Given("/usr/bin/python3"), poll_s=0.2,
    )  # fmt: skip


def _kubernetes(request: pytest.FixtureRequest, _: Path, folder: Path) -> Backend:
    cluster: Cluster = request.getfixturevalue("kubernetes")
    made = lab.Lab(cluster, folder)
    request.addfinalizer(made.close)
    return made.open()


def _ray(request: pytest.FixtureRequest, cache: Path, folder: Path) -> Backend:
    ray: ray_rig.Cluster = request.getfixturevalue("ray")
    site = FolderSite(folder / "there")
    dashboard = Dashboard(ray.url, lambda: ray.token)
    scheduler = RayScheduler(dashboard, site, python=sys.executable)
    return SpoolBackend(
        "ray", site, scheduler, Kept(folder / "objects"), cache / "ems",
        environments=Given(sys.executable), poll_s=0.2,
    )  # fmt: skip


def _batch(request: pytest.FixtureRequest, cache: Path, folder: Path) -> Backend:
    cloud: Cloud = request.getfixturevalue("batch")
    towards(cloud.address, request.getfixturevalue("monkeypatch"))
    settings = BatchSettings(
        batch="oregon/cpus", image=IMAGE, folder=f"{FOLDER}/{folder.name}", python=sys.executable
    )
    setting = Setting(Kept(folder / "objects"), cache / "ems", print, folder, "dev")
    [backend] = BatchKind(read=lambda *_: cloud.outputs).open("batch", settings, setting)
    return backend


QUEUES = ["local", "hosts"]
"""Those where a job waits for room; each has two CPUs."""
NEAR = ["local", "spooled", "hosts", "slurm"]
"""Those whose jobs are processes of this machine, in its environment."""
QUICK = ["local", "spooled", "slurm"]
"""Those that bring hundreds of single jobs to an end within a minute, on two cores."""
SURE = ["local", "spooled", "slurm"]
"""Those that know at once what can never run there; a cluster of pods may still grow."""
BACKENDS: dict[str, Make] = {
    "local": _local,
    "spooled": _spooled,
    "hosts": _hosts,
    "slurm": _slurm,
    "kubernetes": _kubernetes,
    "ray": _ray,
    "batch": _batch,
}
STRICT = [name for name in BACKENDS if name != "batch"]
"""Those that kill what does not listen when the grace is over; Batch takes 30 seconds always."""
RIGS = {"slurm", "kubernetes", "ray"}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests, so that the worker is laid out once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with Slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with lab.running(tmp_path_factory.mktemp("k")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ray_rig.Cluster]:
    with ray_rig.cluster(tmp_path_factory.mktemp("ray")) as made:
        yield made


@pytest.fixture(scope="session")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud_of_its_own(tmp_path_factory.mktemp("batch")) as made:
        yield made


def _params(names: Iterable[str]) -> list[ParameterSet]:
    return [pytest.param(name, marks=rig(name) if name in RIGS else ()) for name in names]


def only(names: Iterable[str]) -> pytest.MarkDecorator:
    """Mark a test as one for these backends alone."""
    return pytest.mark.parametrize("place", _params(names), indirect=True)


@pytest.fixture(params=_params(BACKENDS))
def place(request: pytest.FixtureRequest, cache: Path, tmp_path: Path) -> Iterator[Place]:
    """A place to run things at, with each backend in turn."""
    backend = BACKENDS[request.param](request, cache, tmp_path)
    attempts = None if request.param == "local" else tmp_path / "there" / "attempts"
    yield Place(backend, tmp_path, attempts)
    backend.close()
