"""A clone of the repository whose engine keeps its state beside it: `make up` as a person runs it.

Knows the commands and their exit codes. Does not know what an environment holds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.infra.environments.sky import SMALL
from tests.rigs.sandbox.place import Place
from tests.rigs.sandbox.surroundings import environment
from tests.rigs.sky import warm
from tests.rigs.sky.engine import SKIPS
from tests.rigs.sky.project import Project

NAME = "small"


@dataclass
class Checkout:
    """A clone of the repository, whose engine keeps its state beside it."""

    folder: Path
    variables: dict[str, str]

    @property
    def file(self) -> Path:
        """The environment's file."""
        return self.folder / "stacks" / f"Pulumi.{NAME}.yaml"

    def write(self, **changed: Any) -> None:
        """Write the environment's settings, and keep what the engine has in the file."""
        told = yaml.safe_load(self.file.read_text()) if self.file.exists() else {}
        settings = {**SMALL, **{f"ems:{key}": value for key, value in changed.items()}}
        self.file.write_text(yaml.safe_dump({**told, "config": settings}))

    def start(self, *words: str, module: str = "infra.order", **more: str) -> subprocess.Popen[str]:
        """Start `python -m infra.order …`, with `more` variables."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=self.folder,
            env={**self.variables, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def order(self, *words: str, module: str = "infra.order", **more: str) -> tuple[int, str, str]:
        """Run it; return exit code, output and errors."""
        running = self.start(*words, module=module, **more)
        out, err = running.communicate(timeout=300)
        return running.returncode, out, err

    def done(self, *words: str) -> str:
        """Run it and expect it to succeed; return what it printed."""
        code, out, err = self.order(*words)
        assert code == 0, f"{words}: {code}\n{out}\n{err}"
        return out

    def refused(self, *words: str, **more: str) -> tuple[int, str]:
        """Run it, expect one line about what is wrong, and return code and line."""
        code, _, err = self.order(*words, **more)
        lines = [line for line in err.splitlines() if not line.startswith("warning:")]
        assert code and len(lines) == 1, err
        return code, lines[0]

    def stacks(self, program: str = ".") -> dict[str, int]:
        """Return the stacks of a program, with the number of their resources."""
        words = ["pulumi", "-C", program, "stack", "ls", "--json"]
        done = subprocess.run(
            words, cwd=self.folder, env=self.variables, capture_output=True, check=True
        )
        return {each["name"]: each["resourceCount"] for each in json.loads(done.stdout)}


def clone(folder: Path, endpoint: str) -> Checkout:
    """Return a clone in `folder` with a small environment, in the cloud at `endpoint`."""
    place = Place(folder / "state of it")
    for each in (place.state, place.home):
        each.mkdir(parents=True)
    Project.repository().write(folder / "clone")
    variables = {**environment(place, endpoint), **SKIPS, warm.SOCKET: warm.started()}
    made = Checkout(folder / "clone", variables)
    made.write()
    return made
