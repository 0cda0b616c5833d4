from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.infra.preflight.cloud import served


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The address of a moto server."""
    with served() as address:
        yield address
