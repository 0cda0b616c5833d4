"""How jobs end: every backend gives the same state, reason and messages."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ems.compute.job import Handle, JobState, Reason, Resources
from tests.contract.conftest import NEAR, QUEUES, STRICT, SURE, only
from tests.contract.place import Place


def test_success(place: Place) -> None:
    ends = place.run(place.parcel("def add(x, y): return x + y", [("add", {"x": 1, "y": 2})]))
    assert [(e["ok"], e["out"], e["content"], e["files"]) for e in ends] == [(True, 3, "3", [])]
    assert ends[0]["t0"] <= ends[0]["t1"]
    assert ends[0]["rss_mib"] > 1


def test_a_plain_command(place: Place) -> None:
    handle = place.backend.submit([place.job(["sh", "-c", "echo out; echo err >&2"])])[0]
    status = place.finish(handle)
    assert (status.state, status.exit_code) == (JobState.SUCCEEDED, 0)
    assert place.log(handle) == b"out\nerr\n"


def test_exit_code_3(place: Place) -> None:
    handle = place.backend.submit([place.job(["sh", "-c", "exit 3"])])[0]
    status = place.finish(handle)
    assert (status.state, status.reason, status.exit_code) == (JobState.FAILED, Reason.EXIT, 3)
    ends = place.run(place.parcel("import sys\ndef f(): sys.exit(3)", [("f", {})]))
    assert (ends[0]["ok"], ends[0]["reason"], ends[0]["exit"]) == (False, "exit", 3)


def test_an_abrupt_exit_of_the_worker_itself(place: Place) -> None:
    source = "import os\ndef f(code): os._exit(code) if code else None"
    calls = [("f", {"code": 0}), ("f", {"code": 4}), ("f", {"code": 0})]
    ends = place.run(place.parcel(source, calls))
    assert [(e["ok"], e.get("reason"), e.get("exit")) for e in ends] == [
        (True, None, None),
        (False, "exit", 4),
        (True, None, None),
    ]


def test_signal(place: Place) -> None:
    handle = place.backend.submit([place.job(["sh", "-c", "kill -SEGV $$"])])[0]
    status = place.finish(handle)
    assert (status.state, status.reason, status.signal) == (
        JobState.FAILED,
        Reason.SIGNAL,
        signal.SIGSEGV,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_is_killed_costs_one_version(place: Place, number: int) -> None:
    source = f"""
        import os
        def f(die):
            print("start", die)
            if die: os.kill(os.getpid(), {int(number)})
            return die
    """
    calls = [("f", {"die": die}) for die in (False, True, False, False)]
    handle = place.submit(place.parcel(source, calls))
    status = place.finish(handle)
    ends = place.ends(handle)
    assert [e["ok"] for e in ends] == [True, False, True, True]
    assert (ends[1]["reason"], ends[1]["signal"]) == ("signal", number)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.SIGNAL)
    log = place.log(handle)
    for end, said in zip(ends, ("False", "True", "False", "False"), strict=True):
        assert log[slice(*end["log"])].startswith(b"start " + said.encode())


def test_exception_with_the_users_frames_alone(place: Place) -> None:
    code = place.code(
        "from lib.inner import g\ndef f(x):\n    return g(x)\n",
        **{"lib.__init__": "", "lib.inner": "def g(x):\n    return 1 / x\n"},
    )
    code["modules"] = {"work": "work.py", "lib": "lib/__init__.py", "lib.inner": "lib/inner.py"}
    (end,) = place.run(place.parcel(code, [("f", {"x": 0})]))
    assert (end["reason"], end["error"]["type"]) == ("exception", "ZeroDivisionError")
    text = "\n".join(end["error"]["traceback"])
    assert 'File "work.py", line 3, in f' in text
    assert 'File "lib/inner.py", line 2, in g' in text
    assert "return 1 / x" in text
    assert "ems" not in text
    assert str(place.folder) not in text


def test_out_of_memory(place: Place) -> None:
    source = """
        import time
        def f(mib):
            held = bytearray(mib * 2**20)
            time.sleep(0 if mib < 100 else 5)
            return len(held)
    """
    task = {"memory_gib": 0.25}
    parcel = place.parcel(source, [("f", {"mib": 1}), ("f", {"mib": 600}), ("f", {"mib": 1})], task)
    handle = place.submit(parcel, resources=Resources.of(memory="256MiB"))
    status = place.finish(handle)
    ends = place.ends(handle)
    assert [e["ok"] for e in ends] == [True, False, True]
    assert ends[1]["reason"] == "out_of_memory"
    assert "256 MiB" in ends[1]["error"]["message"]
    assert status.reason is Reason.OUT_OF_MEMORY


def test_memory_of_children_counts(place: Place) -> None:
    program = "import time; held = bytearray(600 * 2**20); time.sleep(5)"
    job = place.job(["python3", "-c", program], resources=Resources.of(memory="256MiB"))
    assert place.finish(place.backend.submit([job])[0]).reason is Reason.OUT_OF_MEMORY


def test_a_memory_error_is_out_of_memory(place: Place) -> None:
    (end,) = place.run(place.parcel("def f(): raise MemoryError", [("f", {})]))
    assert end["reason"] == "out_of_memory"


def test_time_out(place: Place) -> None:
    source = "import time\ndef f(s):\n    time.sleep(s)\n    return s\n"
    calls = [("f", {"s": 0}), ("f", {"s": 60}), ("f", {"s": 0})]
    handle = place.submit(place.parcel(source, calls, {"timeout_s": 0.4}))
    started = time.monotonic()
    assert place.finish(handle).reason is Reason.TIMED_OUT
    assert time.monotonic() - started < 20
    ends = place.ends(handle)
    assert [e["ok"] for e in ends] == [True, False, True]
    assert "timeout of 0.4 s" in ends[1]["error"]["message"]


def test_time_out_of_a_task_that_never_returns_to_python(place: Place) -> None:
    source = "def f(): return sum(range(10**13))"
    (end,) = place.run(place.parcel(source, [("f", {})], {"timeout_s": 0.3}))
    assert end["reason"] == "timed_out"


def test_time_out_of_a_plain_command(place: Place) -> None:
    handle = place.backend.submit([place.job(["sleep", "60"], timeout_s=0.3)])[0]
    assert place.finish(handle).reason is Reason.TIMED_OUT


SLEEP = "import time\ndef f(s):\n    print('on', flush=True)\n    time.sleep(s)\n    return s\n"


@only(QUEUES)
def test_cancel_while_queued(place: Place) -> None:
    both = Resources.of(cpus=2)
    first = place.submit(place.parcel(SLEEP, [("f", {"s": 30})]), resources=both)
    place.until(lambda: place.status(first).state is JobState.RUNNING)
    second = place.submit(place.parcel(SLEEP, [("f", {"s": 30})]), resources=both)
    place.backend.cancel([second], grace_s=10)
    assert place.finish(second).state is JobState.CANCELED
    assert [e["reason"] for e in place.ends(second)] == ["canceled"]
    assert place.status(first).state is JobState.RUNNING
    place.backend.cancel([first], grace_s=0)


def test_cancel_while_running(place: Place) -> None:
    source = """
        import ems, time
        def f(s):
            half = ems.context().checkpoint / "half"
            if half.exists():
                return half.read_text()
            try:
                print("on", flush=True)
                time.sleep(s)
            except ems.Canceled:
                half.write_text("done")
                raise
    """
    parcel = place.parcel(source, [("f", {"s": 30}), ("f", {"s": 30})])
    handle = place.submit(parcel)
    place.until(lambda: b"on" in place.log(handle))
    started = time.monotonic()
    place.backend.cancel([handle], grace_s=10)
    status = place.finish(handle)
    assert time.monotonic() - started < 9  # well within the grace
    assert (status.state, status.reason) == (JobState.CANCELED, Reason.CANCELED)
    assert [e["reason"] for e in place.ends(handle)] == ["canceled", "canceled"]
    again = {**parcel["versions"][0], "try": 2}
    assert place.run({**parcel, "versions": [again]})[0]["out"] == "done"


def test_cancel_does_not_take_half_a_result(place: Place) -> None:
    source = """
        import ems, time
        def f():
            try:
                print("on", flush=True)
                time.sleep(30)
            except ems.Canceled:
                return "half"
    """
    handle = place.submit(place.parcel(source, [("f", {})]))
    place.until(lambda: b"on" in place.log(handle))
    place.backend.cancel([handle], grace_s=10)
    assert place.finish(handle).state is JobState.CANCELED
    assert [e["reason"] for e in place.ends(handle)] == ["canceled"]


@only(STRICT)
def test_cancel_what_does_not_listen(place: Place) -> None:
    source = """
        import ems, time
        def f():
            print("on", flush=True)
            while True:
                try:
                    time.sleep(30)
                except BaseException:
                    pass
    """
    handle = place.submit(place.parcel(source, [("f", {}), ("f", {})]))
    place.until(lambda: b"on" in place.log(handle))
    place.backend.cancel([handle], grace_s=0.3)
    status = place.finish(handle, 50)
    assert status.state is JobState.CANCELED
    assert [e["reason"] for e in place.ends(handle)] == ["canceled", "canceled"]


def test_a_second_cancel_may_shorten_the_grace_period(place: Place) -> None:
    source = """
        def f():
            print("on", flush=True)
            while True:
                try:
                    sum(range(10**6))
                except BaseException:
                    pass
    """
    handle = place.submit(place.parcel(source, [("f", {})]))
    place.until(lambda: b"on" in place.log(handle))
    place.backend.cancel([handle], grace_s=60)
    place.backend.cancel([handle], grace_s=0)
    place.backend.cancel([handle], grace_s=60)
    assert place.finish(handle, 50).state is JobState.CANCELED


def test_cancel_a_command(place: Place) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.02; done"
    handle = place.backend.submit([place.job(["sh", "-c", script])])[0]
    place.until(lambda: b"on" in place.log(handle))
    place.backend.cancel([handle], grace_s=10)
    assert place.finish(handle).state is JobState.CANCELED
    assert place.log(handle).endswith(b"bye\n")


def test_cancel_just_after_the_end(place: Place) -> None:
    handle = place.submit(place.parcel(SLEEP, [("f", {"s": 0})]))
    before = place.finish(handle)
    place.backend.cancel([handle], grace_s=0)
    assert place.status(handle) == before
    assert before.state is JobState.SUCCEEDED
    assert len(place.ends(handle)) == 1


@only(SURE)
def test_impossible_resources(place: Place) -> None:
    many = Resources.of(cpus=100_000)
    handle = place.submit(place.parcel(SLEEP, [("f", {"s": 0})]), resources=many)
    status = place.finish(handle)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.IMPOSSIBLE)
    assert status.detail
    assert [e["reason"] for e in place.ends(handle)] == ["impossible"]


@only(["local"])
@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        ({"cpus": 3}, "3 CPUs (there are 2)"),
        ({"memory": "9"}, "9 GiB of memory (there are 8 GiB)"),
        ({"gpus": 3}, "3 GPUs (there are 2)"),
    ],
)
def test_impossible_resources_are_named(place: Place, amounts: dict[str, Any], said: str) -> None:
    handle = place.submit(place.parcel(SLEEP, [("f", {"s": 0})]), resources=Resources.of(**amounts))
    status = place.status(handle)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.IMPOSSIBLE)
    assert said in status.detail
    assert [e["reason"] for e in place.ends(handle)] == ["impossible"]


def test_a_handle_of_somebody_else_is_lost(place: Place) -> None:
    handle = Handle.from_json(Handle(place.backend.name, "nobody-1", "", 1.0).to_json())
    assert place.finish(handle).reason is Reason.LOST
    assert place.backend.events(handle, 0) == ([], 0)
    assert place.backend.logs(handle, 0) == (b"", 0)


@only(["local"])
def test_a_python_that_does_not_start(place: Place, tmp_path: Path) -> None:
    handle = place.submit(
        place.parcel(SLEEP, [("f", {"s": 0})] * 2), python=str(tmp_path / "no-python")
    )
    status = place.finish(handle)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.WORKER)
    assert "no-python" in status.detail
    assert len(place.ends(handle)) == 2
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such library >&2\nexit 1\n")
    broken.chmod(0o755)
    handle = place.submit(place.parcel(SLEEP, [("f", {"s": 0})]), python=str(broken))
    assert "no such library" in place.finish(handle).detail


@only(NEAR)
def test_leftover_children_of_a_task_are_gone(place: Place) -> None:
    source = """
        import subprocess, sys
        def f():
            far = "import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(60)"
            near = subprocess.Popen(["sleep", "60"])
            away = subprocess.Popen([sys.executable, "-c", far], stdout=subprocess.PIPE)
            return [near.pid, int(away.stdout.readline())]
        def g():
            return "after"
    """
    ends = place.run(place.parcel(source, [("f", {}), ("g", {})]))
    assert [e["ok"] for e in ends] == [True, True]
    for pid in ends[0]["out"]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
