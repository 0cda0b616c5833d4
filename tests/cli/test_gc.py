from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Call, version_of
from tests.e2e.lab import Lab

NOW = ("--grace", "1ms")


def sizes(lab: Lab) -> int:
    return sum(p.stat().st_size for p in (lab.root / ".ems" / "objects").rglob("*") if p.is_file())


def test_nothing_to_do(ask: Call) -> None:
    done = ask("gc")
    assert done.code == 0 and "runs      3 kept, 0 not" in done.out
    assert done.lines[-1] == "nothing to delete"


def test_a_dry_run_says_what_would_go_and_deletes_nothing(lab: Lab, tell: Call) -> None:
    before = sizes(lab)
    runs = [row["run"] for row in tell("runs", "-o", "json").json]
    for words in (("--keep", "2", *NOW), ("--drop", "last~2", *NOW), ("--drop", runs[2], *NOW)):
        found = tell("gc", *words, "-o", "json").json
        assert (found["deleted"], found["dropped"]) == (False, [runs[2]])
        assert (
            found["bytes"] > 0
            and found["objects"] > 0
            and sorted(found["kept"]) == sorted(runs[:2])
        )
    out = tell("gc", "--keep", "0", *NOW).out
    assert "0 kept, 3 not" in out and "to free" in out
    assert out.splitlines()[-1] == "nothing was deleted. Try: the same with --yes"
    assert sizes(lab) == before
    assert [row["kept"] for row in tell("runs", "-o", "json").json] == [None] * 3


def test_deleting(lab: Lab, tell: Call) -> None:
    before = sizes(lab)
    planned = tell("gc", "--drop", "last", "--drop", "last~1", *NOW, "-o", "json").json
    done = tell("gc", "--drop", "last", "--drop", "last~1", *NOW, "--yes", "-o", "json").json
    assert done["deleted"] and done["bytes"] == planned["bytes"] >= before - sizes(lab) > 0
    assert [row["kept"] for row in tell("runs", "-o", "json").json] == [False, False, None]
    assert tell("show", version_of(tell, "train", "last~2")).code == 0
    assert tell("check", "--all").code == 0, tell("check").out
    shown = tell("show", "last")
    assert shown.code == 0 and "calls     its calls are gone: gc let go of it" in shown.out
    assert tell("show", "last", "-o", "json").json["counts"]["failed"] == 1
    assert tell("why", "train").err.endswith("gc let go of it. Try: emsctl runs\n")
    lab.emsctl("run", "pipeline.py", "-q")
    assert tell("why", "train").out.startswith("train: ran")


def test_what_is_young_is_spared(lab: Lab, tell: Call) -> None:
    before = sizes(lab)
    assert tell("gc", "--keep", "1", "--yes", "-o", "json").json["bytes"] == 0
    assert [row["kept"] for row in tell("runs", "-o", "json").json] == [None, False, False]
    assert sizes(lab) == before


def test_old_runs(lab: Lab, tell: Call) -> None:
    assert tell("gc", "--older-than", "30d", "-o", "json").json["dropped"] == []
    assert len(tell("gc", "--older-than", "1ms", "-o", "json").json["dropped"]) == 3
    wrong = tell("gc", "--older-than", "soon")
    assert wrong.code == 2 and wrong.err.startswith("emsctl: --older-than: 'soon' is no duration")


def test_wrong_words(ask: Call, tmp_path: Path) -> None:
    assert ask("gc", "--keep", "-1").code == 2
    assert ask("gc", "--drop", "nope").err.startswith("emsctl: nope: no such run")
