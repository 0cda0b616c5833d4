"""`python -m infra.preflight`, as a person or a program runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.preflight.__main__ import problems

ROOT = Path(__file__).resolve().parents[3]


def run(folder: Path, aws: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    program = folder / "pulumi"
    program.write_text("#!/bin/sh\necho v3.246.0\n")
    program.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-m", "infra.preflight", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": aws,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "PULUMI_CONFIG_PASSPHRASE": "",
            **more,
        },
    )


def test_the_sandbox_is_ready(tmp_path: Path, aws: str) -> None:
    done = run(tmp_path, aws, "--stack", "sandbox", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)["problems"]
    assert all(set(each) == {"where", "what", "next", "level"} for each in told)
    assert {each["level"] for each in told} == {"warning"}
    assert "quotas" in {each["where"] for each in told}


def test_the_wrong_account(tmp_path: Path, aws: str) -> None:
    done = run(tmp_path, aws, "--stack", "dev")
    assert done.returncode == 1
    assert done.stdout.startswith("error: stacks/Pulumi.dev.yaml:")
    assert "ems:accounts: these credentials are of account 123456789012" in done.stdout


def test_no_such_environment(tmp_path: Path, aws: str) -> None:
    done = run(tmp_path, aws, "--stack", "dew", "-o", "json")
    (fault,) = json.loads(done.stdout)["problems"]
    assert done.returncode == 1
    assert "is not there (there are: " in fault["what"]


def test_settings_and_tools_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("config: {'ems:sites': 3}\nencryptionsalt: v1:x\n")
    found: list[Any] = [fault.where for fault in problems(file, tmp_path)]
    assert found == ["ems:accounts", "ems:sites", "pulumi", "PULUMI_CONFIG_PASSPHRASE"]
