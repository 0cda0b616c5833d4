from __future__ import annotations

import time
from pathlib import Path

from tests.cli.conftest import Call, version_of
from tests.cli.test_runs import SLOW
from tests.e2e.lab import Lab


def test_the_logs_of_a_run(ask: Call) -> None:
    done = ask("logs", "last~2")
    assert done.lines[:4] == [
        "collect[0] | collecting 0",
        "collect[0] | [step 0] reward 0.5",
        "collect[0] | [step 1] reward 1.5",
        "collect[1] | collecting 1",
    ]
    assert done.err == "emsctl: nothing was written in 3 attempts\n"


def test_one_task_one_call_and_one_version(ask: Call) -> None:
    assert ask("logs", "last", "collect[1]").lines[0] == "collect[1] | collecting 1"
    assert len(ask("logs", "last", "collect").lines) == 9
    assert ask("logs", "collect[2]").lines[0] == "collect[2] | collecting 2"
    assert ask("logs", version_of(ask, "collect[0]")[:12]).lines[0] == "collecting 0"


def test_an_attempt_that_failed(ask: Call) -> None:
    (line,) = ask("logs", "evaluate").lines
    assert line.startswith("evaluate | [failed: exception, in run ")


def test_json(ask: Call) -> None:
    first, *_ = ask("logs", "last", "collect", "-o", "json").json
    assert list(first) == ["label", "version", "state", "run", "log", "metrics"]
    assert (first["label"], first["state"], first["log"]) == (
        "collect[0]",
        "done",
        "collecting 0\n",
    )


def test_what_is_not_there(ask: Call) -> None:
    assert ask("logs", "nothing").err.startswith("emsctl: nothing: no such run or version")
    wrong = ask("logs", "last", "colect")
    assert wrong.code == 2 and "(did you mean 'collect'?) (it has collect, evaluate" in wrong.err
    assert ask("logs", "a", "b", "c").code == 2
    assert ask("logs", "-f", "last", "-o", "json").code == 2


def test_following_a_run_that_has_ended(ask: Call) -> None:
    done = ask("logs", "-f", "last")
    assert done.code == 0 and done.err.endswith(" failed\n")
    assert "collect | collecting 2" in done.lines and "collect | [step 1] reward 1.5" in done.lines
    assert any(line.startswith("evaluate | [failed: exception") for line in done.lines)
    only = ask("logs", "-f", "last", "evaluate")
    assert len(only.lines) == 1


def test_following_a_run_that_goes_on(lab: Lab, tell: Call) -> None:
    lab.write("slow.py", SLOW.replace("range(400)", "range(40)"))
    process = lab.start("run", "slow.py")
    while tell("runs", "-n", "1", "-o", "json").json[0]["file"] != "slow.py":
        time.sleep(0.02)
    follower = lab.start("logs", "-f")
    out, err = follower.communicate(timeout=30)
    process.communicate(timeout=30)
    lines = out.splitlines()
    assert "quick | quick said 1" in lines
    came = [line for line in lines if "| [step " in line]
    assert len(came) == 40 and not came[0].startswith("slow")  # while it ran, by its version
    assert err.endswith(" is done\n") and follower.returncode == 0


def test_a_log_whose_object_is_gone_says_so(lab: Lab, tell: Call) -> None:
    lab.write(
        "long.py",
        """
        import ems

        @ems.task
        def talk(n: int) -> int:
            print("x" * 5000)
            return n

        @ems.pipeline
        def main():
            return talk(1)
        """,
    )
    lab.emsctl("run", "long.py", "-q")
    log = tell("logs", "talk").out
    assert log == "talk | " + "x" * 5000 + "\n"
    version = version_of(tell, "talk")
    (digest, _), *_ = tell("show", version, "-o", "json").json["files"]
    Path(lab.root, ".ems", "objects", digest[:2], digest).unlink()
    gone = tell("logs", "talk")
    assert gone.code == 0 and "5001 bytes of output are gone from the store" in gone.out
