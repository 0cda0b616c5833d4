"""The shipped worker does its work on the oldest, the newest and this Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ems.hashing import digest_bytes
from tests.worker.shipped import Shipped

WORK = """
    import os, sys, random, dataclasses
    from pathlib import Path
    import ems

    @dataclasses.dataclass
    class Point:
        x: int
        y: float = 0.5

    @ems.task(cpus=2, memory="1")
    def every(p, many):
        print("said", p)
        ems.report(1, loss=0.25)
        ems.report(2, loss=float("nan"))
        Path("out.txt").write_text("text")
        (ems.context().checkpoint / "c").write_text("kept")
        return {"p": Point(p.x + 1), "n": len(many), "f": ems.File("out.txt")}

    @ems.task
    def use(f, lead, /, other, *rest, key=1, **more):
        return [f.read_text(), lead, other, list(rest), key, more, os.path.basename(f)]

    def bad():
        raise KeyError("nothing here")

    def leave():
        sys.exit(5)

    def gone():
        os._exit(6)

    def dice():
        return [random.random(), random.random()]

    def many():
        Path("d/e").mkdir(parents=True)
        Path("d/e/a").write_text("a")
        Path("d/run").write_text("#!/bin/sh\\n")
        os.chmod("d/run", 0o755)
        return ems.Dir("d")

    def through(folder):
        return [sorted(str(p.relative_to(folder.path)) for p in folder.glob("**/*") if p.is_file()),
                os.access(folder / "run", os.X_OK), folder.name]
