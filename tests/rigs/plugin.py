"""pytest's side of the rigs: skip or fail by name, and name at the end what was not tested here."""

from __future__ import annotations

import os
import re
from collections import Counter

import pytest

from tests.rigs import RIGS

PREFIX = "needs rig "


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "rig(name): needs a real counterpart from tests/rigs")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose counterpart is missing, or fail it where that one is required."""
    required = {word.strip() for word in os.environ.get("EMS_REQUIRE_RIGS", "").split(",")}
    for mark in item.iter_markers("rig"):
        name = mark.args[0]
        missing = RIGS[name].missing()
        if missing and required & {name, "all"}:
            pytest.fail(f"{PREFIX}{name}: {missing} (required by EMS_REQUIRE_RIGS)", pytrace=False)
        if missing:
            pytest.skip(f"{PREFIX}{name}: {missing}")
        item.user_properties.append(("rig", name))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the counterparts that were not tested, and how to get them."""
    skipped = Counter[str]()
    for report in terminalreporter.stats.get("skipped", []):
        found = re.search(PREFIX + r"([\w-]+)", str(report.longrepr))
        if found:
            skipped[found[1]] += 1
    if skipped:
        named = ", ".join(f"{name} ({n} tests)" for name, n in sorted(skipped.items()))
        terminalreporter.write_sep("-", "counterparts")
        terminalreporter.write_line(f"not tested here: {named}. Install with: make rigs")
    elif terminalreporter.stats.get("passed"):
        terminalreporter.write_line("counterparts: every one that these tests ask for is here")
    used = {
        name
        for report in terminalreporter.stats.get("passed", [])
        for key, name in report.user_properties
        if key == "rig"
    }
    for name in sorted(used):
        for line in RIGS[name].notes():
            terminalreporter.write_line(line)
