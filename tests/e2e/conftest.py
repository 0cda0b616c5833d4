"""The lab: one fresh project a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A project's folder; runs in this process see the same cache and marks as commands."""
    made = Lab(tmp_path)
    monkeypatch.setenv("EMS_CACHE", str(made.cache))
    monkeypatch.setenv("MARKS", str(made.marks_file))
    monkeypatch.chdir(made.root)
    yield made
    made.forget()
