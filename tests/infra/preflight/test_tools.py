from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.preflight import tools

SALTED = {"encryptionsalt": "v1:x"}
VARIABLE, FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"


def pulumi(folder: Path, script: str) -> None:
    """Put a `pulumi` on a PATH of its own that does what the script says."""
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo v3.190.0", "the CLI is v3.190.0, which is too old (allowed: 3.246.0 or newer)"),
        ("echo v3.245.99", "too old"),
        ("echo hello", "`pulumi version` says 'hello'"),
        ("echo broken >&2; exit 1", "`pulumi version` says 'broken'"),
    ],
)
def test_a_cli_that_does_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    pulumi(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    (fault,) = tools.cli()
    assert words in fault.what
    assert fault.next.startswith("https://")


@pytest.mark.parametrize("version", ["3.246.0", "v3.246.0", "v3.246.0-dev.0", "v3.300.1", "v4.0.0"])
def test_a_cli_that_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    pulumi(tmp_path, f"echo {version}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not list(tools.cli())


def test_no_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (fault,) = tools.cli()
    assert "is not on the PATH" in fault.what


def test_a_passphrase_that_is_missing(tmp_path: Path) -> None:
    (fault,) = tools.passphrase(tmp_path, SALTED, {})
    assert (fault.where, "is not set" in fault.what) == (VARIABLE, True)
    (fault,) = tools.passphrase(tmp_path, SALTED, {FILE: str(tmp_path / "none")})
    assert (fault.where, "can't be read" in fault.what) == (FILE, True)


def test_a_passphrase_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    assert not list(tools.passphrase(tmp_path, SALTED, {VARIABLE: ""}))  # an empty one is one
    assert not list(tools.passphrase(tmp_path, SALTED, {FILE: str(tmp_path / "secret")}))


def test_which_stacks_need_one(tmp_path: Path) -> None:
    kept = {"PULUMI_BACKEND_URL": "s3://states"}
    assert tools.needs_passphrase(tmp_path, {}, kept)
    assert not tools.needs_passphrase(tmp_path, {"secretsprovider": "awskms://alias/x"}, kept)
    assert tools.needs_passphrase(tmp_path, {"secretsprovider": "passphrase"}, {})
    assert not tools.needs_passphrase(
        tmp_path, {}, {"PULUMI_BACKEND_URL": "https://pulumi.example"}
    )
    assert not tools.needs_passphrase(tmp_path, {}, {})
    (tmp_path / "Pulumi.yaml").write_text("backend: {url: 'file://~'}\n")
    assert tools.needs_passphrase(tmp_path, {}, {})


def test_they_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in (VARIABLE, FILE):
        monkeypatch.delenv(name, raising=False)
    assert os.environ.get(VARIABLE) is None
    assert [fault.where for fault in tools.faults(tmp_path, SALTED)] == ["pulumi", VARIABLE]
