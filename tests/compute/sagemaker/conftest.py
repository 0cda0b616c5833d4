"""An AWS of one's own for these tests: one server for all, its training jobs run in podman."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compute.sagemaker.cloud import Cloud, make_bucket, outputs, started, towards


@pytest.fixture(scope="session")
def one_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    process, address = started(tmp_path_factory.mktemp("sagemaker"))
    with pytest.MonkeyPatch.context() as patch:
        towards(address, patch)
        make_bucket()
    yield Cloud(address, outputs())
    process.terminate()
    process.wait()


@pytest.fixture
def cloud(one_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud, with boto3 pointed at it; nothing is held back at a test's end."""
    towards(one_cloud.address, monkeypatch)
    yield one_cloud
    one_cloud.ask("hold", False)
    one_cloud.ask("quota", {})
