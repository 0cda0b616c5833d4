"""A real Ray cluster of two nodes, each in a network namespace of its own, on this machine.

The head has two CPUs; the worker has two as well and two of the custom resource `rollout`. The
dashboard answers on a port of 127.0.0.1 that is this cluster's own. Nothing of a cluster outlives
its block, and several may run side by side. Needs root on Linux, and `ray[default]`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.rigs import apt
from tests.rigs.namespaces import Machine, Machines

PORT, DASHBOARD = 6379, 8265
HEAD, WORKER = "10.81.0.1", "10.81.0.2"
_CABLE = ("10.81.1.1", "10.81.1.2")
_LIMITS = ("--num-cpus=2", "--memory=2000000000", "--object-store-memory=80000000")
# A dead node is noticed within four seconds instead of a minute.
_WATCHFUL = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "3000",
}
# Passes what comes to a socket of this machine on into the namespace that it runs in.
_RELAY = """
import socket, sys, threading
listening = socket.socket(fileno=int(sys.argv[1]))
def pump(one, two):
    try:
        while data := one.recv(65536):
            two.sendall(data)
        two.shutdown(socket.SHUT_WR)
    except OSError:
        one.close(), two.close()
def serve(outer):
    try:
        inner = socket.create_connection(("127.0.0.1", int(sys.argv[2])), 10)
    except OSError:
        return outer.close()
    threading.Thread(target=pump, args=(outer, inner), daemon=True).start()
    pump(inner, outer)
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"""


def missing() -> str:
    """Say what is missing, or nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    lacking = [word for word in ("unshare", "nsenter", "ip") if not shutil.which(word)]
    if lacking:
        return f"no {' and no '.join(lacking)} on the PATH"
    if any(importlib.util.find_spec(name) is None for name in ("ray", "aiohttp_cors")):
        return "no ray[default] in this Python"
    return ""


def install() -> None:
    """Install Ray into this Python, and what makes namespaces."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    constraints = Path(__file__).resolve().parents[2] / "constraints.txt"
    subprocess.run([*pip, "-c", str(constraints), "ray[default]"], check=True)
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        apt.install(["util-linux", "iproute2"])


@dataclass
class Cluster:
    """A running cluster: where it answers, its token, and its machines.

    `relay` is the process by which this machine reaches the dashboard.
    """

    url: str
    token: str
    head: Machine
    worker: Machine
    relay: int
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def ask(self, path: str) -> object:
        """Return what the dashboard answers."""
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {self.token}"}
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=5) as answer:
            return json.load(answer)

    def alive(self) -> int:
        """Return how many nodes the cluster believes in."""
        answer = json.dumps(self.ask("/api/v0/nodes?limit=100"))
        return answer.count('"ALIVE"')

    def start_worker(self) -> None:
        """Start Ray on the worker."""
        words = ("start", f"--address={HEAD}:{PORT}", f"--node-ip-address={WORKER}", *_LIMITS)
        self.ray(self.worker, *words, '--resources={"rollout": 2}')

    def ray(self, machine: Machine, *words: str) -> None:
        """Run Ray's command on a machine."""
        ray = str(Path(sys.executable).with_name("ray"))
        settings = [f"{name}={value}" for name, value in self.variables.items()]
        machine.run("env", "-u", "RAY_ADDRESS", *settings, ray, *words, timeout_s=120)

    def processes(self, machine: Machine, text: str) -> list[int]:
        """Return a machine's processes whose words hold `text`, by the ids they have there."""
        found = machine.run("ps", "-eww", "-o", "pid,args", "--no-headers")
        lines = [line.split(None, 1) for line in found.splitlines()]
        return [int(pid) for pid, words in lines if text in words and "ps -eww" not in words]

    def kill(self, machine: Machine, text: str) -> int:
        """Kill -9 those processes; return how many there were."""
        found = self.processes(machine, text)
        for pid in found:
            machine.run("kill", "-9", str(pid), check=False)
        return len(found)


@contextlib.contextmanager
def cluster(folder: Path, worker: bool = True) -> Iterator[Cluster]:
    """Run a cluster whose machines log to `folder`; without the worker it is there, but not Ray."""
    with Machines(folder) as machines, socket.socket() as listening:
        head, second = machines.make("head"), machines.make("worker")
        _join(machines, head, second)
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        url = "http://{}:{}".format(*listening.getsockname())
        token = secrets.token_hex(24)
        relay = _relay(head, listening)
        made = Cluster(url, token, head, second, relay.pid, _variables(token))
        try:
            made.ray(
                head, "start", "--head", f"--port={PORT}", f"--node-ip-address={HEAD}", *_LIMITS,
                "--dashboard-host=127.0.0.1", f"--dashboard-port={DASHBOARD}",
                "--temp-dir=/run/ray", "--disable-usage-stats",
            )  # fmt: skip
            if worker:
                made.start_worker()
                _until(lambda: made.alive() == 2)
            yield made
        finally:
            relay.kill()
            relay.wait()


def _variables(token: str) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": "/run/ray",
        "EMS_TEST_SECRET": "of the node",
        **_WATCHFUL,
    }


def _join(machines: Machines, head: Machine, worker: Machine) -> None:
    """Join the machines; a node's own address stays when the other, and the cable with it, goes."""
    machines.link(head, worker, (f"{_CABLE[0]}/30", f"{_CABLE[1]}/30"))
    for machine, own, other, gateway in (
        (head, HEAD, WORKER, _CABLE[1]),
        (worker, WORKER, HEAD, _CABLE[0]),
    ):
        machine.run("ip", "address", "add", f"{own}/32", "dev", "lo")
        machine.run("ip", "route", "add", other, "via", gateway, "src", own)


def _relay(head: Machine, listening: socket.socket) -> subprocess.Popen[bytes]:
    words = ["nsenter", "-t", str(head.first), "-n", "--", sys.executable, "-c", _RELAY]
    number = listening.fileno()
    return subprocess.Popen(
        [*words, str(number), str(DASHBOARD)], pass_fds=(number,), stdin=subprocess.DEVNULL
    )


def _until(true: object, timeout_s: float = 30.0) -> None:
    assert callable(true)
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster did not come up")
        time.sleep(0.1)
