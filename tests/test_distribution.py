"""What is shipped and pinned: every package of the SDK, every dependency within its bounds."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED_EXTRAS = ("demo", "arrow", "aws", "dev")


def test_every_folder_of_the_sdk_is_a_package_and_so_is_shipped() -> None:
    folders = {path.parent for path in (ROOT / "sdk" / "ems").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_constraints_pin_what_demo_tests_and_checks_need_within_its_bounds() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    wanted = [*PROJECT["dependencies"]]
    for extra in PINNED_EXTRAS:
        wanted += PROJECT["optional-dependencies"][extra]
    unmet = [
        text
        for text in wanted
        for need in [Requirement(text)]
        if not need.specifier.contains(pins.get(canonicalize_name(need.name), "0"))
    ]
    assert unmet == [], "run: make pin"
