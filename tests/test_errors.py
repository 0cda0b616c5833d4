from __future__ import annotations

import pytest

from ems.errors import did_you_mean


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("us-esat-1", ["us-west-1", "us-east-1", "us-east-2"], "us-east-1"),
        ("us-wset-2", ["us-east-2", "us-west-2"], "us-west-2"),
        ("dve", ["prod", "dev"], "dev"),
        ("max_vcpu", ["max_vcpus", "min_vcpus"], "max_vcpus"),
    ],
)
def test_the_same_letters_go_first(word: str, known: list[str], meant: str) -> None:
    assert did_you_mean(word, known) == f" (did you mean '{meant}'?)"


def test_nothing_near() -> None:
    assert did_you_mean("README.md", ["dev", "prod"]) == did_you_mean("x", []) == ""
