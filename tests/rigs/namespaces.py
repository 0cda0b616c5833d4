"""Network namespaces of a test's own: machines joined by links, on this machine.

A namespace lives as long as the process that holds it, has no name, and takes its processes with
it; so tests may run side by side and nothing stays behind. Each has its own mounts too, with a
private /run, and may have a private layer over /etc. Needs root on Linux. Knows nothing of what
runs inside.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType


class Failed(Exception):
    """A command inside a namespace failed; the text says which, and what it wrote."""


@dataclass
class Machine:
    """A namespace, by the process that holds it."""

    name: str
    holder: subprocess.Popen[bytes]
    first: int
    """The namespace's first process."""
    log: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def inside(self, words: Sequence[str]) -> list[str]:
        """Return a command as run in this namespace."""
        return ["nsenter", "-t", str(self.first), "-m", "-n", "-p", "--", *words]

    def run(self, *words: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run a command to its end and return what it wrote."""
        done = subprocess.run(
            self.inside(words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            raise Failed(f"{self.name}: {' '.join(words)}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def sh(self, script: str, check: bool = True) -> str:
        """Run a shell script."""
        return self.run("sh", "-euc", script, check=check)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on; what it writes goes to the machine's log."""
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.inside(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.children.append(child)
        return child

    def stop(self, started: subprocess.Popen[bytes]) -> None:
        """Ask a command that goes on to end, and wait until it has."""
        # nsenter forks to get into the namespace; what it started does not end with it.
        below = Path(f"/proc/{started.pid}/task/{started.pid}/children")
        for child in below.read_text().split():
            os.kill(int(child), signal.SIGTERM)
        started.wait(10)

    def end(self) -> None:
        """End the holder, and with it the namespace's first process, and with that all others."""
        self.holder.kill()
        self.holder.wait()
        if self.holder.stdout:
            self.holder.stdout.close()
        for child in self.children:
            child.wait()


class Machines:
    """The machines of a test; leaving the block ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: dict[str, Machine] = {}

    def __enter__(self) -> Machines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for machine in self.all.values():
            machine.end()

    def make(self, name: str, forward: bool = False, own_etc: bool = False) -> Machine:
        """Make a machine with nothing but loopback."""
        etc = _overlay(self.folder / f"{name}-etc") if own_etc else ""
        script = (
            f"mount -t proc proc /proc; mount -t tmpfs tmpfs /run; {etc}"
            "echo ready; exec sleep infinity >/dev/null"
        )
        words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
        words += ["--propagation", "private", "--", "sh", "-euc", script]
        holder = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert holder.stdout
        if not holder.stdout.readline():
            raise Failed(f"{name}: no namespace (exit {holder.wait()})")
        first = int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text())
        machine = Machine(name, holder, first, self.folder / f"{name}.log")
        self.all[name] = machine
        machine.run("ip", "link", "set", "lo", "up")
        if forward:
            machine.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        return machine

    def link(self, one: Machine, two: Machine, addresses: tuple[str, str]) -> tuple[str, str]:
        """Join two machines by a cable; return the names of its ends, which say where they lead."""
        ends = (f"to-{two.name}", f"to-{one.name}")
        self.cable(one, ends[0], two, ends[1])
        for machine, end, address in zip((one, two), ends, addresses, strict=True):
            machine.run("ip", "address", "add", address, "dev", end)
        return ends

    def cable(self, one: Machine, end_one: str, two: Machine, end_two: str) -> None:
        """Join two machines by a cable whose ends have these names, and no addresses."""
        words = ["ip", "link", "add", end_one, "netns", str(one.holder.pid), "type", "veth"]
        words += ["peer", "name", end_two, "netns", str(two.holder.pid)]
        subprocess.run(words, check=True, capture_output=True)
        for machine, end in ((one, end_one), (two, end_two)):
            machine.run("ip", "link", "set", end, "up")


def _overlay(folder: Path) -> str:
    """Return the words that put a private layer over /etc."""
    for part in ("upper", "work"):
        (folder / part).mkdir(parents=True)
    options = f"lowerdir=/etc,upperdir={folder}/upper,workdir={folder}/work"
    return f"mount -t overlay overlay -o {options} /etc; "
