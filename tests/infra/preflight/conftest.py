from __future__ import annotations

import pytest

from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.fixtures import cloud, shared_cloud

__all__ = ["cloud", "shared_cloud"]


@pytest.fixture
def aws(cloud: Cloud) -> str:
    """The address of an AWS that is empty."""
    return cloud.endpoint
