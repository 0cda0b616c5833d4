"""A lab whose pipeline has been run, and commands called in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ems.cli.main import main
from tests.e2e.lab import Lab

PIPELINE = """
    import json
    import sys

    import ems
    from helper import scale


    @ems.task(cpus=0.5)
    def collect(seed: int, data: ems.File) -> ems.File:
        print("collecting", seed)
        ems.report(0, reward=0.5)
        ems.report(1, reward=1.5)
        with open("raw.txt", "w") as out:
            out.write(f"{seed} {data.read_text()}")
        return ems.File("raw.txt")


    @ems.task
    def train(parts: list[ems.File], rate: float) -> dict[str, object]:
        total = sum(len(part.read_text()) for part in parts)
        return {"weight": scale(total), "rate": rate}


    @ems.task
    def evaluate(model: dict[str, object]) -> float:
        if model["rate"] > 1:
            raise ValueError("diverged")
        return 2.0 * model["weight"]


    @ems.task
    def report(score: float) -> str:
        return f"score {score}"


    @ems.pipeline
    def main(workers: int = 2, rate: float = 0.1):
        data = ems.File("data.txt")
        score = evaluate(train([collect(seed, data) for seed in range(workers)], rate))
        return {"score": score, "text": report(score)}
    """
HELPER = "FACTOR = 3\n\n\ndef scale(value):\n    return FACTOR * value\n"


@dataclass(frozen=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Call = Callable[..., Told]


def call(folder: Path, *words: str) -> Told:
    """Call `emsctl` in this process as if in a folder."""
    found = CliRunner().invoke(main, ["-C", str(folder), *words])
    assert "Traceback" not in found.stderr, found.stderr
    return Told(found.exit_code, found.stdout, found.stderr)


def make(home: Path) -> Lab:
    """Return a lab with three runs: the first, one of a changed helper, one that failed."""
    lab = Lab(home)
    lab.write("pipeline.py", PIPELINE)
    lab.write("helper.py", HELPER)
    lab.write("data.txt", "some data")
    lab.emsctl("run", "pipeline.py", "-q")
    lab.edit("helper.py", ("FACTOR = 3", "FACTOR = 4"))
    lab.emsctl("run", "pipeline.py", "-q")
    lab.emsctl("run", "pipeline.py", "-q", "-p", "rate=2.0", "-p", "workers=3", code=100)
    return lab


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The lab that a module's tests only read."""
    return make(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def ask(shared: Lab, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call a command that reads in the shared lab."""
    monkeypatch.setenv("EMS_CACHE", str(shared.cache))
    return lambda *words: call(shared.root, *words)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab of a test's own, with the three runs."""
    made = make(tmp_path)
    monkeypatch.setenv("EMS_CACHE", str(made.cache))
    yield made
    os.chdir(Path(__file__).parent)


@pytest.fixture
def tell(lab: Lab) -> Call:
    """Call a command in the test's own lab."""
    return lambda *words: call(lab.root, *words)


def version_of(ask: Call, label: str, run: str = "last") -> str:
    """Return the version of a call of a run."""
    rows = ask("show", run, "-o", "json").json["calls"]
    return next(row["version"] for row in rows if row["label"] == label)
