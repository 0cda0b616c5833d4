"""A gang's member as the worker runs it: says where it is, waits, and tells its command."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import ems
from ems.compute import ship
from ems.worker.meeting import own_address, reserve
from tests.rigs import OLDEST, interpreter, rig

PRINT = "import os, json; print(json.dumps(dict(os.environ)))"


@cache
def worker() -> Path:
    """The worker as it is shipped."""
    path = Path(tempfile.mkdtemp(prefix="ems-")) / "worker.pyz"
    path.write_bytes(ship.zipapp())
    atexit.register(shutil.rmtree, path.parent)
    return path


class Alone:
    """One member under `worker run`, and the list that it waits for."""

    def __init__(self, folder: Path, words: Sequence[str], **gang: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        given = {"gang": "ab", "role": "robot", "nth": 1, "times": 2, "rank": 2, "size": 3, **gang}
        task = {"kind": "command", "name": "member", "argv": list(words), "timeout_s": 20}
        parcel = {
            "schema": 1, "parcel": "p", "tasks": [task], "scratch": str(folder / "scratch"),
            "gang": given, "versions": [{"v": "ab", "task": 0}],
        }  # fmt: skip
        (folder / "parcel.json").write_text(json.dumps(parcel))

    def start(self, python: str = sys.executable, **variables: str) -> None:
        with (self.folder / "output").open("ab") as out:
            self.process = subprocess.Popen(
                [python, str(worker()), "run", "parcel.json", "events.jsonl"],
                cwd=self.folder, env={**os.environ, **variables},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def said(self, kind: str) -> dict[str, Any]:
        """Wait for a message and return it."""
        path, deadline = self.folder / "events.jsonl", time.monotonic() + 40
        while True:
            lines = path.read_text().splitlines() if path.exists() else []
            for line in lines:
                message = json.loads(line)
                if message["ev"] == kind:
                    return message
            assert time.monotonic() < deadline, lines
            time.sleep(0.02)

    def brief(self, ready: dict[str, Any]) -> list[dict[str, Any]]:
        peers = [
            {"role": "learner", "role_rank": 0, "rank": 0, "address": "10.9.9.9", "port": 7001},
            {"role": "robot", "role_rank": 0, "rank": 1, "address": "10.9.9.8", "port": 7002},
            {
                "role": "robot", "role_rank": 1, "rank": 2,
                "address": ready["address"], "port": ready["port"],
            },
        ]  # fmt: skip
        made = self.folder / "new"
        made.write_text(json.dumps(peers))
        made.rename(self.folder / "events.jsonl.peers")
        return peers

    def end(self) -> dict[str, Any]:
        assert self.process.wait(40) in (0, 100)
        return self.said("end")


@pytest.mark.parametrize("python", ["", pytest.param(OLDEST, marks=rig("python-oldest"))])
def test_what_a_member_says_and_is_told(tmp_path: Path, python: str) -> None:
    member = Alone(tmp_path, [sys.executable, "-c", PRINT], cpus=2.5)
    runs = str(interpreter(python)) if python else sys.executable
    member.start(runs, EMS_ADDRESS="127.0.0.1", EMS_PORTS="41000-41999", RANK="7")
    ready = member.said("ready")
    assert ready["address"] == "127.0.0.1" and 41000 <= ready["port"] <= 41999
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", ready["port"]))  # nobody else gets it meanwhile
    assert (tmp_path / "output").read_text() == ""
    peers = member.brief(ready)
    assert member.end()["ok"] is True
    told = json.loads((tmp_path / "output").read_text())
    assert json.loads(Path(told["EMS_PEERS"]).read_text()) == peers
    expected = {
        "EMS_GANG": "ab", "EMS_ROLE": "robot", "EMS_RANK": "2", "EMS_SIZE": "3",
        "EMS_ROLE_RANK": "1", "EMS_ROLE_SIZE": "2", "EMS_ADDRESS": "127.0.0.1",
        "EMS_PORT": str(ready["port"]), "RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "0",
        "MASTER_ADDR": "10.9.9.9", "MASTER_PORT": "7001", "EMS_CPUS": "2.5",
    }  # fmt: skip
    assert expected.items() <= told.items()


def test_the_port_is_free_for_the_command(tmp_path: Path) -> None:
    listen = "import os, socket; socket.create_server(('', int(os.environ['EMS_PORT'])))"
    member = Alone(tmp_path, [sys.executable, "-c", listen])
    member.start()
    member.brief(member.said("ready"))
    assert member.end()["ok"] is True


def test_started_again_it_takes_its_place_or_says_why_not(tmp_path: Path) -> None:
    with reserve() as kept:
        known = {"address": "127.0.0.1", "port": kept.getsockname()[1]}
        taken = Alone(tmp_path / "taken", ["true"])
        taken.brief(known)
        taken.start(EMS_ADDRESS="127.0.0.1")
        end = taken.end()
        assert end["reason"] == "preempted" and "can't be had again" in end["error"]["message"]
    again = Alone(tmp_path / "again", ["true"])
    again.brief(known)
    again.start(EMS_ADDRESS="127.0.0.1")
    assert again.end()["ok"] is True
    moved = Alone(tmp_path / "moved", ["true"])
    moved.brief(known)
    moved.start(EMS_ADDRESS="127.0.0.2")
    end = moved.end()
    assert end["reason"] == "preempted" and "at 127.0.0.2" in end["error"]["message"]


def test_what_its_connections_left_does_not_keep_it_from_its_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        known = {"address": "127.0.0.1", "port": before.getsockname()[1]}
        with socket.create_connection(before.getsockname()) as caller:
            before.accept()[0].close()  # who closes first waits for stragglers (TIME_WAIT)
            assert caller.recv(1) == b""
    with pytest.raises(OSError), socket.socket() as other:
        other.bind(("", known["port"]))
    again = Alone(tmp_path, ["true"])
    again.brief(known)
    again.start(EMS_ADDRESS="127.0.0.1")
    assert again.end()["ok"] is True


def test_nobody_comes_and_no_time_of_the_command_passes(tmp_path: Path) -> None:
    member = Alone(tmp_path, ["true"], wait_s=0.5)
    parcel = json.loads((tmp_path / "parcel.json").read_text())
    parcel["tasks"][0]["timeout_s"] = 0.3
    (tmp_path / "parcel.json").write_text(json.dumps(parcel))
    member.start()
    end = member.end()
    assert end["reason"] == "no_capacity" and "of the other 2 members" in end["error"]["message"]


def test_a_limit_of_time_begins_with_the_command(tmp_path: Path) -> None:
    member = Alone(tmp_path, ["sleep", "30"])
    parcel = json.loads((tmp_path / "parcel.json").read_text())
    parcel["tasks"][0]["timeout_s"] = 1
    (tmp_path / "parcel.json").write_text(json.dumps(parcel))
    member.start()
    ready = member.said("ready")
    time.sleep(1.5)
    member.brief(ready)
    end = member.end()
    assert end["reason"] == "timed_out" and end["t0"] >= ready["t"] + 1.4


def test_asked_to_end_while_it_waits(tmp_path: Path) -> None:
    member = Alone(tmp_path, ["true"])
    member.start()
    member.said("ready")
    member.process.terminate()
    assert member.process.wait(40) == 101
    assert member.said("end")["reason"] == "preempted"


def test_ports_that_a_firewall_lets_through() -> None:
    with reserve() as one, reserve(str(one.getsockname()[1] + 1)) as two:
        first, second = one.getsockname()[1], two.getsockname()[1]
        assert second == first + 1
        with pytest.raises(OSError, match="are in use"):
            reserve(f"{first}-{second}")
    for wrong in ("7000-6000", "many", "0-5", "7000-70000"):
        with pytest.raises(OSError, match="is no FIRST-LAST"):
            reserve(wrong)


def test_the_own_address_can_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMS_ADDRESS", raising=False)
    with socket.socket() as line:
        line.bind((own_address(), 0))
    monkeypatch.setenv("EMS_ADDRESS", "robot7.lab")
    assert own_address() == "robot7.lab"


def test_peers_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMS_PEERS", raising=False)
    with pytest.raises(RuntimeError, match="no member of a gang"):
        ems.peers()
    peers = Alone(tmp_path, ["true"]).brief({"address": "127.0.0.1", "port": 7003})
    monkeypatch.setenv("EMS_PEERS", str(tmp_path / "events.jsonl.peers"))
    assert [each._asdict() for each in ems.peers()] == peers
    assert ems.peers()[2] == ems.Peer("robot", 1, 2, "127.0.0.1", 7003)
