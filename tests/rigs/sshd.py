"""A host to log in to: OpenSSH's real server on a machine of its own, at the end of a cable.

The server runs in a network namespace (port 22, its own processes), the client here: what it sends
goes through a second namespace and the cable between the two, which a test can cut. Knows OpenSSH
and namespaces. Knows nothing of EMS.

    python tests/rigs/sshd.py relay ADDRESS      stdin and stdout ↔ port 22 (ssh's ProxyCommand)
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

MODULES = Path("/usr/share/modules/init/sh")
"""Debian's environment-modules: the clusters' `module load`."""
PACKAGES = ("openssh-server", "openssh-client", "iproute2", "iptables", "util-linux")
SERVER = "/usr/sbin/sshd"
NEEDED = (SERVER, "ssh", "ssh-keygen", "ip", "iptables", "nsenter", "unshare")
ADDRESSES = ("10.90.0.1", "10.90.0.2")
_CONFIG = """
Port 22
ListenAddress 0.0.0.0
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PrintMotd no
MaxStartups 100
SetEnv HOME={home}
"""


@cache
def missing() -> str:
    """Say what is missing, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    lacking = [Path(name).name for name in NEEDED if not shutil.which(name)]
    return f"no {', '.join(lacking)}" if lacking else ""


def install() -> None:
    """Install it by apt. With systemd the machine's own server starts at once."""
    from tests.rigs import apt

    apt.install(PACKAGES)
    missing.cache_clear()


def missing_modules() -> str:
    """Say whether `module` is missing."""
    return "" if MODULES.exists() else f"no {MODULES} (environment-modules)"


def install_modules() -> None:
    """Install it by apt."""
    from tests.rigs import apt

    apt.install(["environment-modules"])


class Host:
    """A server, the cable to it, and how a client gets there; leaving the block ends all of it.

    `home` is the home of whoever logs in; the user is the one who runs the tests.
    """

    def __init__(self, folder: Path) -> None:
        from tests.rigs.namespaces import Machines

        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        self.home.mkdir()
        self.machines = Machines(folder)
        for name in ("host_key", "key"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(words, check=True)
        shutil.copy(folder / "key.pub", folder / "authorized")
        public = (folder / "host_key.pub").read_text().split()
        (folder / "known").write_text(f"robot {public[0]} {public[1]}\n")
        (folder / "sshd_config").write_text(_CONFIG.format(folder=folder, home=self.home))
        self._turn_on()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.machines.__exit__(None, None, None)

    name = "robot"

    @property
    def options(self) -> list[str]:
        """Words for `ssh -o` that lead here, for the host called `name`."""
        relay = f"{sys.executable} -I {__file__} relay {ADDRESSES[0]}"
        return [
            f"ProxyCommand=nsenter -t $(cat {self.folder}/near.pid) -n -- {relay}",
            f"IdentityFile={self.folder}/key",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={self.folder}/known",
            "GlobalKnownHostsFile=/dev/null",
        ]

    def _turn_on(self) -> None:
        self.host, self.near = self.machines.make("host"), self.machines.make("near")
        there, here = (f"{address}/24" for address in ADDRESSES)
        _, self._end = self.machines.link(self.host, self.near, (there, here))
        (self.folder / "near.pid").write_text(str(self.near.first))
        self.host.run("mkdir", "-p", "/run/sshd")
        self.host.start(SERVER, "-D", "-e", "-f", str(self.folder / "sshd_config"))
        pid, until = self.folder / "sshd.pid", time.monotonic() + 10
        while not pid.exists():
            assert time.monotonic() < until, self.host.log.read_text()
            time.sleep(0.01)

    def cut(self) -> None:
        """Cut the cable: what is sent is lost without a word."""
        self.near.run("ip", "link", "set", self._end, "down")

    def mend(self) -> None:
        """Join it again."""
        self.near.run("ip", "link", "set", self._end, "up")

    def lose(self, share: float) -> None:
        """Lose so much of what goes over the cable from now on, in either direction."""
        for chain, option in (("INPUT", "-i"), ("OUTPUT", "-o")):
            match = ("-m", "statistic", "--mode", "random", "--probability", str(share))
            self.near.run("iptables", "-A", chain, option, self._end, *match, "-j", "DROP")

    def kill_sessions(self) -> int:
        """Kill the server's processes for all connections; return how many there were."""
        children = self.host.sh(
            f"p=$(cat {self.folder}/sshd.pid); cat /proc/$p/task/$p/children"
        ).split()
        if children:
            self.host.run("kill", "-9", *children)
        return len(children)

    def restart(self) -> None:
        """Turn the host off and on: nothing of what ran there is left, its disk is."""
        self.machines.__exit__(None, None, None)
        self.machines.all.clear()
        (self.folder / "sshd.pid").unlink(missing_ok=True)
        self._turn_on()


def relay(address: str) -> None:
    """Carry bytes between the standard streams and a server until either side ends."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    with socket.create_connection((address, 22)) as line:
        while True:
            for each in select.select([0, line], [], [])[0]:
                block = os.read(0, 65536) if each == 0 else line.recv(65536)
                if not block:
                    return
                if each == 0:
                    line.sendall(block)
                else:
                    _write_all(block)


def _write_all(block: bytes) -> None:
    while block:
        block = block[os.write(1, block) :]


if __name__ == "__main__":
    relay(sys.argv[2])
