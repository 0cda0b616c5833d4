"""The committed reference is what the code says now."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", ["commands.md", "python.md", "settings.md"])
def test_the_reference_is_up_to_date(name: str) -> None:
    made = runpy.run_path(str(REFERENCE / "build.py"))["PAGES"][name]()
    assert (REFERENCE / name).read_text(encoding="utf-8") == made, "run: make docs"
