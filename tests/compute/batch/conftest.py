"""An AWS of one's own for these tests: one server for all, its jobs run as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compute.batch.cloud import Cloud, cloud_of_its_own, towards


@pytest.fixture(scope="session")
def one_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud_of_its_own(tmp_path_factory.mktemp("batch")) as made:
        yield made


@pytest.fixture
def cloud(one_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud, with boto3 pointed at it; nothing is held back at a test's end."""
    towards(one_cloud.address, monkeypatch)
    yield one_cloud
    one_cloud.hold({})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The file in which a test's jobs tell that they ran."""
    return tmp_path / "out"
