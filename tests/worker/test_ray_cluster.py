"""Ray clusters of a gang's members on this machine: how they begin, lose a node, and end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread

import pytest

from ems.worker import ray_cluster, ray_lines, ray_node
from ems.worker.meeting import reserve
from ems.worker.peers import Peer
from tests.rigs import rig

PATIENCE_S = 120.0
_SMALL = ("--object-store-memory=80000000", "--num-cpus=1")
_DRIVER = 'trap "echo told; exit 9" TERM; echo "on $RAY_ADDRESS"; sleep 100 & wait'


class Gang:
    """Members that have met; each runs `ems-ray` with its output in a file."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.mark = f"EMS_TEST_GANG={os.urandom(8).hex()}"
        first = 21000 + 100 * (os.getpid() % 80)
        self.ports = range(first, first + 100)
        self.short = Path(tempfile.mkdtemp(prefix="ems-", dir="/tmp"))
        self.peers = folder / "peers"
        held = [reserve() for _ in range(size)]
        self.rows = [
            Peer("node", n, n, "127.0.0.1", s.getsockname()[1]) for n, s in enumerate(held)
        ]
        for each in held:
            each.close()
        self.peers.write_text(json.dumps([row._asdict() for row in self.rows]))
        self.members: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, ranks: Sequence[int] = ()) -> None:
        for rank in ranks or range(len(self.rows)):
            name, _, value = self.mark.partition("=")
            variables = {
                **os.environ, name: value, "EMS_PEERS": str(self.peers), "EMS_RANK": str(rank),
                "RAY_TMPDIR": str(self.short), "OMP_NUM_THREADS": "1",
                "EMS_PORTS": f"{self.ports[0]}-{self.ports[-1]}",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            }  # fmt: skip
            with (self.folder / f"said-{rank}").open("wb") as out:
                self.members.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "ems.worker", "ray", *words],
                        env=variables,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                    )
                )

    def said(self, rank: int) -> str:
        return (self.folder / f"said-{rank}").read_text()

    def codes(self) -> list[int]:
        return [each.wait(PATIENCE_S) for each in self.members]

    def processes(self) -> dict[int, str]:
        """Return the processes of this gang, with their names."""
        found: dict[int, str] = {}
        for each in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (each / "environ").read_bytes():
                    found[int(each.name)] = (each / "comm").read_text().strip()
            except OSError:
                continue
        return found

    def end(self) -> None:
        while left := self.processes():
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            for each in self.members:
                each.wait()
        shutil.rmtree(self.short)


@pytest.fixture
def gang_of(tmp_path: Path) -> Iterator[Callable[[int], Gang]]:
    made: list[Gang] = []

    def make(size: int) -> Gang:
        made.append(Gang(tmp_path, size))
        return made[-1]

    yield make
    for each in made:
        each.end()


def until(true: Callable[[], object], gang: Gang) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        said = [each.read_text() for each in gang.folder.glob("said-*")]
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


@rig("ray")
def test_a_node_is_lost_and_the_command_is_told_to_end(gang_of: Callable[[int], Gang]) -> None:
    gang = gang_of(2)
    gang.start(*_SMALL, "--", "sh", "-c", _DRIVER)
    until(lambda: "on 127.0.0.1:" in gang.said(0), gang)
    address = gang.said(0).partition("on ")[2].split()[0]
    assert int(address.rpartition(":")[2]) in gang.ports
    with_another = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    asked = subprocess.run(
        [Path(sys.executable).with_name("ray"), "status", f"--address={address}"],
        env={**os.environ, **with_another}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.returncode != 0
    assert "nauthenticated" in asked.stdout + asked.stderr
    raylets = [pid for pid, name in gang.processes().items() if name == "raylet"]
    os.kill(next(pid for pid in raylets if _below(pid, gang.members[1].pid)), signal.SIGKILL)
    assert gang.members[1].wait(PATIENCE_S) == 1
    assert "Ray's raylet ended by itself (-9)" in gang.said(1)
    until(lambda: "node-1 is lost: Ray's raylet ended" in gang.said(0), gang)
    gang.members[0].terminate()
    assert gang.members[0].wait(PATIENCE_S) == 9
    assert gang.said(0).count("told") == 1
    assert not gang.processes()
    assert not list(gang.short.iterdir())


def _below(pid: int, ancestor: int) -> bool:
    while pid > 1 and pid != ancestor:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == ancestor


@rig("ray")
def test_all_hear_why_there_is_no_cluster(gang_of: Callable[[int], Gang]) -> None:
    gang = gang_of(3)
    gang.start("--no-such-thing=1", "true")
    assert gang.codes() == [1, 1, 1]
    assert "ray start ended with 2" in gang.said(0) and "no-such-thing" in gang.said(0)
    for rank in (1, 2):
        assert "node-0: ray start ended with 2" in gang.said(rank)
    assert not gang.processes()
    assert not list(gang.short.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--head=1", "true"], "--head can't be given here"),
        (["--num-cpus", "true"], "--num-cpus can't be given here"),
        (["--num-cpus=1", "--"], "there is no command"),
    ],
)
def test_lines_that_can_not_be(
    gang_of: Callable[[int], Gang], words: Sequence[str], said: str
) -> None:
    gang = gang_of(1)
    gang.start(*words)
    assert gang.codes() == [2]
    assert said in gang.said(0)


