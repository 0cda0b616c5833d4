"""A missing counterpart is skipped by name, named at the end, and fails where it is required."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rigs import RIGS, interpreter, rig

ROOT = Path(__file__).resolve().parents[2]

CONFTEST = """
from tests.rigs import RIGS, Rig
RIGS["gone"] = Rig("a counterpart that no machine has", lambda: "no `gone` on the PATH")
pytest_plugins = ["tests.rigs.plugin"]
"""
TESTS = """
from tests.rigs import rig
@rig("gone")
def test_with_it(): raise AssertionError("ran without its counterpart")
@rig("gone")
def test_with_it_again(): raise AssertionError("ran without its counterpart")
def test_without(): pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("EMS_REQUIRE_RIGS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    return pytester


def test_a_missing_counterpart_is_skipped_and_named_at_the_end(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["not tested here: gone (2 tests). Install with: make rigs"])


@pytest.mark.parametrize("required", ["all", "python-oldest,gone"])
def test_a_required_counterpart_is_an_error(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    monkeypatch.setenv("EMS_REQUIRE_RIGS", required)
    result = suite.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*needs rig gone: no `gone` on the PATH*"])


def test_only_known_rigs_can_be_asked_for() -> None:
    with pytest.raises(LookupError, match="python-oldest"):
        rig("pyton-oldest")


def test_an_interpreter_that_does_not_exist_is_not_found() -> None:
    assert interpreter("3.1") is None
    assert "python-oldest" in RIGS
