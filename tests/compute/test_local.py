"""What the local backend alone does: warm workers, room, and what remains when all is over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.compute.job import Job, JobState, Reason, Resources
from ems.compute.local import LocalBackend
from ems.worker import usage
from ems.worker.scratch import home_of
from tests.contract.place import Place

PID = "import os\ndef f(): return os.getpid()"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A local backend of two CPUs."""
    backend = LocalBackend(cpus=2, memory_gib=4, gpus=(), folder=tmp_path / "live")
    yield Place(backend, tmp_path)
    backend.close()


def test_workers_stay_warm_and_are_not_shared_between_code(place: Place) -> None:
    code = place.code(PID)
    first = place.run(place.parcel(code, [("f", {})]))[0]["out"]
    again = place.run(place.parcel(code, [("f", {})]))[0]["out"]
    other = place.run(place.parcel(PID, [("f", {})]))[0]["out"]
    variables = place.run(place.parcel(code, [("f", {})]), variables={"A": "1"})[0]["out"]
    assert first == again
    assert len({first, other, variables}) == 3


def test_as_many_run_at_once_as_there_is_room_for(place: Place) -> None:
    source = """
        import time
        def f():
            t = time.time()
            time.sleep(0.1)
            return [t, time.time()]
    """
    code = place.code(source)
    jobs = [
        Job("f", place.parcel(code, [("f", {})]), resources=Resources.of(cpus=cpus))
        for cpus in (1, 1, 2, 0.5, 0.5, 0.5, 0.5)
    ]
    handles = place.backend.submit(jobs)
    place.until(lambda: all(s.state.ended for s in place.backend.poll(handles)))
    spans = [
        (*place.ends(handle)[0]["out"], job) for handle, job in zip(handles, jobs, strict=True)
    ]
    for moment in [start for start, _, _ in spans]:
        running = [job.resources.cpus for start, end, job in spans if start <= moment < end]
        assert sum(running) <= 2
    most = max(sum(s <= moment < e for s, e, _ in spans) for moment, _, _ in spans)
    assert most >= 2


def test_a_sigterm_from_outside_preempts_and_cancels_nothing(place: Place) -> None:
    source = """
        import os, time
        def f(path):
            open(path, "w").write(str(os.getpid()))
            time.sleep(20)
        def g(): return 1
    """
    told = place.folder / "told"
    handle = place.submit(place.parcel(source, [("f", {"path": str(told)}), ("g", {})]))
    place.until(lambda: told.exists() and told.read_text() != "")
    os.kill(int(told.read_text()), signal.SIGTERM)
    status = place.finish(handle)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.PREEMPTED)
    first, second = place.ends(handle)
    assert (first["reason"], first["signal"]) == ("preempted", signal.SIGTERM)
    assert second["out"] == 1


@pytest.mark.parametrize(
    ("env", "on"),
    [({"image:digest": "sha256:ab"}, ()), ({"module:cuda": "12.1"}, ()), ({}, ("batch",))],
)
def test_what_this_machine_does_not_provide_is_impossible(
    place: Place, env: dict[str, str], on: tuple[str, ...]
) -> None:
    handle = place.submit(place.parcel(PID, [("f", {})], env=env), on=on)
    status = place.status(handle)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.IMPOSSIBLE)
    assert "allowed: " in status.detail
    assert place.ends(handle)[0]["reason"] == "impossible"
    plain = place.job(["true"], on=("batch", "local"))
    assert place.finish(place.backend.submit([plain])[0]).state is JobState.SUCCEEDED


def test_an_idle_worker_that_is_killed_is_replaced(place: Place) -> None:
    code = place.code(PID)
    pid = place.run(place.parcel(code, [("f", {})]))[0]["out"]
    os.kill(pid, signal.SIGKILL)
    (end,) = place.run(place.parcel(code, [("f", {})]))
    assert end["ok"] or end["reason"] == "signal"
    assert place.run(place.parcel(code, [("f", {})]))[0]["ok"]


def test_nothing_remains_after_close(place: Place, tmp_path: Path) -> None:
    source = """
        import os, subprocess, time
        def f():
            child = subprocess.Popen(["sleep", "60"])
            print(os.getpid(), child.pid, flush=True)
            time.sleep(60)
    """
    handle = place.submit(place.parcel(source, [("f", {})]))
    place.until(lambda: place.log(handle).endswith(b"\n"))
    pids = [int(word) for word in place.log(handle).split()]
    place.backend.close()
    _wait_until_gone(pids)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_waiting_for_nothing_returns_at_once(place: Place) -> None:
    started = time.monotonic()
    place.backend.wait(30)
    assert time.monotonic() - started < 1


