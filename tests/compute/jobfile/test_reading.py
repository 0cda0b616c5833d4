"""Job files: what is read, what is refused, and where a fault is said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.compute.jobfile.fault import JobFileError
from ems.compute.jobfile.making import job_of
from ems.compute.jobfile.reading import plain, read_file, read_value
from ems.compute.jobfile.types import RETRIED
from ems.pipeline import runner

HERE = Path()
WHOLE: dict[str, Any] = {
    "name": "train",
    "command": "python train.py --out {out.model}",
    "resources": {
        "cpus": "4+", "memory": "16+", "gpus": 1, "gpu_kind": "a100", "disk": 20,
        "limits": {"cpus": 8, "memory": 32},
    },
    "environment": {"python": "3.11", "modules": ["gcc/12.2"]},
    "variables": {"SEED": 3, "NAME": "ünï"},
    "secrets": {"TOKEN": "env:TOKEN", "KEY": "k8s:keys/one", "A": "asm:lab/key", "F": "file:~/k"},
    "inputs": {"train.py": "train.py", "data/": "data"},
    "outputs": {"model": "out/model.pt"},
    "on": ["robots", "cluster"],
    "timeout": "1h30m",
    "retries": {"count": 2, "reasons": ["preempted", "lost"]},
    "spot": True,
}  # fmt: skip


def faults(value: object) -> dict[str, str]:
    with pytest.raises(JobFileError) as caught:
        read_value(value, HERE)
    return {fault.where: fault.what for fault in caught.value.faults}


def one(**keys: Any) -> dict[str, Any]:
    return {"name": "x", "command": ["true"], **keys}


def test_every_key_becomes_a_part_of_the_job() -> None:
    job = job_of(read_value(WHOLE, HERE).jobs[0], {"train.py": "ab"}, {"python": "3.11"})
    assert job.command == ("python", "train.py", "--out", "out/model.pt")
    assert job.resources.at_least == {"cpus", "memory"} and job.resources.gpu_kind == "a100"
    assert job.limits is not None and (job.limits.cpus, job.limits.memory_gib) == (8, 32)
    assert job.variables == {"SEED": "3", "NAME": "ünï"} and job.timeout_s == 5400
    assert (job.retries, job.retry_on) == (2, {"preempted", "lost"})
    assert job.on == ("robots", "cluster") and job.spot and job.declared == {"python": "3.11"}


def test_a_gang_is_carried() -> None:
    roles = [{"name": "learner", "command": "python l.py {out.m}", "resources": {"gpus": 1},
              "outputs": {"m": "m.pt"}, "ends": True},
             {"name": "actor", "count": 8, "on": "robots", "variables": {"A": 1}}]  # fmt: skip
    job = job_of(read_value(one(roles=roles, on="cluster"), HERE).jobs[0], {}, {})
    assert [(r.name, r.times, r.command, r.on) for r in job.roles] == [
        ("learner", 1, ("python", "l.py", "m.pt"), ("cluster",)),
        ("actor", 8, ("true",), ("robots",)),
    ]
    assert [(r.ends, r.variables, r.outputs) for r in job.roles] == [
        (True, {}, {"m": "m.pt"}), (False, {"A": "1"}, {}),
    ]  # fmt: skip


def test_retries_by_number_are_after_the_reasons_of_tasks() -> None:
    assert set(RETRIED) == runner.RETRIED
    assert job_of(read_value(one(retries=1), HERE).jobs[0], {}, {}).retry_on == set(RETRIED)


YAML = """\
- name: good
  command: python train.py
  on: cluster
- name: bad name
  comand: python
  resources:
    cpus: many
    memory: 4096
    gpus: 1.5
    disk: 3 parsecs
    gpu_kind: a100
    limits: {cpu: 3}
  environment: {lock: a, conda: b, image: "python:3.11", python: 3.11, modules: [gcc]}
  variables: {1X: a, OK: yes, NO: true}
  secrets: {TOKEN: hunter2}
  inputs: {/abs: x, ../up: y}
  outputs: {m: out, n: out/n}
  on: [a, auto]
  timeout: soon
  retries: {count: -1, reasons: [preemted]}
  spot: sometimes
  retry: 3
