"""What is said of an engine that did not end by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ems.errors import EmsError
from infra.programs import Program


def _engine(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a `pulumi` on the PATH that does nothing but this."""
    file = folder / "pulumi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_killed_engine_said_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _engine(tmp_path, "kill -9 $$", monkeypatch)
    with pytest.raises(EmsError) as caught:
        Program(".").pulumi(["up"])
    told = "pulumi up in .: was killed (SIGKILL). Try: docs/how-to/when-up-fails.md, section After"
    assert str(caught.value).startswith(told)


def test_one_that_failed_said_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _engine(tmp_path, "exit 255", monkeypatch)
    with pytest.raises(EmsError, match="ended with exit code 255; what it says stands above"):
        Program(".").pulumi(["up"])
