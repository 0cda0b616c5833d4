"""The processes of a sandbox: the moto server, a cluster, an engine at work. Started, seen, ended.

Each carries a mark in its environment, and what it starts inherits that. So whatever was started is
found again by its mark, also after a kill -9 before anything could be written down. Reads /proc.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.rigs.kubernetes import build, cluster
from tests.rigs.kubernetes.processes import Processes
from tests.rigs.sandbox.place import ROOT, Place, shown

_MARK = "EMS_SANDBOX_PART"
_OF_CLUSTER = ("etcd", "apiserver", "controllers")


class Failure(Exception):
    """A part does not start; the message is for a person."""


def marked(place: Place, part: str) -> dict[str, str]:
    """Return the environment by which a part's processes are known."""
    return {_MARK: f"{place.folder.resolve()} {part}"}


def running(place: Place, part: str = "") -> list[int]:
    """Return the processes of a sandbox, or of one part of it."""
    mark = f"{_MARK}={place.folder.resolve()} {part}".encode()
    found: list[int] = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and int(each.name) != os.getpid():
            try:
                variables = (each / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(one == mark or (not part and one.startswith(mark)) for one in variables):
                found.append(int(each.name))
    return sorted(found)


def end(place: Place) -> int:
    """End every process of a sandbox; return how many there were."""
    ended: set[int] = set()
    for how in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + 5
        while (pids := running(place)) and time.monotonic() < limit:
            for pid in pids:
                if pid not in ended or how is signal.SIGKILL:
                    _kill(pid, how)
            ended |= set(pids)
            time.sleep(0.05)
    return len(ended)


def ended(place: Place, part: str, within_s: float) -> bool:
    """Wait until no process of a part is left; False if that takes too long."""
    return _until(lambda: not running(place, part), within_s)


# --------------------------------------------------------------------------------------- the cloud
def endpoint(place: Place) -> str:
    """Return the address of the moto server; empty where none answers."""
    told = address(place) if running(place, "moto") else ""
    return told if told and _answers(told) else ""


def address(place: Place) -> str:
    """Return the address that the moto server said it has; empty where it said none."""
    try:
        ports = re.findall(r"^(\d+)$", place.log("moto").read_text(), re.M)
    except OSError:
        return ""
    return f"http://127.0.0.1:{ports[-1]}" if ports else ""


def start_cloud(place: Place) -> str:
    """Start a moto server and return its address."""
    with place.log("moto").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.rigs.sandbox.server", str(place.folder)],
            cwd=ROOT,
            env={**_own(), **marked(place, "moto"), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _until(lambda: bool(endpoint(place)) or process.poll() is not None, 30)
    found = endpoint(place)
    if not found:
        raise Failure(_not_started("moto", place.log("moto")))
    return found


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/moto-api/config", timeout=30) as answer:
            return answer.status < 300
    except OSError:
        return False


# -------------------------------------------------------------------------------------- the cluster
def no_cluster(place: Place) -> str:
    """Say why there can be no cluster here, and what would help; nothing where there can be."""
    if not build.KUBE.exists():
        return "the Kubernetes rig is not installed. Try: make rigs, then make sandbox again"
    if len(str(place.cluster.resolve())) > cluster.LONGEST:
        return f"{place.cluster} is too long for its sockets (allowed: {cluster.LONGEST} letters)"
    return ""


def start_cluster(place: Place) -> subprocess.Popen[bytes]:
    """Begin to start a cluster; `finish_cluster` waits for it."""
    with place.log("cluster").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.rigs.kubernetes", "up", place.cluster, "controllers"],
            cwd=ROOT,
            env={**_own(), **marked(place, "cluster")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish_cluster(place: Place, starting: subprocess.Popen[bytes]) -> None:
    """Wait until a cluster answers and knows the kinds that EKS and KubeRay bring."""
    if starting.wait():
        raise Failure(_not_started("the cluster", place.log("cluster")))
    place.cluster_ready.touch()


def _not_started(what: str, log: Path) -> str:
    """Say so with the last line of its log, which mostly tells why."""
    lines = log.read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"{what} does not start (all of it: {shown(log)})\n  {last}"


def cluster_runs(place: Place) -> bool:
    """Whether a cluster stands that was seen ready, and all of it still runs."""
    processes = Processes(place.cluster)
    return place.cluster_ready.exists() and all(processes.runs(name) for name in _OF_CLUSTER)


def _own() -> Mapping[str, str]:
    """Return this process's environment, without what would lead to another cloud."""
    foreign = ("AWS_", "PULUMI_", "SKY_", "MOTO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _until(done: Callable[[], bool], within_s: float) -> bool:
    limit = time.monotonic() + within_s
    while not done():
        if time.monotonic() > limit:
            return False
        time.sleep(0.1)
    return True


def _kill(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


def numbered(pids: Iterable[int]) -> str:
    """Return `pid 7` or `pids 7, 9`."""
    each = [str(pid) for pid in pids]
    return f"pid{'s' if len(each) > 1 else ''} {', '.join(each)}"