"""


def test_all_faults_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(YAML)
    with pytest.raises(JobFileError) as caught:
        read_file(file)
    found = {fault.where: fault for fault in caught.value.faults}
    lines = {where: fault.line for where, fault in found.items()}
    assert len(found) >= 20
    assert lines["[1].name"] == 4 and lines["[1].resources.limits.cpu"] == 12
    assert lines["[1].variables.NO"] == 14 and lines["[1].spot"] == 21
    assert list(lines.values()) == sorted(lines.values())
    assert "did you mean 'command'" in found["[1].comand"].what
    assert "did you mean 'preempted'" in found["[1].retries.reasons[0]"].what
    text = str(caught.value)
    assert "hunter2" not in text and "TOKEN: env:TOKEN" in text
    assert "job.yaml:15: [1].secrets.TOKEN" in text and "nothing was submitted" in text


def test_json_has_lines_too_and_tabs(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text('{\n\t"name": "x",\n\t"command": "true",\n\t"cpus": 3\n}\n')
    with pytest.raises(JobFileError) as caught:
        read_file(file)
    assert [(f.where, f.line) for f in caught.value.faults] == [("cpus", 4)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "a.json:1: is no JSON"),
        ("a.json", '{"name": "a", "name": "b"}', "'name' stands twice"),
        ("a.yaml", "name: [", "is no YAML"),
        ("a.yaml", "name: a\nname: b", "a.yaml:2: 'name' stands in line 1 already"),
        ("a.yaml", "", "nothing is no mapping"),
        ("a.yaml", "[]", "holds no job"),
        ("a.yaml", "&a [*a]", "is no mapping"),
        ("none.yaml", None, "there is no such file"),
    ],
)
def test_what_is_no_job_file(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(JobFileError, match="1 fault") as caught:
        read_file(tmp_path / name)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "where", "what"),
    [
        ({"command": "python 'x"}, "command", "can't be split"),
        ({"command": "run {seed}"}, "command", "stands for nothing here"),
        ({"command": "run {out.modle}", "outputs": {"model": "m"}}, "command", "did you mean"),
        ({"command": ["a\0"]}, "command", "null character"),
        ({"command": []}, "command", "does not fit"),
        ({"resources": {"gpu_kind": "a100"}}, "resources.gpu_kind", "no GPU is asked for"),
        ({"resources": {"cpus": 4, "limits": {"cpus": 2}}}, "resources.limits.cpus", "less than"),
        ({"resources": {"memory": "4096"}}, "resources.memory", "at most 2048"),
        ({"timeout": "0s"}, "timeout", "no duration"),
        ({"variables": {"A": "1"}, "secrets": {"A": "env:A"}}, "secrets.A", "under `variables`"),
        ({"on": ["a", "a"]}, "on", "stands twice"),
        ({"roles": [{"name": "a"}, {"name": "a"}]}, "roles[1].name", "stands twice"),
        ({"roles": [{"name": "a", "count": 0}]}, "roles[0].count", "a whole number from 1"),
        ({"roles": [{"name": "a", "count": 5000}]}, "roles", "allowed: up to 512"),
        ({"roles": [{"name": "a", "on": ["x", "x"]}]}, "roles[0].on", "stands twice"),
        ({"roles": [{"name": "a", "command": "x {out.m}"}]}, "roles[0].command", "is no output"),
        ({"roles": [{"name": "a", "variables": {"RANK": 1}}]}, "roles[0].variables.RANK", "EMS"),
        ({"roles": [{"name": "a"}], "variables": {"EMS_PORT": 1}}, "variables.EMS_PORT", "tells"),
        (
            {"roles": [{"name": "a", "variables": {"A": 1}}], "secrets": {"A": "env:A"}},
            "roles[0].variables.A",
            "under the job's `secrets`",
        ),
        ({"roles": [{"name": "a"}], "outputs": {"m": "m"}}, "outputs", "the role that writes"),
        ({"roles": [{"name": "a"}], "resources": {"cpus": 2}}, "resources", "with each role"),
        ({"roles": [{"name": "a"}], "meet": "0s"}, "meet", "no duration"),
        ({"secrets": "env:X"}, "secrets", "is no mapping"),
    ],
)
def test_rules(keys: dict[str, Any], where: str, what: str) -> None:
    assert what in faults(one(**keys))[where]


amounts = st.one_of(
    st.integers(0, 64), st.floats(0, 64, allow_nan=False), st.sampled_from(["4+", "0.5", "2 +"])
)
names = st.from_regex(r"\A[A-Za-z][A-Za-z0-9_]{0,8}\Z")
specs = st.fixed_dictionaries(
    {"name": names, "command": st.lists(st.text(st.characters(exclude_characters="\0",
     exclude_categories=("Cs",))), max_size=3).map(lambda more: ["run", *more])},
    optional={
        "resources": st.fixed_dictionaries({}, optional={"cpus": amounts, "memory": amounts}),
        "variables": st.dictionaries(names, st.one_of(st.integers(), st.text(max_size=5))),
        "outputs": st.dictionaries(names, names).filter(lambda d: len({*d.values()}) == len(d)),
        "on": st.one_of(names, st.lists(names, min_size=1, unique=True)),
        "timeout": st.sampled_from([5, 2.5, "90s", "1h30m"]),
        "retries": st.one_of(st.integers(0, 9), st.just({"count": 1, "reasons": ["lost"]})),
        "spot": st.booleans(),
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(specs)
def test_what_was_read_reads_the_same_again(spec: dict[str, Any]) -> None:
    first = read_value(spec, HERE).jobs[0]
    again = read_value(json.loads(json.dumps(plain(first))), HERE).jobs[0]
    assert again == first and plain(again) == plain(first)
    assert job_of(again, {}, {}) == job_of(first, {}, {})
