"""Fixtures for tests on the engine: `from tests.rigs.sky.fixtures import cloud, engine`.

A module that uses them is marked `pytestmark = rig("pulumi")`.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.project import Project

Start = Callable[..., Engine]

__all__ = ["Start", "cloud", "engine", "shared_cloud"]


@cache
def _started() -> Cloud:
    """The one of this process: a fixture that many modules import is made anew for each."""
    started = Cloud()
    atexit.register(started.stop)
    return started


@pytest.fixture(scope="session")
def shared_cloud() -> Cloud:
    """One moto server for a process of tests; use `cloud`, which is empty."""
    return _started()


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Iterator[Cloud]:
    """An empty cloud."""
    shared_cloud.reset()
    yield shared_cloud


@pytest.fixture
def engine(tmp_path: Path, cloud: Cloud) -> Iterator[Start]:
    """Start engines: `engine(program)`, `engine(Project.repository(), stack="dev")`."""
    started: list[Engine] = []

    def start(program: str | Callable[[], None] | Project, **options: Any) -> Engine:
        project = program if isinstance(program, Project) else Project.inline(program)
        made = Engine(tmp_path / f"engine-{len(started)}", cloud, project, **options)
        started.append(made)
        return made

    yield start
    for made in started:
        made.close()
