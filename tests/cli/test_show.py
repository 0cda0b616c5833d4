from __future__ import annotations

from tests.cli.conftest import Call, version_of


def test_a_run(ask: Call) -> None:
    out = ask("show", "last~1").out
    for text in ("state     done", "calls     3 ran, 2 cached", "params    workers = 2", "command",
                 "rate = 0.1", "tasks", "collect   2 cached", "train     1 ran", "result",
                 "score = 176.0", "text = 'score 176.0'"):  # fmt: skip
        assert text in out, out


def test_a_run_that_failed(ask: Call) -> None:
    out = ask("show", "last").out
    assert "state     failed" in out and "error     evaluate: exception: diverged" in out
    assert "report    1 skipped" in out and "\nresult\n" not in out


def test_a_run_as_json(ask: Call) -> None:
    found = ask("show", "last", "-o", "json").json
    assert list(found)[-6:] == ["command", "params", "tasks", "calls", "result", "error"]
    assert found["params"] == {"workers": 3, "rate": 2.0}
    assert {call["label"]: call["how"] for call in found["calls"]} == {
        "collect[0]": "cached", "collect[1]": "cached", "collect[2]": "ran", "train": "ran",
        "evaluate": "failed", "report": "skipped",
    }  # fmt: skip
    assert found["error"] == {"label": "evaluate", "reason": "exception", "message": "diverged"}
    assert found["result"] is None


def test_a_version(ask: Call) -> None:
    version = version_of(ask, "collect[0]")
    out = ask("show", version[:8]).out
    for text in (f"version      {version}", "task         collect", "state        recorded",
                 "asked        0.5 CPU", "exit         0", "pipeline:collect", "python 3.",
                 "seed = 0", "data = data.txt (9 B, ", "raw.txt (11 B, ",
                 "2 reported; the last: [step 1] reward 1.5", "collecting 0"):  # fmt: skip
        assert text in out, out


def test_a_version_that_reaches_other_code_and_takes_results(ask: Call) -> None:
    out = ask("show", version_of(ask, "train", "last~1")).out
    assert "pipeline:train" in out and "helper:scale" in out and "helper:FACTOR" in out
    assert "parts = [result of " in out and "weight = 88\nrate = 0.1" in out


def test_a_version_that_failed(ask: Call) -> None:
    out = ask("show", version_of(ask, "evaluate")).out
    for text in ("state        failed", "error        ValueError: diverged", 'File "pipeline.py"',
                 "attempts", "1        failed  exception"):  # fmt: skip
        assert text in out, out


def test_a_version_as_json(ask: Call) -> None:
    found = ask("show", version_of(ask, "collect[1]"), "-o", "json").json
    assert list(found) == [
        "schema", "version", "task", "state", "run", "spec", "args", "out", "content", "files",
        "asked", "usd", "reason", "signal", "error", "exit", "log", "metrics", "started", "ended",
        "seconds", "used", "place", "who", "attempts",
    ]  # fmt: skip
    assert found["args"]["seed"] == 1 and found["args"]["data"]["$file"][1:3] == [9, "data.txt"]
    assert found["args"]["data"]["$file"][3].endswith("/data.txt")
    assert found["out"]["$file"][1:] == [11, "raw.txt"]
    assert found["log"] == "collecting 1\n" and found["exit"] == 0
    assert [row["metrics"] for row in found["metrics"]] == [{"reward": 0.5}, {"reward": 1.5}]
    assert found["spec"]["entry"] == ["pipeline", "collect"]
    assert [each["state"] for each in found["attempts"]] == ["recorded"]


def test_what_is_not_there(ask: Call) -> None:
    runs = [row["run"] for row in ask("runs", "-o", "json").json]
    wrong = ask("show", "zzzz")
    assert (
        wrong.code == 2 and wrong.err == "emsctl: zzzz: no such run or version. Try: emsctl runs\n"
    )
    assert "at least 4 hex digits" in ask("show", "abc").err
    assert f"did you mean '{runs[0]}'" in ask("show", runs[0][:-1] + "~").err
    assert "the store has 3 runs" in ask("show", "last~3").err
    many = ask("show", runs[0][:8])
    assert many.code == 2 and "names 3 runs" in many.err and runs[2] in many.err
    assert f"(there are {runs[0]})" in ask("show", runs[0][9:]).err


def test_the_ways_to_name_a_run(ask: Call) -> None:
    runs = [row["run"] for row in ask("runs", "-o", "json").json]
    for word, run in (
        ("last", 0),
        ("@", 0),
        ("last~1", 1),
        ("@~2", 2),
        (runs[1], 1),
        (runs[2][:-1], 2),
    ):
        assert ask("show", word, "-o", "json").json["run"] == runs[run]


def test_a_call_is_named_by_its_label(ask: Call) -> None:
    version = version_of(ask, "collect[1]")
    assert ask("show", "collect[1]", "-o", "json").json["version"] == version
    run = ask("runs", "-o", "json").json[0]["run"]
    assert ask("show", f"{run}:collect[1]", "-o", "json").json["version"] == version
    several = ask("show", "collect")
    assert several.code == 2 and "collect[0], collect[1]" in several.err
