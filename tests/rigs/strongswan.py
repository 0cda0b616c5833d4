"""A gateway's real programs, in namespaces: strongSwan with ESP in user space, and FRR's BGP.

Debian's own configuration is used, in a private layer over /etc, so that a test can install files
as a person would. Knows how the daemons start and are asked. Knows nothing of AWS, nor of what the
files say.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.rigs import apt
from tests.rigs.namespaces import Machine

PACKAGES = (
    "strongswan-charon",
    "libcharon-extra-plugins",
    "libstrongswan-standard-plugins",
    "strongswan-swanctl",
    "frr",
    "nftables",
    "iproute2",
    "iputils-ping",
    "tcpdump",
)
CHARON = "/usr/lib/ipsec/charon"
FRR = Path("/usr/lib/frr")
"""FRR's daemons are not on the PATH."""
NEEDED = (CHARON, f"{FRR}/bgpd", "swanctl", "vtysh", "nft", "ip", "ping", "tcpdump", "nsenter")
PLUGINS = Path("/usr/lib/ipsec/plugins")
NEEDED_PLUGINS = ("openssl", "gcm", "kernel-libipsec", "vici", "updown")
USER_SPACE_ESP = r"kernel-libipsec {\n load = 10\n}\n"
"""Small machines' kernels have no ESP, so charon does it over a TUN device. The number says that
this plugin is loaded before the one that would ask the kernel."""
LOGGING = r"charon {\n filelog {\n stderr {\n default = 1\n time_format = %%T\n} } }\n"
"""To the machine's log, `<name>.log` in the test's folder."""


@cache
def missing() -> str:
    """Say what is missing, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces with strongSwan need root"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun"
    lacking = [name for name in NEEDED if not shutil.which(name)]
    lacking += [p for p in NEEDED_PLUGINS if not (PLUGINS / f"libstrongswan-{p}.so").exists()]
    return f"no {', '.join(Path(name).name for name in lacking)}" if lacking else ""


def install() -> None:
    """Install it by apt. With systemd the services start at once."""
    apt.install(PACKAGES)
    missing.cache_clear()


def start_charon(machine: Machine) -> None:
    """Start charon on a machine with an /etc of its own, and wait until it can be asked."""
    plugin = "/etc/strongswan.d/charon/kernel-libipsec.conf"
    machine.sh(f"printf '{USER_SPACE_ESP}' > {plugin}")
    machine.sh(f"printf '{LOGGING}' > /etc/strongswan.d/logging.conf")
    machine.start(CHARON)
    until(lambda: _answers(machine), 10, "charon")


def load(machine: Machine) -> str:
    """Load connections and keys from /etc/swanctl; Failed if one is refused."""
    return machine.run("swanctl", "--load-all", "--noprompt")


def associations(machine: Machine) -> dict[str, str]:
    """Return the child SAs that are installed, by connection, with what swanctl says of them."""
    text = machine.run("swanctl", "--list-sas", check=False)
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.startswith(" "):
            name = line.split(":")[0]
        elif "INSTALLED" in line:
            found[name] = line.strip()
    return found


def start_bgp(machine: Machine, config: str) -> None:
    """Start FRR's zebra and bgpd with a configuration, read as FRR's own service reads it."""
    machine.sh("mkdir -p /run/frr && chown frr:frr /run/frr")
    machine.sh(f"cat > /etc/frr/frr.conf <<'END'\n{config}END\n: > /etc/frr/vtysh.conf")
    machine.run("vtysh", "-C", "-f", "/etc/frr/frr.conf")
    for daemon in ("zebra", "bgpd"):
        machine.start(str(FRR / daemon), "-A", "127.0.0.1")
    until(lambda: "bgpd" in machine.run("vtysh", "-c", "show daemons", check=False), 10, "bgpd")
    machine.run("vtysh", "-b")


def until(done: Callable[[], object], limit_s: float, what: str) -> float:
    """Wait until something holds, and return how long that took."""
    begin = time.monotonic()
    while not done():
        if time.monotonic() - begin > limit_s:
            raise TimeoutError(f"{what}: not within {limit_s} s")
        time.sleep(0.1)
    return time.monotonic() - begin


def _answers(machine: Machine) -> bool:
    return "uptime" in machine.run("swanctl", "--stats", check=False)
