"""What both programs make of the values that the engine hands over."""

from __future__ import annotations

import json

import pytest

from infra.settings.fault import SettingsError
from infra.settings.reading import read, read_file
from infra.stack_config import settings_of
from tests.infra.settings.good import varied
from tests.infra.settings.test_stacks import STACKS


def _hand_over(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    """As the engine does: each a string, what has parts as JSON, and other programs' keys too."""
    handed = {
        f"ems:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({**handed, "aws:profile": "lab"}))


def test_what_the_engine_hands_over_is_what_the_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    values = varied()
    _hand_over(monkeypatch, **values)
    assert settings_of("other") == read(values, "other")


def test_faults_have_the_line_of_the_stacks_file(monkeypatch: pytest.MonkeyPatch) -> None:
    dev = read_file(STACKS / "Pulumi.dev.yaml").sites["oregon"]
    site = {"region": dev.region, "cidr": "10.16.0.0/24", "zones": list(dev.zones)}
    _hand_over(monkeypatch, accounts=["111122223333"], sites={"oregon": site})
    with pytest.raises(SettingsError, match=r"stacks/Pulumi\.dev\.yaml:\d+: ems:sites\.oregon"):
        settings_of("dev")
