"""What every test shares: the rigs' marker, and a cache of its own, never the user's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["tests.rigs.plugin", "pytester"]

# Of the machine's environment, what would change how EMS behaves in a test.
_FOREIGN = ("EMS_CACHE", "EMS_STORE", "XDG_CACHE_HOME", "PYTHONPATH", "PYTHONHASHSEED")


def pytest_configure(config: pytest.Config) -> None:
    """Point EMS, and the processes that tests start, at a cache that ends with the test run."""
    for name in _FOREIGN:
        os.environ.pop(name, None)
    cache = tempfile.TemporaryDirectory(prefix="ems-test-cache-", ignore_cleanup_errors=True)
    config.add_cleanup(cache.cleanup)
    os.environ["EMS_CACHE"] = str(Path(cache.name))
