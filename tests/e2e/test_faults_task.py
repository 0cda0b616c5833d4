"""Tasks that take too long or too much, write too much, fork, or close what is not theirs."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harm import NOTES, begun, nobody_left, start
from tests.e2e.lab import Lab

HEAD = """
import os
import subprocess
import sys
import time

import ems
from notes import note


@ems.task
def good(i: int) -> int:
    note(f"begin good{i}")
    time.sleep(0.05)
    return i
"""
TAIL = """

@ems.pipeline
def main():
    return [bad(0)] + [good(i) for i in range(4)]
"""


@pytest.fixture
def with_bad(lab: Lab):
    """Give a lab one task `bad(i)` beside four good ones."""

    def made(text: str) -> Lab:
        lab.write("notes.py", NOTES)
        lab.write("pipeline.py", HEAD + text + TAIL)
        return lab

    return made


def failure_of_bad(lab: Lab, within_s: float = 20) -> dict:
    """Run with --keep-going: the good ones end well. Returns how the bad one failed."""
    run = start(lab, "run", "pipeline.py", "--keep-going", "-o", "json")
    ended = run.done(100, within_s)
    told = ended.json
    assert told["counts"]["ran"] == 4
    assert begun(lab) == {**{f"good{i}": 1 for i in range(4)}, "bad": begun(lab)["bad"]}
    (failure,) = told["failures"]
    assert failure["task"] == "bad"
    nobody_left(lab, 3)
    return failure


def test_a_timeout_ends_a_task_and_says_so(with_bad) -> None:
    lab = with_bad("""
@ems.task(timeout=1)
def bad(i: int) -> int:
    note("begin bad")
    print("still at it", flush=True)
    subprocess.run(["sleep", "60"])
    return i
""")
    before = time.monotonic()
    failure = failure_of_bad(lab)
    assert time.monotonic() - before < 8
    assert failure["reason"] == "timed_out"
    assert "timeout of 1 s" in failure["message"]
    text = "\n".join(failure["text"])
    assert "still at it" in text
    assert "next: emsctl logs" in text


def test_a_task_that_ignores_signals_is_ended_by_its_timeout(with_bad) -> None:
    lab = with_bad("""
@ems.task(timeout=1)
def bad(i: int) -> int:
    import signal

    note("begin bad")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
""")
    assert failure_of_bad(lab)["reason"] == "timed_out"


def test_a_memory_limit_ends_a_task_and_says_so(with_bad) -> None:
    lab = with_bad("""
