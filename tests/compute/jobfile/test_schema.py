"""The schema for editors accepts what the reader accepts, but for what no schema can say."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ems.compute.jobfile.fault import JobFileError
from ems.compute.jobfile.reading import read_value
from ems.compute.jobfile.schema import KINDS, rows, schema
from tests.compute.jobfile.test_reading import WHOLE, one

SCHEMA = json.loads(schema())
REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
CASES: list[Any] = [
    WHOLE, one(), [one(), WHOLE], [], {}, None, 3, {"name": "x"}, {"command": "x"},
    one(name="a b"), one(name=""), one(command=""), one(command=[]), one(command=[1]),
    one(extra=1), one(resources={"cpus": "4+"}), one(resources={"cpus": -1}),
    one(resources={"cpus": "many"}), one(resources={"gpus": 1.5}), one(resources={"memory": 4096}),
    one(resources={"memory": "8 GiB+"}), one(resources={"memory": "8 parsecs"}),
    one(resources={"cpus": True}), one(resources={"limits": {"cpu": 1}}), one(resources=[]),
    one(environment={"image": "python:3.11"}), one(environment={"python": 3.11}),
    one(environment={"python": "3.11"}), one(environment={"modules": ["gcc"]}),
    one(variables={"1X": "a"}), one(variables={"X": True}), one(variables={"X": 1.5}),
    one(secrets={"T": "hunter2"}), one(secrets={"T": "env:T"}), one(secrets={"T": "k8s:a"}),
    one(inputs={"/abs": "x"}), one(inputs={"a/../b": "x"}), one(inputs={"a..b": "x"}),
    one(outputs={"m": "../x"}), one(on=[]), one(on=""), one(on="auto"), one(timeout=0),
    one(timeout="soon"), one(timeout="2h"), one(retries=-1), one(retries=101),
    one(retries={"count": 1, "reasons": ["preemted"]}), one(retries={}), one(spot=1),
    {"name": "g", "roles": [{"name": "a", "command": "x"}]}, one(roles=[{"name": "a", "count": 0}]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[str(n) for n in range(len(CASES))])
def test_the_same_documents(case: Any) -> None:
    accepted = jsonschema.Draft202012Validator(SCHEMA).is_valid(case)
    try:
        read_value(case, Path())
        read = True
    except JobFileError:
        read = False
    assert accepted == read, case


def test_every_key_has_its_sentence() -> None:
    for kind in KINDS:
        assert all(row[1] and row[3] for row in rows(kind)), kind


@pytest.mark.parametrize("name", ["job.md", "job.schema.json"])
def test_the_reference_is_up_to_date(name: str) -> None:
    made = runpy.run_path(str(REFERENCE / "build.py"))["PAGES"][name]()
    assert (REFERENCE / name).read_text(encoding="utf-8") == made, "run: make docs"
