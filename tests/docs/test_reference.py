"""The committed reference is what the code says now, and nothing is left out of it."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ems.compute.job import Reason
from ems.pipeline.environment.environment import KEYS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
WORDS = runpy.run_path(str(REFERENCE / "words.py"))


@pytest.mark.parametrize("name", ["commands.md", "python.md", "settings.md", "records.md"])
def test_the_reference_is_up_to_date(name: str) -> None:
    made = runpy.run_path(str(REFERENCE / "build.py"))["PAGES"][name]()
    assert (REFERENCE / name).read_text(encoding="utf-8") == made, "run: make docs"


def test_every_reason_and_environment_key_has_its_sentence() -> None:
    assert list(WORDS["REASONS"]) == [str(reason) for reason in Reason]
    assert list(WORDS["ENVIRONMENT"]) == list(KEYS)


def test_every_variable_and_tag_has_its_sentence() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sdk").rglob("*.py"))
    assert set(re.findall(r"\bEMS_[A-Z]+\b", source)) <= {*WORDS["VARIABLES"], *WORDS["GIVEN"]}
    worker = ROOT / "sdk/ems/worker"
    values = "".join((worker / name).read_text() for name in ("values.py", "codecs.py"))
    tags = {tag for names in WORDS["TREES"] for tag in names.split(", ")}
    internal = {"$fields", "$content", "$sha256"}  # inside $data; of keys, never of records
    assert set(re.findall(r"[\"'](\$[a-z]+)[\"']", values)) <= tags | internal


PIPELINE = """
import ems


@ems.task
def fails(x: int) -> int:
    raise SystemExit(3)


@ems.task
def square(x: int) -> int:
    return x * x


@ems.pipeline
def main():
    return square(2), fails(1)
"""


def test_every_key_of_what_is_kept_has_its_sentence(tmp_path: Path) -> None:
    def emsctl(*words: str) -> Any:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "emsctl"), *words, "-o", "json"],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout)

    (tmp_path / "pipeline.py").write_text(PIPELINE)
    assert emsctl("run", "pipeline.py", "--keep-going")["state"] == "failed"
    for call in emsctl("show", "last")["calls"]:
        kept = emsctl("show", call["version"])
        assert set(kept) == set(WORDS["MANIFEST"])
        assert set(kept["spec"]) == set(WORDS["SPEC"])
        assert set(kept["attempts"][0]) == set(WORDS["ATTEMPT"])
