"""What a node changes on this machine outside its folder, and how all of it is put back.

A bridge, cgroups, a few sysctls, network namespaces and mounts. Knows no Kubernetes object.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from tests.rigs.kubernetes.parts import Net
from tests.rigs.kubernetes.processes import Processes, wait

CGROUPS = Path("/sys/fs/cgroup")
SYSCTLS = (
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
)
"""What kubelet and CNI change."""


def make(folder: Path) -> Net:
    """Make the bridge and cgroups of a node, with the first number that nobody has."""
    before = {name: _sysctl(name).read_text().strip() for name in SYSCTLS}
    (folder / "sysctls.json").write_text(json.dumps(before))
    net = next(net for net in map(Net, range(250)) if _claim(net))
    _ip("addr", "add", f"{net.node}/24", "dev", net.name)
    _ip("link", "set", net.name, "up")
    for hierarchy in _hierarchies():
        ours = hierarchy / net.name
        ours.mkdir(exist_ok=True)
        if hierarchy.name == "cpuset":  # an empty one takes no process
            for file in ("cpuset.cpus", "cpuset.mems"):
                (ours / file).write_text((hierarchy / file).read_text())
    return net


def ctr(folder: Path, *words: str) -> str:
    """Call containerd's own client, in the namespace of the kubelet."""
    command = ["ctr", "--address", f"{folder}/ctd/c.sock", "-n", "k8s.io", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def clear(folder: Path, net: Net, processes: Processes) -> None:
    """End all containers and put this machine back as it was. Raises if a mount stays."""
    containers, networks = _end_containers(folder, processes)
    processes.end("containerd")
    _end_shims(folder)
    if not wait(lambda: not _unmount(folder), 5, 0.2):
        raise OSError(f"{folder}: mounts are left: {', '.join(_mounts(folder))}")
    for network in networks:
        subprocess.run(["ip", "netns", "del", network], check=False, capture_output=True)
    for container in containers:
        for result in Path("/var/lib/cni/results").glob(f"*-{container}-*"):
            result.unlink(missing_ok=True)
    for link in Path("/var/log/containers").glob("*"):
        if os.path.islink(link) and os.readlink(link).startswith(f"{folder}/"):
            link.unlink(missing_ok=True)
    _ip("link", "del", net.name)
    for hierarchy in _hierarchies():
        for group, _, _ in os.walk(hierarchy / net.name, topdown=False):
            try:
                os.rmdir(group)
            except OSError:
                pass  # what does not go holds a process that is about to end
    if not list(Path("/sys/class/net").glob("emsk*")):  # another node may need them yet
        for name, value in json.loads((folder / "sysctls.json").read_text()).items():
            _sysctl(name).write_text(value)


def _claim(net: Net) -> bool:
    made = subprocess.run(
        ["ip", "link", "add", net.name, "type", "bridge"], check=False, capture_output=True
    )
    if made.returncode and b"exists" not in made.stderr:
        raise OSError(f"a bridge can't be made: {made.stderr.decode().strip()}")
    return made.returncode == 0


def _end_containers(folder: Path, processes: Processes) -> tuple[list[str], set[str]]:
    """End containers, and return what they were and the network namespaces that they had."""
    if not processes.runs("containerd"):
        return [], set()
    containers = ctr(folder, "containers", "ls", "-q").split()
    networks = set[str]()
    for container in containers:
        described = json.loads(ctr(folder, "containers", "info", container))
        for one in described.get("Spec", {}).get("linux", {}).get("namespaces", []):
            if "/netns/" in one.get("path", ""):
                networks.add(Path(one["path"]).name)
    for task in ctr(folder, "tasks", "ls", "-q").split():
        _try(folder, "tasks", "rm", "-f", task)
    for container in containers:
        _try(folder, "containers", "rm", container)
    return containers, networks


def _try(folder: Path, *words: str) -> None:
    try:
        ctr(folder, *words)
    except subprocess.CalledProcessError:
        pass  # it went by itself


def _end_shims(folder: Path) -> None:
    """End what containerd leaves behind on purpose: one process for each pod."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"{folder}/ctd/c.sock".encode() in words and b"containerd-shim" in words[0]:
            children = " ".join(file.read_text() for file in process.glob("task/*/children"))
            for pid in (*children.split(), process.name):
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass


def _mounts(folder: Path) -> list[str]:
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [point for point in reversed(points) if point.startswith(f"{folder}/")]


def _unmount(folder: Path) -> list[str]:
    for point in _mounts(folder):
        subprocess.run(["umount", point], check=False, capture_output=True)
    return _mounts(folder)


def _hierarchies() -> list[Path]:
    """Return the cgroup hierarchies of version 1; or the one of version 2."""
    first = [one for one in CGROUPS.iterdir() if one.is_dir() and not one.is_symlink()]
    old = [one for one in first if (one / "cgroup.procs").exists() and _is_mount(one)]
    return [one for one in old if not (one / "cgroup.controllers").exists()] or [CGROUPS]


def _is_mount(folder: Path) -> bool:
    return os.path.ismount(folder)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name
