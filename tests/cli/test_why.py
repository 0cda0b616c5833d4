from __future__ import annotations

from tests.cli.conftest import Call
from tests.e2e.lab import Lab


def test_code_two_modules_away(ask: Call) -> None:
    out = ask("why", "last~1", "train").out
    assert out.startswith("train: ran; against run ")
    assert "  code helper:FACTOR changed\n" in out
    assert "-FACTOR = 3" in out and "+FACTOR = 4" in out
    assert "scale" not in out


def test_another_result_and_what_lies_behind_it(ask: Call) -> None:
    lines = ask("why", "last~1", "report").lines
    assert lines[1].strip() == "argument score: another result of evaluate"
    assert lines[2].strip() == "argument model: another result of train"
    assert lines[3].strip() == "code helper:FACTOR changed"


def test_the_first_time(ask: Call) -> None:
    lines = ask("why", "last~2", "collect").lines
    assert lines == ["collect[0] … collect[1] (2 calls): ran, for the first time in this pipeline"]


def test_cached(ask: Call) -> None:
    first = ask("runs", "-o", "json").json[2]["run"]
    (line,) = ask("why", "last~1", "collect[1]").lines
    assert line.startswith("collect[1]: cached: the same version was run by ")
    assert f"in run {first}, " in line


def test_what_failed_what_was_skipped_and_a_new_call(ask: Call) -> None:
    assert ask("why", "report").lines == ["report: skipped: something that it needs failed"]
    lines = ask("why", "evaluate").lines
    assert lines[0].startswith("evaluate: failed; against run ")
    assert "argument rate: 0.1 → 2.0" in ask("why", "train").out
    new = ask("why", "collect[2]").lines
    assert new[0].startswith("collect[2]: ran, a new call; against collect[1] of run ")
    assert new[1] == "  argument seed: 1 → 2"


def test_json(ask: Call) -> None:
    (found,) = ask("why", "last~1", "train", "-o", "json").json
    assert list(found) == [
        "label", "task", "version", "how", "kind", "compared_with", "changes", "recorded",
    ]  # fmt: skip
    (change,) = found["changes"]
    assert (change["part"], change["name"]) == ("code", "helper:FACTOR")
    assert change["diff"][-2:] == ["-FACTOR = 3", "+FACTOR = 4"]
    assert (found["how"], found["kind"]) == ("ran", "changed")
    (cached,) = ask("why", "last~1", "collect[0]", "-o", "json").json
    assert cached["kind"] == "cached" and cached["recorded"]["run"] != found["recorded"]["run"]


def test_wrong_words(ask: Call) -> None:
    assert "no such task in run" in ask("why", "last", "trian").err
    assert ask("why").code == 2
    assert ask("why", "a", "b", "c").code == 2
    assert ask("why", "nope", "train").err.startswith("emsctl: nope: no such run")


def test_run_again_by_request(lab: Lab, tell: Call) -> None:
    lab.emsctl("run", "pipeline.py", "-q", "--rerun", "train")
    assert "--rerun asked for it" in tell("why", "train").out
    assert "cached" in tell("why", "collect[0]").out


def test_a_version_that_had_failed(lab: Lab, tell: Call) -> None:
    lab.emsctl("run", "pipeline.py", "-q", "-p", "rate=2.0", "-p", "workers=3", code=100)
    assert "the same version had failed in run" in tell("why", "evaluate").out


def test_an_input_file_and_an_environment(lab: Lab, tell: Call) -> None:
    lab.write("data.txt", "other")
    lab.emsctl("run", "pipeline.py", "-q")
    lines = tell("why", "collect[0]").lines
    assert (
        lines[1].startswith("  argument data: data.txt (9 B, ") and "→ data.txt (5 B, " in lines[1]
    )


def test_cache_false(lab: Lab, tell: Call) -> None:
    lab.edit("pipeline.py", ("@ems.task\ndef report", "@ems.task(cache=False)\ndef report"))
    for _ in range(2):
        lab.emsctl("run", "pipeline.py", "-q")
    assert "cache=False: it runs in every run" in tell("why", "report").out


def test_many_calls_of_one_sort_are_told_once(lab: Lab, tell: Call) -> None:
    lab.write(
        "wide.py",
        """
        import ems

        @ems.task
        def one(n: int, shift: int) -> int:
            return n + shift

        @ems.task
        def add(parts: list[int]) -> int:
            return sum(parts)

        @ems.pipeline
        def main(n: int = 10, shift: int = 0):
            return add([one(each, shift) for each in range(n)])
        """,
    )
    lab.emsctl("run", "wide.py", "-q")
    lab.emsctl("run", "wide.py", "-q", "-p", "shift=1")
    assert tell("why", "one").lines[1:] == ["  argument shift: 0 → 1"]
    assert tell("why", "add").lines[1:] == [
        "  argument parts[0]: another result of one",
        "    argument shift: 0 → 1",
        "  argument parts[1]: another result of one",
        "  argument parts[2]: another result of one",
        "  and 7 more of parts",
    ]
    lab.emsctl("run", "wide.py", "-q", "-p", "shift=1", "-p", "n=12")
    assert "argument parts[10]: takes as well the result of one" in tell("why", "add").out
