from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings.fault import SettingsError
from infra.settings.source import load


def refused(folder: Path, text: str) -> str:
    file = folder / "Pulumi.dev.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    return str(caught.value).replace(str(file), "FILE")


def test_values_are_read_as_the_engine_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("config:\n  ems:a: {b: yes, c: 2026-01-01, d: true, e: 1.5, f: off}\n")
    expected = {"b": "yes", "c": "2026-01-01", "d": True, "e": 1.5, "f": "off"}
    assert load(file).values == {"a": expected}


def test_a_file_without_settings(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("encryptionsalt: v1:x\n")
    assert load(file).values == {}
    assert load(file).document == {"encryptionsalt": "v1:x"}


def test_what_is_no_such_file(tmp_path: Path) -> None:
    assert "line 3: is no YAML" in refused(tmp_path, "config:\n  a: [\n")
    assert "the file: is no mapping" in refused(tmp_path, "- 1\n")
    assert "config: is no mapping" in refused(tmp_path, "config: 3\n")
    assert "sites: has no namespace (did you mean 'ems:sites'?)" in refused(
        tmp_path, "config:\n  sites: {}\n"
    )
    assert "unknown namespace 'emz' (did you mean 'ems'?)" in refused(
        tmp_path, "config:\n  emz:sites: {}\n"
    )
    assert "no YAML" in refused(tmp_path, "config: " + "[" * 2000)


def test_a_misspelt_key_at_the_top(tmp_path: Path) -> None:
    assert "FILE:2: confg: unknown key (did you mean 'config'?)" in refused(
        tmp_path, "encryptionsalt: v1:x\nconfg:\n  ems:sites: {}\n"
    )
    assert "FILE:1: settings: unknown key (allowed: config, " in refused(tmp_path, "settings: {}\n")
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("site: &site {a: 1}\nconfig:\n  ems:sites: *site\n")
    assert load(file).values == {"sites": {"a": 1}}


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    text = "config:\n  ems:sites:\n    a: {}\n    b: {}\n    a: {}\n"
    assert "FILE:5: ems:sites.a: stands in line 3 already" in refused(tmp_path, text)


def test_an_alias_that_holds_itself(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("config:\n  ems:a: &x [*x]\n")
    assert load(file).lines["ems:a"] == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text("")
    with pytest.raises(SettingsError, match=r"is not there \(there are: prod\)"):
        load(tmp_path / "Pulumi.dev.yaml")