"""


def test_values_files_reports_and_failures(everywhere: Shipped) -> None:
    code = everywhere.code(work=WORK)
    point = {"$data": ["work:Point", {"$fields": {"x": 1, "y": 2.0}}]}
    calls = [
        ("every", {"p": point, "many": {"$tuple": [1, {"$set": [2]}, {"$float": "inf"}]}}),
        ("bad", {}),
        ("leave", {}),
        ("gone", {}),
        ("dice", {}),
    ]
    exit_code, messages, output = everywhere.alone(everywhere.parcel(code, calls))
    assert exit_code == 100, output
    hello, *rest, last = messages
    assert (hello["ev"], hello["schema"], last["ev"], last["state"]) == (
        "hello",
        1,
        "parcel",
        "done",
    )
    reports = [m for m in rest if m["ev"] == "report"]
    assert [(m["step"], m["metrics"]) for m in reports] == [
        (1, {"loss": 0.25}),
        (2, {"loss": "nan"}),
    ]
    every, bad, leave, gone, dice = [m for m in rest if m["ev"] == "end"]
    assert every["out"]["p"] == {"$data": ["work:Point", {"$fields": {"x": 2, "y": 0.5}}]}
    digest = digest_bytes(b"text")
    assert every["out"]["f"] == {"$file": [digest, 4, "out.txt"]}
    assert every["files"] == [[digest, 4]]
    assert output[slice(*every["log"])] == b"said Point(x=1, y=2.0)\n"
    assert every["cpu_s"] >= 0
    assert every["rss_mib"] > 1
    checkpoint = everywhere.folder / "attempts" / every["v"] / "checkpoint" / "c"
    assert checkpoint.read_text() == "kept"
    assert bad["error"]["type"] == "KeyError"
    assert 'File "work.py", line' in "\n".join(bad["error"]["traceback"])
    assert "ems" not in "\n".join(bad["error"]["traceback"])
    assert (leave["reason"], leave["exit"]) == ("exit", 5)
    assert (gone["reason"], gone["exit"]) == ("exit", 6)
    assert dice["out"] == [0.32383276483316237, 0.15084917392450192]


def test_arguments_of_every_kind_and_inputs_under_their_names(everywhere: Shipped) -> None:
    code = everywhere.code(work=WORK)
    (made,) = everywhere.ends(
        everywhere.parcel(
            code, [("every", {"p": {"$data": ["work:Point", {"$fields": {"x": 1}}]}, "many": []})]
        )
    )
    args = {
        "f": made["out"]["f"],
        "lead": 1,
        "other": 2,
        "key": 3,
        "*rest": {"$tuple": [4, 5]},
        "**more": {"six": 6},
    }
    (used,) = everywhere.ends(everywhere.parcel(code, [("use", args)]))
    assert used["out"] == ["text", 1, 2, [4, 5], 3, {"six": 6}, "out.txt"]


def test_folders(everywhere: Shipped) -> None:
    code = everywhere.code(work=WORK)
    (made,) = everywhere.ends(everywhere.parcel(code, [("many", {})]))
    assert len(made["files"]) == 3
    (used,) = everywhere.ends(everywhere.parcel(code, [("through", {"folder": made["out"]})]))
    assert used["out"] == [["e/a", "run"], True, "d"]


def test_a_command(everywhere: Shipped) -> None:
    script = b"import sys\nopen(sys.argv[2], 'w').write(sys.argv[1])\nprint('ran', sys.argv[1])\n"
    digest = digest_bytes(script)
    place = everywhere.objects / digest[:2] / digest
    place.parent.mkdir(parents=True)
    place.write_bytes(script)
    task = {
        "kind": "command",
        "template": f"{everywhere.python} run.py {{text}} {{out.model}}",
        "outputs": {"model": "to/model.txt"},
        "files": {"run.py": digest},
    }
    text = 'a\'b "$(touch bad)" {x} ü'
    parcel = everywhere.parcel({}, [("run", {"text": text})], {"run": task})
    exit_code, messages, output = everywhere.alone(parcel)
    assert exit_code == 0, output
    end = messages[-2]
    digest, size, name = end["out"]["model"]["$file"]
    assert (everywhere.objects / digest[:2] / digest).read_text() == text
    assert (size, name) == (len(text.encode()), "model.txt")
    assert output == f"ran {text}\n".encode()


def test_warm_work_and_the_end_of_input(everywhere: Shipped) -> None:
    code = everywhere.code(work="def f(x):\n    print(x)\n    return x\n")
    first = everywhere.parcel(code, [("f", {"x": "a"}), ("f", {"x": "b"})])
    second = everywhere.parcel(code, [("f", {"x": "c"})], log_from=100)
    messages, output = everywhere.serve(first, second)
    assert [m["ev"] for m in messages] == ["hello", "end", "end", "parcel", "end", "parcel"]
    assert [m["log"] for m in messages if m["ev"] == "end"] == [[0, 2], [2, 4], [100, 102]]
    assert output == b"a\nb\nc\n"
    assert list((everywhere.folder / "scratch").rglob("*")) == []


def test_limits_hold_with_nobody_watching(everywhere: Shipped) -> None:
    code = everywhere.code(
        work="""
            import time
            def slow(): time.sleep(60)
            def large():
                held = bytearray(400 * 2**20)
                time.sleep(60)
            def fine(): return 1
        """
    )
    limits = {"slow": {"timeout_s": 0.5}, "large": {"memory_gib": 0.2}}
    calls = [("slow", {}), ("fine", {}), ("large", {}), ("fine", {})]
    ends = everywhere.ends(everywhere.parcel(code, calls, limits))
    assert [(e["ok"], e.get("reason")) for e in ends] == [
        (False, "timed_out"),
        (True, None),
        (False, "out_of_memory"),
        (True, None),
    ]


@pytest.mark.parametrize(("word", "code_"), [("preempted", 101), ("canceled", 103)])
def test_sigterm_lets_the_task_write_a_checkpoint(
    everywhere: Shipped, word: str, code_: int
) -> None:
    code = everywhere.code(
        work="""
            import ems, time
            def f():
                try:
                    print("on", flush=True)
                    time.sleep(60)
                except ems.Canceled:
                    (ems.context().checkpoint / "half").write_text("x")
                    raise
        """
    )
    folder = everywhere.folder
    (folder / "p.json").write_text(json.dumps(everywhere.parcel(code, [("f", {}), ("f", {})])))
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [everywhere.python, everywhere.app, "run", folder / "p.json", folder / "e"],
            stdout=out,
            stderr=out,
        )
        _until(lambda: b"on" in (folder / "out").read_bytes())
        if word == "canceled":
            (folder / "e.cancel").touch()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == code_, (folder / "out").read_text()
    ends = [json.loads(line) for line in (folder / "e").read_text().splitlines()][1:]
    assert [e.get("reason") for e in ends] == [word, word, word]
    assert ends[-1]["state"] == word
    assert (folder / "attempts" / ends[0]["v"] / "checkpoint" / "half").exists()


def test_what_the_worker_imports_is_little(everywhere: Shipped) -> None:
    """Each of these would cost every worker some milliseconds at its start."""
    code = "import sys; sys.path.insert(0, %r); import ems.worker.serve; print(*sys.modules)"
    done = subprocess.run(
        [everywhere.python, "-S", "-c", code % str(everywhere.app)],
        stdout=subprocess.PIPE,
        check=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    loaded = set(done.stdout.decode().split())
    heavy = {"inspect", "typing", "dataclasses", "subprocess", "ctypes", "pathlib", "traceback"}
    heavy |= {"tempfile", "importlib.metadata", "shutil", "resource", "random", "asyncio"}
    if everywhere.python != sys.executable:
        heavy -= {"pathlib", "tempfile", "shutil"}  # other releases load these for zip files
    assert loaded & heavy == set()


def test_a_wrong_call_shows_its_usage(everywhere: Shipped, tmp_path: Path) -> None:
    done = subprocess.run(
        [everywhere.python, everywhere.app, "what"], stderr=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr[:6]) == (2, b"usage:")


def _until(true: object, timeout_s: float = 10.0) -> None:
    assert callable(true)
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
