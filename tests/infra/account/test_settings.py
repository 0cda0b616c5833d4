"""The account's settings: read as the engine hands them over, and all faults at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.account.settings import Account, read
from infra.settings.fault import SettingsError

EXAMPLE = Path(__file__).parents[3] / "infra" / "account" / "Pulumi.main.yaml"
LEAST: dict[str, Any] = {
    "account": "123456789012",
    "region": "us-west-2",
    "repository": "lab/sky",
    "environments": ["dev", "prod"],
}


def handed_over(**more: Any) -> dict[str, str]:
    """Values as the engine gives them to a program: all strings, some of them JSON."""
    values = {**LEAST, **more}
    return {
        f"ems-account:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }


def test_the_least_that_has_to_be_said() -> None:
    settings = read({**handed_over(), "aws:region": "x"}, "main")
    assert settings == Account(
        account="123456789012",
        region="us-west-2",
        repository="lab/sky",
        environments=("dev", "prod"),
    )
    assert settings.subject == "repo:lab/sky" and settings.protect and not settings.cost_tags


def test_how_tokens_name_the_repository_is_a_setting() -> None:
    settings = read(handed_over(subject_prefix="repo:lab-12/sky-34"), "main")
    assert settings.subject == "repo:lab-12/sky-34"


def test_the_example_is_right() -> None:
    config = yaml.safe_load(EXAMPLE.read_text())["config"]
    values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in config.items()}
    settings = read(values, "main")
    assert settings.environments == ("dev", "staging", "prod")


@pytest.mark.parametrize(
    ("more", "where", "what"),
    [
        ({"account": "12"}, "ems-account:account", "'12' does not fit (allowed: 12 digits"),
        ({"repository": "sky"}, "ems-account:repository", "ORGANISATION/REPOSITORY"),
        ({"environments": []}, "ems-account:environments", "is empty"),
        ({"environments": ["ems"]}, "ems-account:environments[0]", "begins what guards the others"),
        ({"environments": ["a", "a"]}, "ems-account:environments[1]", "stands there already"),
        (
            {"environments": ["dev", "dev-2"]},
            "ems-account:environments[0]",
            "'dev' and 'dev-2': the role of the first would reach the second",
        ),
        ({"subject_prefix": "repo:lab/*"}, "ems-account:subject_prefix", "does not fit"),
        (
            {"existing_service_roles": ["ecs"]},
            "ems-account:existing_service_roles[0]",
            "batch, elasticloadbalancing, spot",
        ),
        ({"cost_tag": True}, "ems-account:cost_tag", "did you mean 'cost_tags'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(more: dict[str, Any], where: str, what: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(handed_over(**more), "main")
    assert [each.where for each in error.value.faults] == [where]
    assert what in str(error.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingsError, match="3 faults"):
        read(handed_over(account="1", anomaly_usd=0, protect="maybe"), "main")