def test_outside_a_gang() -> None:
    variables = {name: each for name, each in os.environ.items() if name != "EMS_PEERS"}
    words = [sys.executable, "-m", "ems.worker", "ray", "true"]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, "no member of a gang" in done.stderr) == (2, True)


def _hear(line: ray_lines.Line) -> list[dict[str, object]]:
    deadline = time.monotonic() + PATIENCE_S
    while not (heard := line.hear()):
        assert time.monotonic() < deadline and not line.closed
        time.sleep(0.02)
    return heard


def test_a_token_that_all_have_is_told_to_nobody() -> None:
    token, told = ray_cluster._token({"RAY_AUTH_TOKEN": "5" * 64})
    assert (token, told) == ("5" * 64, {})
    token, told = ray_cluster._token({})
    assert len(token) == 64
    assert told == {"token": token}


def test_a_member_without_the_token_says_so(
    gang_of: Callable[[int], Gang], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    gang = gang_of(2)
    desk = ray_lines.Desk(gang.rows[0], gang.rows[1:])
    gang.start("true", ranks=[1])
    lines: dict[Peer, ray_lines.Line] = {}
    until(lambda: lines.update(desk.calls()) or lines, gang)
    lines[gang.rows[1]].say(address="127.0.0.1:1")
    assert _hear(lines[gang.rows[1]])[0].keys() == {"failed"}
    assert gang.codes() == [1]
    assert "node-0 has a RAY_AUTH_TOKEN, and this member has none" in gang.said(1)
    lines[gang.rows[1]].close()
    desk.close()


def test_the_cpus_of_the_role_go_before_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for asked, counted in (("8", "8"), ("0.5", "1"), ("2.5", "3")):
        monkeypatch.setenv("EMS_CPUS", asked)
        assert ray_node._chosen("/none")["num-cpus"] == counted
    monkeypatch.delenv("EMS_CPUS")
    assert ray_node._chosen("/none")["num-cpus"] == "1"


_SPARED = """
import sys, time
from ems.worker.ray_node import Children
children = Children()
named = "printf ems-supervisor >/proc/self/comm; echo $$; sleep 100 & wait"
children.start(["sh", "-c", "sleep 100 & sleep 100 & wait"], {"PATH": sys.argv[1]}, None)
children.start(["sh", "-c", named], {"PATH": sys.argv[1]}, None)
while not children.named(["ems-supervisor"]):
    time.sleep(0.01)
children.end_all(0)
print(len(children.named(["ems-supervisor"])), len(children.named(["sh", "sleep"])))
"""


def test_it_ends_though_a_supervisor_of_another_job_is_left() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SPARED, os.environ["PATH"]],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        spared = int(process.stdout.readline())
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()
            os.killpg(spared, signal.SIGKILL)
        assert process.stdout.read() == "1 0\n"


def test_nobody_gets_the_port_of_who_calls(gang_of: Callable[[int], Gang]) -> None:
    leader, own = gang_of(2).rows
    found: list[ray_lines.Line | None] = []
    calls = Thread(target=lambda: found.append(ray_lines.call(own, leader, 60, lambda: False)))
    calls.start()
    deadline = time.monotonic() + 30
    while _may_have(own):
        assert time.monotonic() < deadline
    until_s = time.monotonic() + 1.0  # five tries
    while time.monotonic() < until_s:
        assert not _may_have(own)
        time.sleep(0.002)
    desk = ray_lines.Desk(leader, [own])
    calls.join()
    answered = desk.calls()
    assert list(answered) == [own]
    assert found[0] is not None
    found[0].close()  # first, so that this side keeps what is left of it (TIME_WAIT)
    answered[own].close()
    desk.close()
    once_more = ray_lines.Desk(leader, [own])
    assert _may_have(own)  # who is started here again
    once_more.close()


def _may_have(peer: Peer) -> bool:
    """Whether another process may bind a peer's port, as one of another user would."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind((peer.address, peer.port))
        except OSError:
            return False
        return True


def test_the_leader_hears_members_alone(gang_of: Callable[[int], Gang]) -> None:
    """The token goes to whoever calls from a member's address and port, once."""
    leader, *others = gang_of(3).rows
    desk = ray_lines.Desk(leader, others)
    try:
        stranger = socket.create_connection((leader.address, leader.port))
        line = ray_lines.call(others[0], leader, 5, lambda: False)
        assert line is not None
        answered = desk.calls()
        assert list(answered) == [others[0]]
        answered[others[0]].say(token="x")
        assert stranger.recv(1) == b""
        stranger.close()
        heard: list[dict[str, object]] = []
        deadline = time.monotonic() + 30
        while not heard:
            assert time.monotonic() < deadline
            heard = line.hear()
        assert heard == [{"token": "x"}]
        answered[others[0]].close()
        line.close()
        assert not desk.calls()
    finally:
        desk.close()
    with pytest.raises(OSError):
        ray_lines.call(others[1], leader, 0, lambda: False)
    assert ray_lines.call(others[1], leader, 5, lambda: True) is None
