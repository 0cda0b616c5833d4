"""Forks in the place of interpreters: what a caller gets, and what goes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rigs import rig
from tests.rigs.sky import warm
from tests.rigs.sky.cloud import ROOT, Cloud

pytestmark = rig("pulumi")
LAUNCH = Path(warm.__file__).with_name("launch.py")


def started(folder: Path, source: str, *words: str, **more: str) -> subprocess.Popen[str]:
    """Start a program as `python program.py WORDS`, by a fork."""
    program = folder / "program.py"
    program.write_text(source)
    return subprocess.Popen(
        [sys.executable, "-ISE", str(LAUNCH), "-u", str(program), *words],
        cwd=folder,
        env={**os.environ, warm.SOCKET: warm.started(), **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_fork_is_what_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("x = 'beside it'\n")
    source = """
import os, sys, beside
print(sys.argv[1:], os.getcwd(), os.environ["MORE"], beside.x, __name__, input())
print("wrong", file=sys.stderr)
print("pulumi_aws.ec2" in sys.modules, [name for name in sys.modules if name == "infra"])
sys.exit(7)
"""
    running = started(tmp_path, source, "a", "b c", MORE="more")
    out, err = running.communicate("given\n", timeout=60)
    assert running.returncode == 7
    said = f"['a', 'b c'] {tmp_path} more beside it __main__ given\nTrue []\n"
    assert (out, err) == (said, "wrong\n")


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("raise ValueError('odd')", 1, "ValueError: odd"),
        ("raise SystemExit('no more')", 1, "no more"),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9, ""),
        ("pass", 0, ""),
    ],
)
def test_how_it_ends_is_told(tmp_path: Path, source: str, code: int, words: str) -> None:
    running = started(tmp_path, source)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, words in err) == (code, True)


_WAITS = """
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(5))
print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_a_signal_reaches_it_and_a_kill_takes_it_along(tmp_path: Path) -> None:
    one, two = started(tmp_path, _WAITS), started(tmp_path, _WAITS)
    assert one.stdout and two.stdout
    pids = [int(pipe.readline()) for pipe in (one.stdout, two.stdout)]
    one.send_signal(signal.SIGINT)
    assert one.wait(60) == 5
    two.kill()
    two.communicate()
    end = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_emptied_cloud_is_empty_at_the_same_address_with_other_ids() -> None:
    with Cloud() as cloud:
        ec2, endpoint = cloud.client("ec2", "us-west-2"), cloud.endpoint
        made = [ec2.create_vpc(CidrBlock="10.16.0.0/16")["Vpc"]["VpcId"]]
        cloud.reset()
        assert len(ec2.describe_vpcs()["Vpcs"]) == 1, "the default one"
        made.append(ec2.create_vpc(CidrBlock="10.16.0.0/16")["Vpc"]["VpcId"])
        assert (cloud.endpoint, len(set(made))) == (endpoint, 2)


def test_all_of_it_ends_with_the_process_that_started_it() -> None:
    source = """
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky import warm
import os
cloud = Cloud(lean=True)
warm.started()
below = lambda pid: open(f"/proc/{pid}/task/{pid}/children").read().split()
print(*(each for pid in below(os.getpid()) for each in (pid, *below(pid))), flush=True)
os._exit(0)
"""
    said = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(said) == 3, "moto, what serves, and the one that forks"
    end = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in said):
        assert time.monotonic() < end
        time.sleep(0.05)
