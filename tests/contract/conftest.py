"""Every test of this folder runs once for each backend; a new one adds a line to BACKENDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ems.compute.backend import Backend
from ems.compute.local import LocalBackend
from tests.contract.place import Place

Make = Callable[[Path, Path], Backend]


def _local(cache: Path, folder: Path) -> Backend:
    return LocalBackend(
        cpus=2, memory_gib=8, gpus=("0", "1"), cache=cache / "ems", folder=folder / "live"
    )


BACKENDS: dict[str, Make] = {"local": _local}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests, so that the worker is laid out once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=sorted(BACKENDS))
def place(request: pytest.FixtureRequest, cache: Path, tmp_path: Path) -> Iterator[Place]:
    """A place to run things at, with each backend in turn."""
    backend = BACKENDS[request.param](cache, tmp_path)
    yield Place(backend, tmp_path)
    backend.close()
