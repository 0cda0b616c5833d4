from __future__ import annotations

import os
import signal
import time

from tests.cli.conftest import Call, call
from tests.e2e.lab import EMSCTL, Lab


def test_the_newest_comes_first(ask: Call) -> None:
    head, *rows = ask("runs").lines
    assert head.split() == [
        "run",
        "pipeline",
        "state",
        "started",
        "took",
        "ran",
        "cached",
        "failed",
        "who",
    ]
    assert [row.split()[2] for row in rows] == ["failed", "done", "done"]
    assert [row.split()[-4:-1] for row in rows] == [
        ["2", "2", "1"],
        ["3", "2", "0"],
        ["5", "0", "0"],
    ]


def test_json_has_stable_keys(ask: Call) -> None:
    last, _, first = ask("runs", "-o", "json").json
    assert list(last) == [
        "run", "pipeline", "file", "state", "started", "ended", "seconds", "counts", "who", "host",
        "kept",
    ]  # fmt: skip
    assert (first["pipeline"], first["file"], first["state"]) == ("main", "pipeline.py", "done")
    assert first["counts"] == {"ran": 5} and first["started"] < first["ended"]
    assert last["counts"] == {"ran": 2, "cached": 2, "failed": 1, "skipped": 1}


def test_how_many(ask: Call) -> None:
    assert len(ask("runs", "-n", "2", "-o", "json").json) == 2
    assert len(ask("runs", "-n", "1", "--all", "-o", "json").json) == 3
    assert ask("runs", "-n", "0").code == 2


def test_an_empty_store_has_no_rows(shared: Lab) -> None:
    (shared.root / "other.py").write_text("import ems\n\n@ems.pipeline\ndef main(): return 1\n")
    shared.emsctl("--store", "empty", "run", "other.py", "-n")
    done = call(shared.root, "--store", str(shared.root / "empty"), "runs")
    assert done.code == 0 and len(done.lines) == 1
    assert call(shared.root, "--store", str(shared.root / "empty"), "runs", "-o", "json").json == []


SLOW = """
    import time
    import ems

    @ems.task
    def quick(n: int) -> int:
        print("quick said", n, flush=True)
        return n

    @ems.task
    def slow(n: int) -> int:
        for step in range(400):
            ems.report(step, loss=1.0)
            time.sleep(0.05)
        return n

    @ems.pipeline
    def main():
        return slow(quick(1))
    """


def test_a_run_that_goes_on_and_one_that_died(lab: Lab, tell: Call) -> None:
    lab.write("slow.py", SLOW)
    process = lab.start("run", "slow.py")
    try:
        deadline = time.monotonic() + 30
        while tell("runs", "-n", "1", "-o", "json").json[0]["state"] != "running":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while "quick said 1" not in tell("logs", "last").out:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while "1 pending" not in tell("show", "last").out:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    assert tell("runs", "-n", "1", "-o", "json").json[0]["state"] == "died"
    shown = tell("show", "last").out
    assert "died; what it finished is kept" in shown and "quick" in shown
    assert "quick said 1" in tell("logs", "last").out
    assert tell("diff", "last~1", "last").code == 0
    follow = tell("logs", "-f")
    assert follow.code == 0 and "quick said 1" in follow.out and "died" in follow.err


def test_on_a_terminal(shared: Lab) -> None:
    import pty
    import subprocess

    master, slave = pty.openpty()
    environ = shared.environ({"TERM": "xterm-256color", "COLUMNS": "150"})
    process = subprocess.Popen([*EMSCTL, "runs"], cwd=shared.root, env=environ, stdout=slave)
    os.close(slave)
    data = b""
    while chunk := _read(master):
        data += chunk
    assert process.wait(30) == 0
    text = data.decode()
    assert "\x1b[32mdone" in text and "\x1b[31mfailed" in text and "pipeline" in text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end was closed
        return b""
