from __future__ import annotations

from tests.cli.conftest import Call


def test_two_runs(ask: Call) -> None:
    out = ask("diff", "last~2", "last~1").out
    assert "2 calls with the same version, 3 with another" in out.splitlines()[0]
    assert "train\n  code helper:FACTOR changed\n" in out
    assert "evaluate\n  argument model: another result of train\n    code helper:FACTOR" in out
    assert "score" in out and "132.0" in out and "176.0" in out
    assert "params" not in out


def test_params_and_calls_that_only_one_has(ask: Call) -> None:
    out = ask("diff", "last~1", "last").out
    assert "workers  2" in out and "rate     0.1" in out
    assert "only in the second: 1 call\ncollect[2]" in out
    assert "only in the first: 1 call\ncollect[2]" in ask("diff", "last", "last~1").out
    assert "not reached in the second run" in out


def test_a_run_with_itself(ask: Call) -> None:
    out = ask("diff", "last~1", "last~1").out
    assert "5 calls with the same version, 0 with another" in out and "results: the same" in out


def test_json(ask: Call) -> None:
    found = ask("diff", "last~2", "last~1", "-o", "json").json
    assert list(found) == ["runs", "params", "removed", "added", "changed", "same", "results"]
    assert [each["label"] for each in found["changed"]] == ["train", "evaluate", "report"]
    assert found["results"][0]["score"] == 132.0 and found["same"] == 2
    (change,) = found["changed"][0]["changes"]
    assert change["name"] == "helper:FACTOR"
    other = ask("diff", "last~1", "last", "-o", "json").json
    assert other["params"] == {"workers": [2, 3], "rate": [0.1, 2.0]}


def test_wrong_words(ask: Call) -> None:
    assert ask("diff", "last").code == 2
    assert ask("diff", "last", "nope").err.startswith("emsctl: nope: no such run.")