@ems.task(memory="0.2")
def bad(i: int) -> int:
    note("begin bad")
    held = bytearray(400 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(30)
    return len(held)
""")
    failure = failure_of_bad(lab)
    assert failure["reason"] == "out_of_memory"
    assert "its limit is 205 MiB" in failure["message"]


def test_memory_of_a_task_s_children_counts(with_bad) -> None:
    lab = with_bad("""
GREEDY = '''
import time
held = bytearray(400 * 2**20)
held[::4096] = b"x" * len(held[::4096])
time.sleep(30)
'''


@ems.task(memory="0.2")
def bad(i: int) -> int:
    note("begin bad")
    subprocess.run([sys.executable, "-c", GREEDY])
    return i
""")
    assert failure_of_bad(lab)["reason"] == "out_of_memory"


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("os.kill(os.getpid(), 11)", "signal", "SIGSEGV"),
        ("os._exit(3)", "exit", "exit code 3"),
        ("sys.exit(4)", "exit", "4"),
        ("os.abort()", "signal", "SIGABRT"),
        ("os.kill(os.getpid(), 15)", "preempted", "SIGTERM"),
    ],
    ids=["segfault", "_exit", "exit", "abort", "terminated"],
)
def test_a_task_that_ends_its_process(with_bad, text: str, reason: str, said: str) -> None:
    lab = with_bad(f"""
@ems.task
def bad(i: int) -> int:
    note("begin bad")
    print("last words", flush=True)
    {text}
    time.sleep(5)
    return i
""")
    failure = failure_of_bad(lab)
    assert failure["reason"] == reason
    assert said in "\n".join(failure["text"])
    assert "last words" in "\n".join(failure["text"])


def test_a_log_of_fifty_megabytes(with_bad) -> None:
    lab = with_bad("""
@ems.task
def bad(i: int) -> int:
    note("begin bad")
    line = "x" * 999 + "\\n"
    for _ in range(50_000):
        sys.stdout.write(line)
    print("the last line")
    return 7
""")
    run = start(lab, "run", "pipeline.py", "-o", "json")
    ended = run.done(0, 40)
    assert ended.json["result"] == [7, 0, 1, 2, 3]
    out = lab.marks_file.with_name("log.txt")
    with out.open("wb") as stream:
        process = lab.popen(["true"])
        process.communicate()
        logs = start(lab, "logs", "last", "bad")
        logs.process.wait(30)
        stream.write(logs.out.read_bytes())
    assert logs.process.returncode == 0, logs.err.read_text()
    assert out.stat().st_size >= 50_000_000
    assert "the last line" in out.read_text()[-500:]
    again = lab.run()
    assert again.ran == []


def test_a_log_that_is_no_text(with_bad) -> None:
    lab = with_bad("""
@ems.task
def bad(i: int) -> int:
    note("begin bad")
    os.write(1, bytes(range(256)) * 100)
    os.write(2, b"\\xff\\xfe no newline at the end")
    return 7
""")
    assert lab.run().result == [7, 0, 1, 2, 3]
    assert "no newline at the end" in lab.emsctl("logs", "last", "bad").out


def test_a_task_that_forks(with_bad) -> None:
    """A child that comes back from the task's function must not answer for it."""
    lab = with_bad("""
@ems.task
def bad(i: int) -> int:
    note("begin bad")
    if os.fork() == 0:
        return 99
    time.sleep(0.2)
    return 7
""")
    assert lab.run().result == [7, 0, 1, 2, 3]
    assert begun(lab)["bad"] == 1
    nobody_left(lab, 2)


def test_a_task_with_a_pool_of_processes(with_bad) -> None:
    lab = with_bad("""
from concurrent.futures import ProcessPoolExecutor


def square(i: int) -> int:
    return i * i


@ems.task
def bad(i: int) -> int:
    note("begin bad")
    with ProcessPoolExecutor(2) as pool:
        return sum(pool.map(square, range(10)))
""")
    assert lab.run().result == [285, 0, 1, 2, 3]
    nobody_left(lab, 2)


@pytest.mark.parametrize("closing", ["os.close(1)\n    os.close(2)", "os.closerange(0, 3)"])
def test_a_task_that_closes_its_output(with_bad, closing: str) -> None:
    lab = with_bad(f"""
@ems.task
def bad(i: int) -> int:
    note("begin bad")
    {closing}
    return 7
""")
    assert lab.run().result == [7, 0, 1, 2, 3]


def test_a_task_that_closes_every_descriptor(with_bad) -> None:
    """It takes its worker's line to the runner along: it fails, and nobody else does."""
    lab = with_bad("""
@ems.task
def bad(i: int) -> int:
    note("begin bad")
    os.closerange(0, 4096)
    return 7
""")
    assert failure_of_bad(lab)["reason"] in ("signal", "exit", "worker", "lost")


def test_a_task_that_removes_its_folder(with_bad) -> None:
    lab = with_bad("""
@ems.task
def bad(i: int) -> int:
    import shutil

    note("begin bad")
    shutil.rmtree(os.getcwd())
    return 7
""")
    assert lab.run().result == [7, 0, 1, 2, 3]


def test_a_task_that_writes_to_its_input(lab: Lab) -> None:
    """Stored objects are not a task's to change: as another user it can't, as root it is found."""
    lab.write("notes.py", NOTES)
    lab.write(
        "pipeline.py",
        """
        import os
        from pathlib import Path

        import ems
        from notes import note


        @ems.task
        def make() -> ems.File:
            note("begin make")
            Path("a.txt").write_text("right")
            return ems.File("a.txt")


        @ems.task
        def spoil(file) -> str:
            os.chmod(os.path.realpath(file), 0o644)
            Path(file).write_text("wrong")
            return "done"


        @ems.task
        def read(file, done: str) -> str:
            return Path(file).read_text()


        @ems.pipeline
        def main():
            made = make()
            return read(made, spoil(made))
        """,
    )
    run = start(lab, "run", "pipeline.py")
    ended = run.done(100)
    assert "input" in ended.err
    lab.edit("pipeline.py", ('    Path(file).write_text("wrong")\n', ""))
    assert lab.run().result == "right"


def test_thousands_of_lines_from_many_tasks_at_once(lab: Lab) -> None:
    lab.write("notes.py", NOTES)
    lab.write(
        "pipeline.py",
        """
        import ems


        @ems.task
        def talk(i: int) -> int:
            for n in range(2000):
                print(f"task {i} line {n}")
            return i


        @ems.pipeline
        def main():
            return [talk(i) for i in range(6)]
        """,
    )
    run = start(lab, "run", "pipeline.py")
    ended = run.done()
    for i in range(6):
        lines = [line for line in ended.err.splitlines() if f"task {i} line" in line]
        assert len(lines) == 2000, i
        assert lines[-1].endswith(f"task {i} line 1999")


def test_a_worker_that_can_t_start(lab: Lab) -> None:
    """The worker's code is damaged: one error that names it, nothing hangs."""
    lab.write("notes.py", NOTES)
    lab.write("pipeline.py", HEAD + TAIL.replace("[bad(0)] + ", ""))
    assert lab.run().result == [0, 1, 2, 3]
    for path in (lab.cache / "worker").rglob("*.py"):
        path.write_text("raise SystemExit('spoiled')\n")
    lab.edit("pipeline.py", ("return i", "return i + 1"))
    run = start(lab, "run", "pipeline.py")
    ended = run.end(20)
    assert ended.code in (0, 1, 100), ended
    if ended.code:
        assert "spoiled" in ended.err
    nobody_left(lab)
