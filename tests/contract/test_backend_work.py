"""What jobs get and give: output, inputs, variables, metrics, checkpoints, in any number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ems.compute.job import Job, JobState, Reason, Resources
from ems.errors import EmsError
from tests.contract.conftest import NEAR, QUICK, only
from tests.contract.place import Place


def test_3_mb_of_output_in_order_without_loss(place: Place) -> None:
    source = """
        import sys
        def f(n):
            for i in range(n):
                print(f"line {i:06d} " + "x" * 47, file=sys.stderr if i % 3 == 0 else sys.stdout)
    """
    handle = place.submit(place.parcel(source, [("f", {"n": 50_000})]))
    got, at = b"", 0
    while True:
        ended = place.status(handle).state.ended
        data, at = place.backend.logs(handle, at)
        got += data
        if ended:
            break
        place.backend.wait(0.05)
    expected = "".join(f"line {i:06d} " + "x" * 47 + "\n" for i in range(50_000)).encode()
    assert len(expected) > 2_900_000
    assert got == expected
    (end,) = place.ends(handle)
    assert end["log"] == [0, len(expected)]


def test_unicode_and_binary_output(place: Place) -> None:
    source = r"""
        import os, sys
        def f():
            print("häß 漢字 🤖")
            print("lone \ud800 surrogate", flush=True)
            os.write(1, bytes(range(256)))
            os.write(2, b"\xff\xfe no text")
            sys.stdout.buffer.write(b"\0raw")
    """
    handle = place.submit(place.parcel(source, [("f", {})]))
    assert place.finish(handle).state is JobState.SUCCEEDED
    expected = "häß 漢字 🤖\nlone \\ud800 surrogate\n".encode() + bytes(range(256))
    assert place.log(handle) == expected + b"\xff\xfe no text" + b"\0raw"


def test_each_version_has_its_own_output(place: Place) -> None:
    source = """
        import subprocess
        def f(n):
            print("n =", n)
            subprocess.run(["echo", f"child {n}"], check=True)
    """
    handle = place.submit(place.parcel(source, [("f", {"n": n}) for n in range(3)]))
    place.finish(handle)
    log = place.log(handle)
    for n, end in enumerate(place.ends(handle)):
        assert log[slice(*end["log"])] == f"n = {n}\nchild {n}\n".encode()
    again = place.submit(place.parcel(source, [("f", {"n": 7})]))
    place.finish(again)
    (end,) = place.ends(again)
    assert place.log(again)[slice(*end["log"])] == b"n = 7\nchild 7\n"


@only(QUICK)
def test_200_jobs_at_once(place: Place) -> None:
    code = place.code("def f(n): return n * n")
    jobs = [Job("f", place.parcel(code, [("f", {"n": n})])) for n in range(200)]
    handles = place.backend.submit(jobs)
    assert len({handle.native for handle in handles}) == 200
    place.until(lambda: all(s.state.ended for s in place.backend.poll(handles)), 110)
    assert [place.ends(handle)[0]["out"] for handle in handles] == [n * n for n in range(200)]


@only(NEAR)
def test_variables_threads_and_secrets(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_LAB", "hush")
    (tmp_path / "key").write_text("sesame\n")
    source = "import os\ndef f(names): return [os.environ.get(n) for n in names]"
    names = ["MODE", "OMP_NUM_THREADS", "TOKEN", "KEY"]
    (end,) = place.run(
        place.parcel(source, [("f", {"names": names})]),
        variables={"MODE": "ünï ' \" $x"},
        secrets={"TOKEN": "env:TOKEN_OF_LAB", "KEY": f"file:{tmp_path / 'key'}"},
        resources=Resources.of(cpus=1.5),
    )
    assert end["out"] == ["ünï ' \" $x", "2", "hush", "sesame"]
    (end,) = place.run(place.parcel(source, [("f", {"names": names})]))
    assert end["out"] == [None, "1", None, None]


@only(["local"])
def test_gpus_are_shared_out(place: Place) -> None:
    source = "import os\ndef f(): return os.environ.get('CUDA_VISIBLE_DEVICES')"
    parcel = place.parcel(source, [("f", {})])
    assert place.run(parcel, resources=Resources.of(gpus=1))[0]["out"] == "0"
    assert place.run(place.parcel(source, [("f", {})]))[0]["out"] == ""


@only(NEAR)
def test_a_secret_that_is_not_there(place: Place) -> None:
    handle = place.submit(place.parcel("def f(): pass", [("f", {})]), secrets={"T": "env:NOT_SET"})
    status = place.finish(handle)
    assert status.state is JobState.FAILED
    assert "secret T" in status.detail
    assert EmsError.__name__ not in status.detail


def test_inputs_and_outputs_by_digest(place: Place) -> None:
    data = place.put(b"two\none\n")
    script = place.put(b"#!/bin/sh\nsort data/in.txt > out/sorted.txt\n")
    job = place.job(
        ["./run.sh"],
        inputs={"data/in.txt": data, "run.sh": script},
        outputs={"sorted": "out/sorted.txt"},
    )
    handle = place.backend.submit([job])[0]
    assert place.finish(handle).state is JobState.SUCCEEDED
    (end,) = place.ends(handle)
    digest, size, name = end["out"]["sorted"]["$file"]
    assert (size, name) == (8, "sorted.txt")
    assert place.read(digest) == b"one\ntwo\n"
    assert [digest, size] in end["files"]


def test_files_between_python_tasks(place: Place) -> None:
    source = """
        import ems
        from pathlib import Path
        def make():
            Path("model.bin").write_bytes(b"weights")
            Path("many").mkdir()
            Path("many/a.txt").write_text("a")
            return {"model": ems.File("model.bin"), "many": ems.Dir("many")}
        def use(model, many):
            assert Path(model).name == "model.bin"
            return [Path(model).read_text(), (many / "a.txt").read_text()]
    """
    (made,) = place.run(place.parcel(source, [("make", {})]))
    (used,) = place.run(place.parcel(source, [("use", made["out"])]))
    assert used["out"] == ["weights", "a"]
    digest = made["out"]["model"]["$file"][0]
    path = place.objects / digest[:2] / digest
    assert path.stat().st_mode & 0o777 == 0o444


def test_a_retry_finds_its_checkpoint(place: Place) -> None:
    source = """
        import ems
        def f():
            mark = ems.context().checkpoint / "mark"
            if ems.context().attempt == 1:
                mark.write_text("from the first")
                raise RuntimeError("half way")
            return mark.read_text()
    """
    parcel = place.parcel(source, [("f", {})])
    (first,) = place.run(parcel)
    assert (first["ok"], first["try"]) == (False, 1)
    parcel["versions"][0]["try"] = 2
    (second,) = place.run(parcel)
    assert (second["out"], second["try"]) == ("from the first", 2)


def test_metrics_as_they_come(place: Place) -> None:
    source = """
        import ems, time
        def f():
            for step in range(3):
                ems.report(step, reward=step / 2, note="ok")
                time.sleep(1)
            return 1
    """
    parcel = place.parcel(source, [("f", {})])
    handle = place.submit(parcel)
    place.until(lambda: any(m["ev"] == "report" for m in place.messages(handle)))
    assert not place.ends(handle)
    place.finish(handle)
    reports = [m for m in place.messages(handle) if m["ev"] == "report"]
    assert [(m["step"], m["metrics"]) for m in reports] == [
        (step, {"reward": step / 2, "note": "ok"}) for step in range(3)
    ]
    assert {m["v"] for m in reports} == {parcel["versions"][0]["v"]}
    (end,) = place.ends(handle)
    assert [m["metrics"]["reward"] for m in end["metrics"]] == [0.0, 0.5, 1.0]


def test_stdin_is_empty(place: Place) -> None:
    source = "import sys\ndef f(): return [sys.stdin.read(), sys.stdin.isatty()]"
    (end,) = place.run(place.parcel(source, [("f", {})]))
    assert end["out"] == ["", False]
    handle = place.backend.submit([place.job(["python3", "-c", "print(input())"])])[0]
    assert place.finish(handle).exit_code == 1


def test_large_values_both_ways_do_not_deadlock(place: Place) -> None:
    code = place.code("def f(text): return text.upper()")
    text = "a" * 100_000
    jobs = [Job("f", place.parcel(code, [("f", {"text": text})] * 32)) for _ in range(8)]
    handles = place.backend.submit(jobs)
    place.until(lambda: all(s.state.ended for s in place.backend.poll(handles)), 60)
    for handle in handles:
        ends = place.ends(handle)
        assert len(ends) == 32
        assert all(end["out"] == "A" * 100_000 for end in ends)


@only(QUICK)
def test_10_000_small_versions(place: Place) -> None:
    code = place.code("def f(n): return n + 1")
    jobs = [
        Job("f", place.parcel(code, [("f", {"n": n}) for n in range(at, at + 500)]))
        for at in range(0, 10_000, 500)
    ]
    handles = place.backend.submit(jobs)
    place.until(lambda: all(s.state.ended for s in place.backend.poll(handles[-4:])), 60)
    place.until(lambda: all(s.state.ended for s in place.backend.poll(handles)), 60)
    outs = [end["out"] for handle in handles for end in place.ends(handle)]
    assert outs == list(range(1, 10_001))


def test_every_version_has_exactly_one_end(place: Place) -> None:
    source = """
        import os
        def f(how):
            if how == "raise": raise ValueError("no")
            if how == "die": os._exit(9)
    """
    hows = ["ok", "raise", "die", "die", "ok", "raise", "die"]
    parcel = place.parcel(source, [("f", {"how": how}) for how in hows])
    handle = place.submit(parcel)
    place.finish(handle)
    assert [e["v"] for e in place.ends(handle)] == [v["v"] for v in parcel["versions"]]
    last = place.messages(handle)[-1]
    assert (last["ev"], last["id"], last["state"]) == ("parcel", parcel["parcel"], "done")
    assert json.dumps(last["reason"]) == '"exception"'


def test_forgotten_jobs_are_lost(place: Place) -> None:
    handle = place.submit(place.parcel("def f(): pass", [("f", {})]))
    place.backend.forget([handle])
    assert place.finish(handle).state is JobState.SUCCEEDED
    place.backend.forget([handle, handle])
    place.until(lambda: place.status(handle).state is JobState.FAILED)
    assert place.status(handle).reason is Reason.LOST
