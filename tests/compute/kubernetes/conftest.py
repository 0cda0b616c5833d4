"""A cluster for the tests of this folder, one a process, and a namespace of it as a place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.compute.kubernetes.lab import Lab, running
from tests.rigs.kubernetes.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with TemporaryDirectory(prefix="kube-") as made, running(Path(made) / "c") as one:
        yield one


@pytest.fixture
def lab(cluster: Cluster, tmp_path: Path) -> Iterator[Lab]:
    one = Lab(cluster, tmp_path)
    yield one
    one.close()
