"""A Slurm cluster of three virtual nodes on this machine: munged, slurmctld and three slurmd.

    with Slurm(folder) as slurm:
        slurm.run("sbatch", "--parsable", stdin=b"#!/bin/sh\ntrue\n")

Partition `main` (the default) has two nodes of four CPUs and 8000 MB, `big` a third with two GPUs
and a limit of an hour, `wide` has all three, `spare` is preempted by `main` on its two nodes.
Memory limits are real, by cgroups. There is no accounting. All state is in one folder; ports and
node names are a cluster's own, so that two run side by side. Needs root. Knows nothing of EMS.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType

from tests.rigs import apt

PACKAGES = ("slurm-wlm", "munge", "environment-modules")
NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
CGROUPS = Path("/sys/fs/cgroup")
HIERARCHIES = ("memory", "freezer", "devices")
NODES = (1, 2, 3)

_CGROUP = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint={cgroups}
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainCores=no
ConstrainDevices=no
"""
_SLURM = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
GresTypes=gpu
MpiDefault=none
KillWait=2
MinJobAge={min_job_age}
SlurmdTimeout={node_timeout}
MessageTimeout=5
SlurmdParameters=config_overrides
DefMemPerCPU=500
NodeName=DEFAULT CPUs=4 RealMemory=8000 State=UNKNOWN
NodeName={node}1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]}
NodeName={node}2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]}
NodeName={node}3 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]} Gres=gpu:t4:2
PartitionName=main Nodes={node}[1-2] Default=YES MaxTime=INFINITE PriorityTier=10 State=UP
PartitionName=big Nodes={node}3 MaxTime=1:00:00 State=UP
PartitionName=wide Nodes={node}[1-3] PriorityTier=10 State=UP
PartitionName=spare Nodes={node}[1-2] PriorityTier=1 GraceTime=5 State=UP
"""
_GRES = """\
NodeName={node}3 Name=gpu Type=t4 File=/dev/zero
NodeName={node}3 Name=gpu Type=t4 File=/dev/full
"""
"""Two devices that every machine has stand for GPUs: Slurm counts them and hands them out."""


@cache
def missing() -> str:
    """Say what is missing, or nothing."""
    if os.geteuid() != 0:
        return "slurmd needs root"
    lacking = [name for name in NEEDED if not shutil.which(name)]
    if lacking:
        return f"no {', '.join(lacking)}"
    if not Path("/etc/profile.d/modules.sh").exists():
        return "no environment-modules"
    absent = [name for name in HIERARCHIES if not (CGROUPS / name).is_dir()]
    return f"no cgroup (v1) {', '.join(absent)}" if absent else ""


def install() -> None:
    """Install it by apt."""
    apt.install(PACKAGES)
    missing.cache_clear()


_LONGEST = 64
"""Characters of the folder: a socket's path has 107 at most, and a step's adds some forty."""


class Slurm:
    """The cluster, up within the block; `node_timeout` is after how long a silent node is down."""

    def __init__(self, folder: Path, node_timeout: int = 60, min_job_age: int = 300) -> None:
        if len(str(folder)) > _LONGEST:
            raise ValueError(f"{folder} is too long: steps have sockets below it")
        self.folder = folder
        self.node = f"x{secrets.token_hex(3)}n"
        self.conf = folder / "slurm.conf"
        self.variables = {**os.environ, "SLURM_CONF": str(self.conf)}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._settings = {"node_timeout": node_timeout, "min_job_age": min_job_age}

    def __enter__(self) -> Slurm:
        try:
            self._write()
            self._start(
                "munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key",
                f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid",
                f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed",
            )  # fmt: skip
            self._until((self.folder / "munge.socket").exists, "munged")
            self.start_controller()
            for number in NODES:
                self.start_node(number)
            self._until(lambda: self.states() == {"idle"}, "three idle nodes")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def up(self) -> bool:
        """Whether its controller runs."""
        return "slurmctld" in self._daemons

    # -- asking it --------------------------------------------------------------------------------

    def run(self, *words: str, stdin: bytes = b"", check: bool = True) -> str:
        """Run one of Slurm's commands and return what it wrote."""
        done = subprocess.run(
            words, input=stdin, env=self.variables, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False, timeout=60,
        )  # fmt: skip
        text = done.stdout.decode()
        if check and done.returncode:
            raise OSError(f"{' '.join(words)}: {done.returncode}\n{text}")
        return text

    def states(self) -> set[str]:
        """Return the states that nodes are in."""
        return set(self.run("sinfo", "-h", "-N", "-o", "%t", check=False).split())

    # -- what fails -------------------------------------------------------------------------------

    def start_controller(self) -> None:
        """Start slurmctld, with the state that an earlier one left."""
        self._start("slurmctld", "-D")

    def stop_controller(self) -> None:
        """Kill slurmctld."""
        self._kill("slurmctld")

    def start_node(self, number: int) -> None:
        """Start the slurmd of node 1, 2 or 3."""
        self._start("slurmd", "-D", "-N", f"{self.node}{number}", name=f"slurmd{number}")

    def break_node(self, number: int) -> None:
        """Kill a node's slurmd and all that runs on it, as a power cut does."""
        self._kill(f"slurmd{number}")
        for pid in set(self._jobs_processes(f"{self.node}{number}")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # -- starting and ending ----------------------------------------------------------------------

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for name in ("state", *(f"spool/{self.node}{number}" for number in NODES)):
            (self.folder / name).mkdir(parents=True)
        host = socket.gethostname().split(".")[0]
        names = {"folder": self.folder, "name": self.node, "node": self.node, "host": host}
        text = _SLURM.format(**names, ports=_free_ports(1 + len(NODES)), **self._settings)
        self.conf.write_text(text)
        (self.folder / "cgroup.conf").write_text(_CGROUP.format(cgroups=CGROUPS))
        (self.folder / "gres.conf").write_text(_GRES.format(node=self.node))
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(1024))

    def _start(self, *words: str, name: str = "") -> None:
        name = name or words[0]
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                words, env=self.variables, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def _kill(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def _until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 15
        while not true():
            if time.monotonic() > deadline:
                raise OSError(f"{what} did not come: {self._last_words()}")
            time.sleep(0.02)

    def _last_words(self) -> str:
        texts = (path.read_text(errors="replace") for path in self.folder.glob("*.out"))
        return "\n".join(text[-1000:] for text in texts)

    def _end(self) -> None:
        for name in list(self._daemons):
            self._kill(name)
        for number in NODES:
            self._end_node(f"{self.node}{number}")

    def _end_node(self, node: str) -> None:
        """End what runs in a node's cgroups, and remove them."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            pids = set(self._jobs_processes(node))
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not pids and self._remove_cgroups(node):
                return
            time.sleep(0.02)

    @staticmethod
    def _jobs_processes(node: str) -> Iterator[int]:
        for hierarchy in HIERARCHIES:
            for path in (CGROUPS / hierarchy / f"slurm_{node}").rglob("cgroup.procs"):
                with suppress(OSError):
                    yield from map(int, path.read_text().split())

    @staticmethod
    def _remove_cgroups(node: str) -> bool:
        for hierarchy in HIERARCHIES:
            root = CGROUPS / hierarchy / f"slurm_{node}"
            folders = sorted((f for f in root.rglob("*") if f.is_dir()), reverse=True)
            try:
                for folder in (*folders, root):
                    if folder.exists():
                        folder.rmdir()
            except OSError:
                return False
        return True


def _free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
