"""The whole way: a broker, a link, a desk, jobs; over ssh and on this machine."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ems.compute.job import Handle, JobState, Reason
from ems.compute.remote.desk import Line, Near
from ems.compute.remote.ssh import SshLink
from tests.compute.hosts.places import Broker
from tests.contract.place import Place
from tests.rigs import rig
from tests.rigs.sshd import Host

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("hosts") / "host") as made:
        yield made


class Reach:
    """How to get to a place, from this process or another."""

    def __init__(self, host: Host | None, folder: Path) -> None:
        self.host, self.folder = host, folder
        self._open: list[Broker] = []

    def words(self) -> dict[str, Any]:
        options = self.host.options if self.host else None
        return {"options": options, "place": str(self.folder / "place"), "work": str(self.folder)}

    def place(self, slots: int = 4) -> Place:
        self._open.append(broker(self.words(), slots))
        return Place(self._open[-1], self.folder)

    def close(self) -> None:
        for each in self._open:
            each.close()


def broker(words: Mapping[str, Any], slots: int = 4) -> Broker:
    """Return a broker as words say that came from another process."""
    options = words["options"]
    link: Line = Near() if options is None else SshLink("robot", options)
    return Broker(link, words["place"], Path(words["work"]), slots)


@pytest.fixture(params=["here", pytest.param("ssh", marks=rig("sshd"))])
def reach(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reach]:
    """This machine, and another one."""
    host = request.getfixturevalue("host") if request.param == "ssh" else None
    made = Reach(host, tmp_path)
    yield made
    made.close()


@pytest.fixture
def far(host: Host, tmp_path: Path) -> Iterator[Reach]:
    """Another machine."""
    made = Reach(host, tmp_path)
    yield made
    made.close()


def test_inputs_and_outputs_by_digest(reach: Reach) -> None:
    place = reach.place()
    data = place.put(b"two\none\n")
    script = place.put(b"#!/bin/sh\nsort data/in.txt > out/sorted.txt; echo done\n")
    inputs = {"data/in.txt": data, "run.sh": script}
    job = place.job(["./run.sh"], inputs=inputs, outputs={"sorted": "out/sorted.txt"})
    handle = place.backend.submit([job])[0]
    assert place.finish(handle, 40).state is JobState.SUCCEEDED
    (end,) = place.ends(handle)
    digest, size, name = end["out"]["sorted"]["$file"]
    assert (size, name) == (8, "sorted.txt")
    assert place.read(digest) == b"one\ntwo\n"
    assert place.log(handle) == b"done\n"
    place.backend.forget([handle])
    gone = reach.folder / "place/jobs" / handle.native
    place.until(lambda: not gone.exists())


def test_4_mib_of_binary_output(reach: Reach) -> None:
    place = reach.place()
    source = """
        import os, random
        def f(n):
            made = random.Random(n).randbytes(4 * 2**20)
            for at in range(0, len(made), 65536):
                os.write(1, made[at:at + 65536])
    """
    handle = place.submit(place.parcel(source, [("f", {"n": 5})]))
    assert place.finish(handle, 40).state is JobState.SUCCEEDED
    assert place.log(handle) == random.Random(5).randbytes(4 * 2**20)


LINES = """
    import time
    def f(n, pause):
        for i in range(n):
            print(f"line {i:05d}", flush=True)
            time.sleep(pause)
        return n
"""


def _lines(n: int) -> bytes:
    return "".join(f"line {i:05d}\n" for i in range(n)).encode()


BROKER = """
import json, sys
from tests.compute.hosts.test_over_ssh import LINES, broker
from tests.contract.place import Place
from pathlib import Path

words = json.loads(sys.argv[1])
place = Place(broker(words), Path(words["work"]))
handle = place.submit(place.parcel(LINES, [("f", {"n": 300, "pause": 0.01})]))
place.until(lambda: place.log(handle) != b"")
print(json.dumps(handle.to_json()), flush=True)
sys.stdin.read()
"""


def test_a_job_outlives_its_broker_and_its_session(reach: Reach) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", BROKER, json.dumps(reach.words())],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    handle = Handle.from_json(json.loads(child.stdout.readline()))
    child.kill()
    child.communicate()
    if reach.host:
        reach.host.kill_sessions()
    place = reach.place()
    assert place.status(handle).state is JobState.SUBMITTED
    assert place.finish(handle, 40).state is JobState.SUCCEEDED
    assert place.log(handle) == _lines(300)
    assert [end["out"] for end in place.ends(handle)] == [300]


def test_a_handle_that_nobody_knows(reach: Reach) -> None:
    place = reach.place()
    status = place.finish(Handle("hosts", "ems-nobody"), 40)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.LOST)


@pytest.mark.slow
@rig("sshd")
def test_a_log_without_gap_or_double_while_links_come_and_go(host: Host, far: Reach) -> None:
    place = far.place()
    handle = place.submit(place.parcel(LINES, [("f", {"n": 1000, "pause": 0.008})]))
    place.until(lambda: place.log(handle) != b"")
    host.kill_sessions()
    size = len(place.log(handle))
    place.until(lambda: len(place.log(handle)) > size)
    host.cut()
    time.sleep(3)
    host.kill_sessions()
    host.mend()
    assert place.finish(handle, 60).state is JobState.SUCCEEDED
    assert place.log(handle) == _lines(1000)
    assert [end["out"] for end in place.ends(handle)] == [1000]


def test_cancel_while_it_waits_and_while_it_runs(reach: Reach) -> None:
    place = reach.place(slots=1)
    source = """
        import signal, time
        def f():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("deaf", flush=True)
            time.sleep(60)
    """
    handles = [place.submit(place.parcel(source, [("f", {})])) for _ in range(2)]
    place.until(lambda: place.log(handles[0]) != b"", 40)
    place.backend.cancel(handles[1:], 30)
    assert place.finish(handles[1], 40).state is JobState.CANCELED
    assert place.status(handles[0]).state is JobState.RUNNING
    place.backend.cancel(handles[:1], 0.5)
    assert place.finish(handles[0], 40).state is JobState.CANCELED
    assert [end["reason"] for handle in handles for end in place.ends(handle)] == ["canceled"] * 2


@rig("sshd")
def test_a_host_that_is_turned_off(host: Host, far: Reach) -> None:
    place = far.place()
    source = "import time\ndef f():\n print('here', flush=True)\n time.sleep(60)"
    handle = place.submit(place.parcel(source, [("f", {})]))
    place.until(lambda: place.log(handle) != b"", 40)
    host.restart()
    status = place.finish(handle, 60)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.LOST)
    assert place.log(handle) == b"here\n"


def test_many_jobs_take_one_question_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = Reach(None, tmp_path)
    place = reach.place()
    assert isinstance(place.backend, Broker)
    asked: Counter[str] = Counter()
    ask = place.backend.site.ask

    def counted(do: str, words: Mapping[str, Any], data: bytes = b"") -> Any:
        asked[do] += 1
        return ask(do, words, data)

    monkeypatch.setattr(place.backend.site, "ask", counted)
    code = place.code("def f(n): return n * n")
    handles = [place.submit(place.parcel(code, [("f", {"n": n})])) for n in range(24)]
    place.until(lambda: all(s.state.ended for s in place.backend.poll(handles)), 90)
    assert [place.ends(handle)[0]["out"] for handle in handles] == [n * n for n in range(24)]
    assert abs(asked["status"] - asked["look"]) <= 1
    assert asked["start"] < 24
    reach.close()
