from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.settings.fault import SettingsError
from infra.settings.reading import read, read_file
from infra.settings.types import Environment
from tests.infra.settings.good import VALUES, varied

FILE = """\
# what it is for
config:
  aws:region: us-west-2
  ems:accounts: [111122223333]
  ems:protekt: true
  ems:protect: "yes"
  ems:log_retention_days: 31
  ems:sites:
    oregon:
      region: us-wst-2
      cidr: 10.16.0.0/16
      zones: [usw2-az1]
      batch:
        queues:
          - type: c7i.xlarge
          - type: g5.2xlage
            market: spot
    ireland:
      region: eu-west-1
      cidr: 10.16.128.0/17
      zones:
        - euw1-az1
        - euw1-az1
      kubernetes: {version: 1.34}
encryptionsalt: v1:abc
"""


def test_a_file_and_the_engine_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump({"config": {f"ems:{k}": v for k, v in VALUES.items()}}))
    # as PULUMI_CONFIG has it: text stays text, everything else is JSON
    engine = {k: v if isinstance(v, str) else json.dumps(v) for k, v in VALUES.items()}
    assert read_file(file) == read(VALUES, "dev") == read(engine, "dev")
    assert read({f"ems:{key}": value for key, value in engine.items()}, "dev") == read(
        VALUES, "dev"
    )


def test_values_that_the_engine_wrote_back() -> None:
    values = {**VALUES, "protect": "true", "log_retention_days": "60", "budget": ""}
    found = read(values, "dev")
    assert found.protect is True
    assert found.log_retention_days == 60
    assert found.budget is None


def test_all_faults_of_a_file_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(FILE)
    with pytest.raises(SettingsError) as caught:
        read_file(file)
    found = {fault.where: fault.line.removeprefix(f"{file}") for fault in caught.value.faults}
    assert found == {
        "ems:home": "",
        "ems:accounts[0]": ":4",
        "ems:protekt": ":5",
        "ems:protect": ":6",
        "ems:log_retention_days": ":7",
        "ems:sites.oregon.region": ":10",
        "ems:sites.oregon.batch.queues[1].market": ":17",
        "ems:sites.oregon.batch.queues[1].type": ":16",
        "ems:sites.ireland.cidr": ":20",
        "ems:sites.ireland.zones[1]": ":23",
        "ems:sites.ireland.kubernetes": ":24",
        "ems:sites.ireland.kubernetes.version": ":24",
    }
    lines = str(caught.value).splitlines()
    assert lines[0] == "settings of 'dev': 12 faults, and nothing was changed"
    assert len(lines) == 13
    assert f"  {file}:5: ems:protekt: unknown key (did you mean 'protect'?) (allowed: " in lines[3]
    assert "g5.2xlage' (did you mean 'g5.2xlarge'?)" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("path", "value", "where", "what"),
    [
        ("accounts", [111122223333], "ems:accounts[0]",
         "111122223333 does not fit (allowed: 12 digits, in quotes)"),
        ("accounts", "111122223333", "ems:accounts",
         "111122223333 is no list (allowed: a list, each 12 digits, in quotes)"),
        ("accounts", "012345678901", "ems:accounts",
         "012345678901 is no list (allowed: a list, each 12 digits, in quotes)"),
        ("accounts", ["\u0661" * 12], "ems:accounts[0]",
         "'" + "\u0661" * 12 + "' does not fit (allowed: 12 digits, in quotes)"),
        ("accounts", ["111122223333\n"], "ems:accounts[0]",
         "'111122223333\\n' does not fit (allowed: 12 digits, in quotes)"),
        ("sites", {}, "ems:sites", "is empty (allowed: 1 or more)"),
        ("sites.oregon.nat", "two", "ems:sites.oregon.nat",
         "'two' does not fit (allowed: none, one, zone)"),
        ("sites.oregon.nat", None, "ems:sites.oregon.nat",
         "nothing does not fit (allowed: none, one, zone)"),
        ("sites.oregon.asn", 1, "ems:sites.oregon.asn",
         "1 does not fit (allowed: a whole number from 64512 to 65534)"),
        ("sites.oregon.flow_logs", 1, "ems:sites.oregon.flow_logs",
         "1 does not fit (allowed: true, false)"),
        ("sites.oregon.batch.disk_gib", True, "ems:sites.oregon.batch.disk_gib",
         "true does not fit (allowed: a whole number from 30 to 16384)"),
        ("sites.oregon.kubernetes.version", 1.34, "ems:sites.oregon.kubernetes.version",
         '1.34 does not fit (allowed: a release of Kubernetes in quotes, such as "1.36")'),
        ("sites.Oregon", {}, "ems:sites.Oregon",
         "'Oregon' does not fit (allowed: lower-case letters, digits and hyphens, 16 at most, a "
         "letter first)"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit(path: str, value: Any, where: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(varied((path, value)), "dev")
    assert (where, what) in [(fault.where, fault.what) for fault in caught.value.faults]


def test_a_site_that_cannot_be_read_is_still_a_name_for_labs() -> None:
    with pytest.raises(SettingsError) as caught:
        read(varied(("sites.ireland", 3)), "dev")
    assert [fault.where for fault in caught.value.faults] == ["ems:sites.ireland"]


def test_nothing_at_all() -> None:
    with pytest.raises(SettingsError) as caught:
        read({}, "dev")
    assert [fault.where for fault in caught.value.faults] == ["ems:accounts", "ems:sites"]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
keys = st.sampled_from(list(Environment.__struct_fields__))


# the first call reads botocore's list of instance types, which takes long where much runs
@settings(deadline=None)
@given(st.dictionaries(keys | st.text(max_size=8), plain, max_size=6), st.text(max_size=20))
def test_junk_is_refused_and_never_breaks(values: dict[str, Any], environment: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(values, environment)
    assert caught.value.faults
    assert str(caught.value)


def _paths(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in [f"{path}{k}", *_paths(v, f"{path}{k}.")]]
    if isinstance(value, list):
        return [p for n, v in enumerate(value) for p in [f"{path}{n}", *_paths(v, f"{path}{n}.")]]
    return []


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(_paths(VALUES))), plain), min_size=1, max_size=3))
def test_junk_inside_a_good_environment_is_never_more_than_a_fault(
    changes: list[tuple[str, Any]],
) -> None:
    try:
        values = varied(*changes)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError):
        return  # an earlier change took the later one's place away
    try:
        read(values, "dev")
    except SettingsError as error:
        assert all(fault.where.startswith("ems:") for fault in error.faults)


@given(st.text(max_size=200) | st.binary(max_size=100))
def test_junk_in_a_file(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    file = tmp_path_factory.mktemp("junk") / "Pulumi.dev.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SettingsError):
        read_file(file)
