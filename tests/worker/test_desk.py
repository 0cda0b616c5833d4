"""The desk as it is shipped, on the oldest, the newest and this Python: frames, files, jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from ems.hashing import digest_bytes
from ems.worker import usage
from tests.worker.shipped import Shipped


class Desk:
    """A desk, spoken to in its own words."""

    def __init__(self, shipped: Shipped) -> None:
        self.root = shipped.folder / "place"
        self.process = subprocess.Popen(
            [shipped.python, str(shipped.app), "desk", str(self.root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdin
        assert self.process.stdout
        self.give: IO[bytes] = self.process.stdin
        self.take: IO[bytes] = self.process.stdout
        first = self.take.readline()
        assert first.startswith(b"EMS-DESK ")
        self.hello = json.loads(first[9:])
        self._number = 0

    def ask(self, do: str, data: bytes = b"", **words: Any) -> tuple[dict[str, Any], bytes]:
        self._number += 1
        header = {"n": self._number, "do": do, "size": len(data), **words}
        self.give.write(json.dumps(header).encode() + b"\n" + data)
        self.give.flush()
        while True:
            says = json.loads(self.take.readline())
            out = self.take.read(says["size"])
            if says["n"]:
                assert says["n"] == self._number
                return says, out

    def close(self) -> int:
        self.give.close()
        code = self.process.wait(10)
        self.take.close()
        return code


Open = Callable[[], Desk]


@pytest.fixture
def open_desk(everywhere: Shipped) -> Iterator[Open]:
    made: list[Desk] = []

    def one() -> Desk:
        made.append(Desk(everywhere))
        return made[-1]

    yield one
    for desk in made:
        if desk.process.poll() is None:
            desk.close()


def test_it_says_who_it_is_and_ends_when_nobody_asks(open_desk: Open) -> None:
    desk = open_desk()
    assert desk.hello["desk"] == 1
    assert desk.hello["root"] == str(desk.root)
    assert desk.hello["home"] == os.path.expanduser("~")
    assert desk.close() == 0


def test_what_it_can_not_do_is_an_answer(open_desk: Open) -> None:
    desk = open_desk()
    assert desk.ask("dance")[0]["error"] == ["dance", "is nothing that this desk can do"]
    assert desk.ask("read")[0]["error"][1].startswith("was asked wrongly: KeyError")
    assert desk.ask("read", path="../x")[0]["error"][1] == "is no path below the place's folder"
    assert desk.ask("have", digests=["../x"])[0]["error"] == ["'../x'", "is no digest"]
    assert desk.ask("status", ids=["../x"])[0]["error"][0] == "status"
    (desk.root / "d").mkdir()
    assert desk.ask("read", path="d")[0]["error"] == [str(desk.root / "d"), "is a directory"]


def test_an_object_in_parts_from_two_sides_and_sessions(open_desk: Open) -> None:
    data = os.urandom(100_000)
    digest = digest_bytes(data)
    one, two = open_desk(), open_desk()
    words = {"digest": digest, "of": len(data)}
    assert one.ask("put", data[:40_000], at=0, **words)[0]["at"] == 40_000
    assert two.ask("put", data[90_000:], at=90_000, **words)[0]["at"] == 40_000
    assert two.ask("put", data[:50_000], at=0, **words)[0]["at"] == 50_000
    one.process.kill()
    one.process.wait()
    says, _ = two.ask("have", digests=[digest])
    assert (says["missing"], says["partial"]) == ([digest], {digest: 50_000})
    assert two.ask("put", data[50_000:], at=50_000, **words)[0]["done"]
    assert two.ask("put", b"", at=0, **words)[0]["done"]
    says, out = two.ask("get", digest=digest, at=99_000, most=5000)
    assert (says["of"], out) == (100_000, data[99_000:])


def test_a_damaged_upload_begins_anew(open_desk: Open) -> None:
    desk = open_desk()
    digest = digest_bytes(b"right")
    assert desk.ask("put", b"wrong", digest=digest, at=0, of=5)[0]["damaged"]
    assert desk.ask("have", digests=[digest])[0]["missing"] == [digest]
    assert desk.ask("put", b"right", digest=digest, at=0, of=5)[0]["done"]


def test_uploads_that_nobody_goes_on_with_are_removed(open_desk: Open) -> None:
    objects = open_desk().root / "objects"
    objects.mkdir()
    for name, age_s in (("a", 8 * 86400), ("b", 86400)):
        path = objects / f"tmp-put-{name}"
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    open_desk()
    assert [path.name for path in objects.iterdir()] == ["tmp-put-b"]


def test_a_job_goes_on_without_the_desk_and_the_task_it_was_in(
    open_desk: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = f"/test-{os.urandom(6).hex()}."
    monkeypatch.setenv(usage.MARK, mark)
    desk = open_desk()
    monkeypatch.delenv(usage.MARK)
    folder = desk.root / "jobs" / "ems-a"
    order = {
        "id": "ems-a",
        "shell": f"cd {folder} && sleep 0.5 >output 2>&1; echo $V $EMS_WORKER >output",
        "cpus": 1, "memory_gib": 0, "gpus": 0, "gpu_kind": "", "variables": {"V": "said"},
        "secrets": {}, "wall_s": None, "grace_s": 5, "modules": [],
    }  # fmt: skip
    limits = {"cpus": 1, "memory_gib": 1, "gpus": 0}
    assert desk.ask("start", orders=[order], limits=limits)[0]["refused"] == [""]
    assert usage.kill_marked(mark) == 1
    assert desk.process.wait() == -signal.SIGKILL
    after = open_desk()
    until = time.monotonic() + 20
    while (known := after.ask("status", ids=["ems-a"])[0]["jobs"]["ems-a"])["state"] != "ended":
        assert known["state"] in ("waiting", "running")
        assert time.monotonic() < until
        time.sleep(0.05)
    assert known["code"] == 0
    assert after.ask("read", path="jobs/ems-a/output")[1] == b"said\n"
    after.ask("settle", ids=["ems-a"])
    free = after.ask("room", limits=limits)[0]["free"]
    assert free["cpus"] == 1
    assert Path(after.root / "jobs/ems-a/exit").exists()
