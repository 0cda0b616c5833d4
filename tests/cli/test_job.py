"""`emsctl job`: a command and a file, what is printed, exit codes, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Told, call


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EMS_STORE", raising=False)


def tell(folder: Path, *words: str) -> Told:
    former = Path.cwd()
    try:
        return call(folder, "--store", str(folder / "store"), "job", *words)
    finally:
        os.chdir(former)


def test_a_command_is_run_and_can_be_looked_at_again(tmp_path: Path) -> None:
    done = tell(tmp_path, "submit", "--name", "hello", "--", "sh", "-c", "echo hé; exit 3")
    assert (done.code, done.out) == (100, "hé\n") and "failed" in done.err
    rows = tell(tmp_path, "status", "-o", "json").json
    assert [(r["state"], r["reason"], r["exit_code"]) for r in rows] == [("failed", "exit", 3)]
    again = tell(tmp_path, "watch", "hello")
    assert (again.code, again.out) == (100, "hé\n")
    assert "did you mean 'hello'" in tell(tmp_path, "status", "helo").err


def test_a_file_with_changes_and_outputs(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "name: t\ncommand: sh -c 'echo $SEED > o; echo $SEED'\noutputs: {o: o}\n"
    )
    done = tell(
        tmp_path, "submit", "job.yaml", "--set", "variables.SEED=7", "--get", "got", "-o", "json"
    )
    lines = [json.loads(line) for line in done.lines]
    assert done.code == 0 and {"event": "line", "text": "7"}.items() <= lines[-2].items()
    assert (tmp_path / "got" / "o").read_text() == "7\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("submit",), "takes a file or a command"),
        (("submit", "none.yaml"), "there is no such file"),
        (("submit", "a.yaml", "--", "true"), "not a.yaml and `true"),
        (("submit", "-d", "--", "true"), "can't be left alone"),
        (("submit", "--set", "x", "--", "true"), "is not KEY=VALUE"),
        (("submit", "--on", "moon", "--", "true"), "names no place"),
        (("submit", "--cpus", "many", "--", "true"), "resources.cpus: 'many' does not fit"),
        (("sumbit",), "did you mean 'submit'"),
    ],
)
def test_what_is_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = tell(tmp_path, *words)
    assert done.code == 2 and said in done.err


def test_who_does_not_know_a_target_ends_nothing_there(tmp_path: Path) -> None:
    settings = tmp_path / ".ems.yaml"
    settings.write_text("targets: {desk: {ssh: here, folder: desk}}\n")
    words = ("submit", "-d", "--name", "nap", "--on", "desk", "--", "sleep", "1")
    assert tell(tmp_path, *words).code == 0
    settings.write_text("{}\n")
    (row,) = tell(tmp_path, "status", "-o", "json").json
    assert (row["state"], row["detail"]) == ("submitted", "no target here is called desk")
    refused = tell(tmp_path, "cancel", "nap")
    assert refused.code == 2 and "can't be ended from here" in refused.err
    settings.write_text("targets: {desk: {ssh: here, folder: desk}}\n")
    assert tell(tmp_path, "watch", "nap").code == 0


def test_a_gang_by_its_members(tmp_path: Path) -> None:
    (tmp_path / "gang.yaml").write_text(
        "name: pair\nroles:\n"
        "- {name: a, command: 'echo $EMS_RANK of $EMS_SIZE', resources: {cpus: 0.5}}\n"
        "- {name: b, command: 'sleep 2; echo é; exit 4', resources: {cpus: 0.5}, ends: true}\n"
    )
    done = tell(tmp_path, "submit", "gang.yaml")
    assert done.code == 100 and sorted(done.lines) == ["a-0 | 0 of 2", "b-0 | é"]
    assert "  a-0: local at " in done.err and "b-0: ended with exit code 4" in done.err
    again = tell(tmp_path, "watch", "pair", "-o", "json")
    lines = [json.loads(line) for line in again.lines]
    assert {e["member"]: e["text"] for e in lines if e["event"] == "line"} == {
        "a-0": "0 of 2", "b-0": "é",
    }  # fmt: skip
    (row,) = tell(tmp_path, "status", "-o", "json").json
    assert (row["state"], row["reason"], row["exit_code"]) == ("failed", "exit", 4)
    assert [(m["name"], m["rank"], m["place"]) for m in row["members"]] == [
        ("a-0", 0, "local"), ("b-0", 1, "local"),
    ]  # fmt: skip
    table = tell(tmp_path, "status").out
    assert "  b-0" in table and "exit 4" in table
