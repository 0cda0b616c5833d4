"""One node of a Ray cluster: started by the environment's own `ray` program, ended by process id.

`ray stop` is never used: it ends every Ray of this machine. Linux only: what Ray detaches becomes
a child of this process, and none gets away. Knows processes and ports. Does not know gangs.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import tempfile
import time

from .meeting import reserve
from .settle import adopt_orphans
from .usage import kill_descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

_PATIENCE_S = 2.0
"""Between SIGTERM and SIGKILL, once all is over: some of Ray's processes stay all the same."""
_VITAL = ("raylet", "gcs_server")
_PORTS = (
    "node-manager-port", "object-manager-port", "runtime-env-agent-port",
    "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port",
)  # fmt: skip
"""All that Ray listens on: left to itself, some would be the same for all nodes of a machine."""
_DASHBOARD = "8265"
HEAD_ONLY = frozenset(
    ["include-dashboard", "dashboard-host", "dashboard-port", "ray-client-server-port"]
)


class Broken(Exception):
    """A node that did not start, or that is gone."""


class Children:
    """The processes of this one, and how each ended; also of those that lost their parent."""

    def __init__(self) -> None:
        self._ended: Dict[int, int] = {}
        if not adopt_orphans():
            raise Broken("Ray in a gang needs Linux")

    def start(self, words: List[str], variables: Dict[str, str], output: Optional[str]) -> int:
        """Start a program in a process group of its own; return its id."""
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        if output is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            actions.append((os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600))
            actions.append((os.POSIX_SPAWN_DUP2, 1, 2))  # type: ignore[arg-type]
        ignored_by_python = [signal.SIGPIPE, signal.SIGXFSZ]
        try:
            return os.posix_spawnp(
                words[0], words, variables, file_actions=actions, setpgroup=0,
                setsigdef=ignored_by_python,
            )  # fmt: skip
        except OSError as error:
            raise Broken("%s: %s" % (words[0], error.strerror)) from None

    def ended(self, pid: int) -> Optional[int]:
        """Return how a process ended: its exit code, minus its signal, or None."""
        self._reap()
        return self._ended.get(pid)

    def _reap(self) -> bool:
        """Take note of those that ended; return whether any is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                self._ended[pid] = code
        except ChildProcessError:
            return False

    def named(self, names: Any) -> Dict[int, str]:
        """Return the children of this process that go by these names."""
        found: Dict[int, str] = {}
        with open("/proc/self/task/%d/children" % os.getpid()) as stream:
            pids = stream.read().split()
        for pid in pids:
            try:
                with open("/proc/%s/comm" % pid) as stream:
                    name = stream.read().strip()
            except OSError:
                continue
            if name in names:
                found[int(pid)] = name
        return found

    def end_all(self, patience_s: float) -> None:
        """Kill all that is left below this process, after the patience; not who is spared."""
        deadline = time.monotonic() + patience_s
        while self._reap():
            late = time.monotonic() > deadline
            if late and not kill_descendants(os.getpid(), signal.SIGKILL):
                return  # those that are left look after jobs of their own
            time.sleep(0.05)


class Node:
    """Ray on this machine; `variables` are what all of its processes find around them."""

    def __init__(self, children: Children, variables: Dict[str, str]) -> None:
        self._children, self._variables = children, variables
        self._vital: Dict[int, str] = {}
        # sockets lie below it, and a path of theirs has 107 characters at most
        short = variables.get("RAY_TMPDIR") or "/tmp"  # noqa: S108 - the folder is the user's alone
        self._folder = tempfile.mkdtemp(prefix="ems-ray-", dir=short)

    def start(
        self, fixed: Dict[str, str], given: Dict[str, str], stopped: Callable[[], bool]
    ) -> bool:
        """Start Ray and return once its node has joined; False where `stopped()` came first.

        `fixed` are options that nobody changes, `given` go before what is chosen here.
        """
        flags = ["--head"] if "port" in fixed else []
        options = {**_chosen(self._folder), **given, **fixed}
        options.update(_workers_ports(options))
        words = [_ray(), "start", *flags, *("--%s=%s" % each for each in options.items())]
        said = os.path.join(self._folder, "start")
        pid = self._children.start(words, self._variables, said)
        code = None
        while code is None:
            code = self._children.ended(pid)
            if stopped():
                return False
            time.sleep(0.05)
        if code != 0:
            raise Broken("ray start ended with %d: %s" % (code, _last_lines(said)))
        self._vital = self._children.named(_VITAL)
        return True

    def broken(self) -> str:
        """Return what of this node has ended by itself, or ""."""
        for pid, name in self._vital.items():
            code = self._children.ended(pid)
            if code is not None:
                return "Ray's %s ended by itself (%d)" % (name, code)
        return ""

    def end(self) -> None:
        """End Ray here, and all else below this process."""
        kill_descendants(os.getpid(), signal.SIGTERM)
        self._children.end_all(_PATIENCE_S)
        shutil.rmtree(self._folder, ignore_errors=True)


def free_ports(count: int) -> List[int]:
    """Return ports that nobody has; all of EMS_PORTS where a firewall lets only those through."""
    held = [reserve(os.environ.get("EMS_PORTS", "")) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports


def _chosen(folder: str) -> Dict[str, str]:
    """Return the options of any node: ports of its own, and the CPUs that its job asked for."""
    ports = free_ports(len(_PORTS))
    made = {name: str(port) for name, port in zip(_PORTS, ports)}
    made["temp-dir"] = folder
    made["num-cpus"] = str(_cpus())
    return made


def _cpus() -> int:
    """Return the CPUs that the role asks for; the machine may have more that belong to others."""
    # the second is from an EMS that did not tell the first: a job may set it to something else
    for name in ("EMS_CPUS", "OMP_NUM_THREADS"):
        try:
            return max(1, math.ceil(float(os.environ[name])))
        except (KeyError, ValueError, OverflowError):
            continue
    return len(os.sched_getaffinity(0))


def _workers_ports(options: Dict[str, str]) -> Dict[str, str]:
    """Return the option for the ports of Ray's workers: any, or what EMS_PORTS leaves for them."""
    if any("worker-port" in name for name in options):
        return {}
    allowed = os.environ.get("EMS_PORTS", "")
    if not allowed:
        return {"min-worker-port": "0", "max-worker-port": "0"}
    first, _, last = allowed.partition("-")
    taken = set(options.values()) | {_DASHBOARD}
    ports = map(str, range(int(first), int(last or first) + 1))
    return {"worker-port-list": ",".join(each for each in ports if each not in taken)}


def _ray() -> str:
    beside = os.path.join(os.path.dirname(sys.executable), "ray")
    found = shutil.which("ray") or (beside if os.access(beside, os.X_OK) else "")
    if not found:
        raise Broken("there is no program `ray` here: the job's environment needs ray[default]")
    return found


def _last_lines(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        lines = [line.strip() for line in stream if line.strip()]
    return " | ".join(lines[-6:])
