"""A cluster: started in a folder, used, ended. What runs in it is in `parts.py` and `node.py`."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from tests.rigs.kubernetes import images, node, parts, pki
from tests.rigs.kubernetes.build import KUBE
from tests.rigs.kubernetes.client import Api, ApiError
from tests.rigs.kubernetes.processes import Processes, wait

Upto = Literal["api", "controllers", "node"]
"""How much of a cluster: the API alone, with what acts on its objects, or with a node for pods."""
LONGEST = 60
"""Characters of the folder's path: a socket's path can't be longer than 108."""
DEFINITIONS = Path(__file__).parent / "definitions"


class Cluster:
    """A cluster in a folder. Its processes outlive this object; `stop` ends them.

    As a context manager it ends with the block.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder of a cluster that was started."""
        self.folder = folder.resolve()
        self.kubeconfig = self.folder / "kubeconfig"
        self.processes = Processes(self.folder)
        self.api = Api(self.kubeconfig.read_text())

    @classmethod
    def start(cls, folder: Path, upto: Upto = "node", within_s: float = 60) -> Cluster:
        """Start a cluster in a new folder and return when it answers."""
        if len(str(folder.resolve())) > LONGEST:
            raise ValueError(f"{folder}: too long for a socket in it (at most {LONGEST})")
        folder = folder.resolve()
        (folder / "pki").mkdir(parents=True)
        net = node.make(folder) if upto == "node" else None
        ports = _ports()
        settled = {"upto": upto, "net": net and net.number, "ports": asdict(ports)}
        (folder / "cluster.json").write_text(json.dumps(settled))
        _certificates(folder, ports, net)
        processes = Processes(folder)
        cluster = cls(folder)
        try:
            cluster._bring_up(processes, ports, net, within_s)
        except BaseException:
            cluster.stop(keep=True)
            raise
        return cluster

    @property
    def upto(self) -> Upto:
        """How much of a cluster this is."""
        return self._settled()["upto"]

    def ctl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints."""
        done = subprocess.run(
            [KUBE, "ctl", f"--kubeconfig={self.kubeconfig}", *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def define(self) -> None:
        """Install the kinds that a cluster of EKS with Ray has, and wait until they can be used."""
        self.ctl("create", *(f"--filename={file}" for file in sorted(DEFINITIONS.glob("*.yaml"))))
        self.ctl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")

    def load(self, archive: Path) -> None:
        """Give the node an image (`images.busybox`); pods name it with `imagePullPolicy: Never`."""
        node.ctr(self.folder, "images", "import", str(archive))

    def stop(self, *, keep: bool = False) -> None:
        """End all of its processes and pods, and remove the folder unless it shall be kept."""
        settled = self._settled()
        for name in ("kubelet", "scheduler", "controllers", "apiserver", "etcd"):
            self.processes.end(name, signal.SIGKILL)  # what they know goes with the folder
        if settled["net"] is not None:
            node.clear(self.folder, parts.Net(settled["net"]), self.processes)
        if not keep:
            shutil.rmtree(self.folder)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _bring_up(
        self, processes: Processes, ports: parts.Ports, net: parts.Net | None, within_s: float
    ) -> None:
        folder, end = self.folder, time.monotonic() + within_s
        processes.start("etcd", parts.etcd(folder, ports))
        processes.start("apiserver", parts.apiserver(folder, ports, net))
        if net:
            self._containerd(net, end)
        self._until(self._answers, "apiserver", end)
        if self.upto != "api":
            processes.start("controllers", parts.controllers(folder))
            self._until(self._has_account, "controllers", end)
        if net:
            processes.start("scheduler", parts.scheduler(folder))
            processes.start("kubelet", parts.kubelet(folder, net))
            self._until(self._node_ready, "kubelet", end)

    def _containerd(self, net: parts.Net, end: float) -> None:
        folder = self.folder
        for made in ("ctd", "cni", "kubelet", "plugins", "podlogs"):
            (folder / made).mkdir(exist_ok=True)
        (folder / "cni/pods.conflist").write_text(parts.pod_network(folder, net))
        (folder / "containerd.toml").write_text(parts.containerd_config(folder))
        config = parts.kubelet_config(folder, parts.Ports(**self._settled()["ports"]), net)
        (folder / "kubelet.json").write_text(config)
        self.processes.start("containerd", ["containerd", "-c", folder / "containerd.toml"])
        pause = images.busybox(folder / "pause.tar", parts.PAUSE, ["sleep", "2147483647"])
        self._until(lambda: bool(node.ctr(folder, "version")), "containerd", end)
        self.load(pause)

    def _until(self, done: Callable[[], bool], part: str, end: float) -> None:
        def settled() -> bool:
            if not self.processes.runs(part):
                raise RuntimeError(f"{part} ended:\n{self.processes.tail(part)}")
            try:
                return done()
            except (OSError, ApiError, subprocess.CalledProcessError):
                return False

        if not wait(settled, end - time.monotonic()):
            raise TimeoutError(f"{part} is not ready:\n{self.processes.tail(part)}")

    def _answers(self) -> bool:
        return self.api.request("GET", "/readyz") == "ok"

    def _has_account(self) -> bool:
        return self.api.get("v1", "ServiceAccount", "default", "default") is not None

    def _node_ready(self) -> bool:
        one = self.api.get("v1", "Node", parts.NODE)
        if one is None or one["spec"].get("taints"):
            return False
        conditions = {each["type"]: each["status"] for each in one["status"]["conditions"]}
        health = f"/api/v1/nodes/{parts.NODE}/proxy/healthz"
        return conditions.get("Ready") == "True" and self.api.request("GET", health) == "ok"

    def _settled(self) -> dict[str, Any]:
        return json.loads((self.folder / "cluster.json").read_text())


def _ports() -> parts.Ports:
    """Return ports that are free, held open together so that no two are the same."""
    held = [socket.socket() for _ in range(4)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return parts.Ports(*(one.getsockname()[1] for one in held))
    finally:
        for one in held:
            one.close()


def _certificates(folder: Path, ports: parts.Ports, net: parts.Net | None) -> None:
    keys = folder / "pki"
    authority = pki.Authority(keys)
    authority.server("apiserver", ["127.0.0.1"], ["localhost", "kubernetes.default.svc"])
    authority.client("admin", "admin", ["system:masters"])
    authority.client("apiserver-kubelet", "apiserver-kubelet", ["system:masters"])
    server = f"https://127.0.0.1:{ports.api}"
    if net:
        authority.server("kubelet-server", [net.node], [parts.NODE])
        authority.client("kubelet", f"system:node:{parts.NODE}", ["system:nodes"])
        kubelet = folder / "kubelet.kubeconfig"
        kubelet.write_text(pki.kubeconfig(keys, "kubelet", server))
    admin = folder / "kubeconfig"
    admin.write_text(pki.kubeconfig(keys, "admin", server))
    admin.chmod(0o600)


def main(words: list[str]) -> int:
    """`up FOLDER [api|controllers|node]` or `down FOLDER`: a cluster beyond one process."""
    match words:
        case ["up", folder, *rest] if not rest or rest[0] in get_args(Upto):
            upto: Upto = rest[0] if rest else "node"  # pyright: ignore[reportAssignmentType]
            cluster = Cluster.start(Path(folder), upto)
            cluster.define()
            print(cluster.kubeconfig)
        case ["down", folder]:
            Cluster(Path(folder)).stop()
        case _:
            print(main.__doc__)
            return 2
    return 0
