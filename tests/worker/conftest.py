"""The shipped worker under this Python, and under the oldest and the newest one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.rigs import NEWEST, OLDEST, interpreter
from tests.worker.shipped import Shipped

_OTHERS = {"python-oldest": OLDEST, "python-newest": NEWEST}


@pytest.fixture(
    params=[
        "this-python",
        *(pytest.param(name, marks=pytest.mark.rig(name)) for name in _OTHERS),
    ]
)
def everywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Shipped:
    """The worker under each Python that it must run on."""
    python = _OTHERS.get(request.param)
    return Shipped(sys.executable if python is None else str(interpreter(python)), tmp_path)


@pytest.fixture
def shipped(tmp_path: Path) -> Shipped:
    """The worker under this Python."""
    return Shipped(sys.executable, tmp_path)
