"""The question before a first `pulumi up`: what settings, account and quotas stand in its way.

Runs the environment's own program for it (`python -m infra.preflight`), since that knows the
settings. Knows the JSON of its answer; does not know what it looks at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec

from ems.errors import EmsError

_TIMEOUT_S = 300


class Obstacle(msgspec.Struct, frozen=True):
    """One thing that stands in the way, or may."""

    where: str
    what: str
    next: str = ""
    level: Literal["error", "warning"] = "error"


class _Answer(msgspec.Struct, frozen=True):
    problems: tuple[Obstacle, ...]


def there(project: Path, stack: str) -> bool:
    """Return whether a project has the program that looks, and settings for it to look at."""
    settings = project / "stacks" / f"Pulumi.{stack}.yaml"
    return settings.is_file() and (project / "infra" / "preflight" / "__main__.py").is_file()


def run(project: Path, stack: str) -> tuple[Obstacle, ...]:
    """Return what stands in the way of `pulumi up` for a stack; EmsError if it can't be told."""
    own = project / ".venv" / "bin" / "python"
    python = str(own) if os.access(own, os.X_OK) else sys.executable
    words = [python, "-m", "infra.preflight", "--stack", stack, "-o", "json"]
    command = f"python -m infra.preflight --stack {stack}"
    try:
        done = subprocess.run(
            words, cwd=project, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EmsError("preflight", f"gave no answer within {_TIMEOUT_S} s", command) from None
    try:
        return msgspec.json.decode(done.stdout, type=_Answer).problems
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = done.stderr.decode(errors="replace").strip().splitlines()
        problem = told[-1].removeprefix("error: ") if told else "gave no answer that can be read"
        raise EmsError("preflight", problem, command) from None