RUNNER = """
    import sys
    from pathlib import Path
    from ems.compute.job import Job
    from ems.compute.local import LocalBackend
    from tests.contract.place import Place

    folder = Path(sys.argv[1])
    place = Place(LocalBackend(cpus=2, folder=folder / "live"), folder)
    stubborn = '''
        import os, subprocess, time
        def f():
            child = subprocess.Popen(["sleep", "60"])
            print(os.getpid(), child.pid, flush=True)
            while True:
                try:
                    sum(range(10**7))
                except BaseException:
                    pass
    '''
    source = "import time\\ndef g(): return 1"
    place.run(place.parcel(source, [("g", {})]))
    handle = place.submit(place.parcel(stubborn, [("f", {})]))
    shell = place.backend.submit([place.job(["sh", "-c", "sleep 60 & echo $$ $!; wait"])])[0]
    place.until(lambda: place.log(handle).count(b" ") == 1 and place.log(shell).count(b" ") == 1)
    print(place.log(handle).decode(), place.log(shell).decode(), flush=True)
    place.backend.wait(60)
    place.backend.wait(60)
"""


@pytest.mark.parametrize("whole_group", [False, True])
def test_kill_9_of_the_runner_ends_workers_and_their_children(
    tmp_path: Path, whole_group: bool
) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUNNER), str(tmp_path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    assert runner.stdout is not None
    words = runner.stdout.readline().split() + runner.stdout.readline().split()
    pids = [int(word) for word in words]
    idle = [pid for pid, parent, *_ in usage.processes() if parent == runner.pid]
    assert len(pids) == 4
    assert len(_alive(pids)) == 4
    (os.killpg if whole_group else os.kill)(runner.pid, signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    _wait_until_gone([*pids, *idle])


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 1.0
    while _alive(pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _alive(pids) == []


def _alive(pids: list[int]) -> list[int]:
    seen = {pid for pid, *_ in usage.processes()}
    return [pid for pid in pids if pid in seen]


def test_a_job_that_ends_while_its_output_is_read(place: Place) -> None:
    handle = place.backend.submit([place.job(["sh", "-c", "printf abc; sleep 0.1; printf def"])])[0]
    place.until(lambda: place.log(handle) == b"abc")
    assert place.finish(handle).state is JobState.SUCCEEDED
    assert place.backend.logs(handle, 3) == (b"def", 6)
    assert place.backend.logs(handle, 1, 5) == (b"bcde", 5)


def test_a_parcel_of_nothing_is_done_at_once(place: Place) -> None:
    handle = place.submit(place.parcel(PID, []))
    assert place.status(handle).state is JobState.SUCCEEDED


def test_a_place_that_can_not_be_written_to(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    parcel = place.parcel(PID, [("f", {}), ("f", {})], scratch=str(tmp_path / "file" / "scratch"))
    handle = place.submit(parcel)
    status = place.finish(handle)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.WORKER)
    assert "Not a directory" in status.detail
    assert len(place.ends(handle)) == 2


def test_an_idle_worker_leaves_its_gpu_to_another_kind(tmp_path: Path) -> None:
    backend = LocalBackend(cpus=2, memory_gib=4, gpus=("0",), folder=tmp_path / "live")
    place, one = Place(backend, tmp_path), Resources.of(gpus=1)
    code = place.code(PID)
    first = place.run(place.parcel(code, [("f", {})]), resources=one)[0]["out"]
    again = place.run(place.parcel(code, [("f", {})]), resources=one)[0]["out"]
    cpu = place.run(place.parcel(code, [("f", {})]))[0]["out"]
    assert first == again != cpu
    assert _alive([first, cpu]) == [first, cpu]
    place.run(place.parcel(PID, [("f", {})]), resources=one)
    assert _alive([first, cpu]) == [cpu]
    backend.close()


def test_a_failed_version_before_a_canceled_one(place: Place) -> None:
    source = """
        import time
        def f(how):
            if how == "raise":
                raise ValueError(how)
            print("on", flush=True)
            time.sleep(60)
    """
    handle = place.submit(place.parcel(source, [("f", {"how": "raise"}), ("f", {"how": "wait"})]))
    place.until(lambda: b"on" in place.log(handle))
    place.backend.cancel([handle], grace_s=5)
    assert place.finish(handle).state is JobState.CANCELED
    assert [end["reason"] for end in place.ends(handle)] == ["exception", "canceled"]


def test_live_output_of_the_dead_is_swept(tmp_path: Path) -> None:
    dead, alive = (Path(home_of("", pid)).name for pid in (4194305, os.getpid()))
    dead, alive, other = f"{dead}-1", f"{alive}-999", "elsewhere-4194305-1"
    for name in (dead, alive, other):
        (tmp_path / "live" / name).mkdir(parents=True)
    backend = LocalBackend(cpus=1, cache=tmp_path)
    assert len(list((tmp_path / "live").iterdir())) == 3
    place = Place(backend, tmp_path)
    assert place.run(place.parcel(PID, [("f", {})]))[0]["ok"]
    assert len(list((tmp_path / "live").iterdir())) == 3
    backend.close()
    assert {path.name for path in (tmp_path / "live").iterdir()} == {alive, other}
