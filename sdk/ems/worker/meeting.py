"""How a member of a gang gets to know the others before its command starts: by files alone.

A member keeps a port free, says where it can be reached (`ready`), and waits for a file beside its
messages that lists all members. Whoever watches the gang collects what each said and writes that
file, so members meet without any service in the network, and wherever they are. Knows sockets and
that file. Does not know who watches, and connects to nobody.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time

from . import protocol
from .peers import Moved, NobodyCame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from .protocol import Message

WAIT_S = 600.0
"""How long members wait for each other where the gang does not say."""
PATIENCE = 2
"""A member that nobody watches gives up after so many times as long."""
_NOWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that documentation may use and nobody has (RFC 5737, RFC 3849): nothing is sent."""
_LOOK_S = (0.02, 0.2)
_SIOCGIFADDR = 0x8915
_LEAST_PORT, _MOST_PORT = 20000, 29999
"""Where ports are looked for: below those that systems give away by themselves."""


class Meeting:
    """One member's way to the others. `gang` is that part of its parcel."""

    def __init__(
        self, gang: Dict[str, Any], version: Message, send: Callable[[Message], None]
    ) -> None:
        self._gang, self._version, self._send = gang, version, send
        self._path: str = gang["peers"]

    def attend(self) -> Dict[str, str]:
        """Say where this member is, wait for the others, and return what its command is told.

        The port is free from then on. Raises NobodyCame or Moved.
        """
        address = own_address()
        again = os.path.exists(self._path)
        with self._place_of_before(address) if again else _reserved() as kept:
            if not again:
                port = int(kept.getsockname()[1])
                self._send(protocol.ready(self._version, address, port, time.time()))
                self._wait()
            told = self._told(self._own())
            self._send(protocol.met(self._version, time.time()))
        return told

    def _place_of_before(self, address: str) -> socket.socket:
        """Take the place again that the others know, after the member was started again."""
        own = self._own()
        if address != own["address"]:
            raise Moved(
                "its gang knows it at %s, and it was started again at %s"
                % (own["address"], address)
            )
        try:
            return _bound(own["port"], again=True)
        except OSError as error:
            raise Moved(
                "its gang knows it at port %d, which can't be had again: %s"
                % (own["port"], error.strerror)
            ) from None

    def _wait(self) -> None:
        limit = float(self._gang.get("wait_s") or WAIT_S) * PATIENCE
        until, pause = time.monotonic() + limit, _LOOK_S[0]
        while not os.path.exists(self._path):
            if time.monotonic() > until:
                raise NobodyCame(
                    "was ready, and in %g s nobody told it of the other %d members of its gang: is "
                    "anybody watching it?" % (limit, self._gang["size"] - 1)
                )
            time.sleep(pause)
            pause = min(_LOOK_S[1], pause * 1.2)

    def _peers(self) -> List[Dict[str, Any]]:
        import json

        with open(self._path, encoding="utf-8") as stream:
            rows: List[Dict[str, Any]] = json.load(stream)
        return rows

    def _own(self) -> Dict[str, Any]:
        return next(each for each in self._peers() if each["rank"] == self._gang["rank"])

    def _told(self, own: Dict[str, Any]) -> Dict[str, str]:
        """Return the variables: EMS's own, and those that torch.distributed reads.

        A member sees its own GPUs only, so each is the first of its own (LOCAL_RANK 0).
        """
        gang, first = self._gang, self._peers()[0]
        cpus = {"EMS_CPUS": "%g" % gang["cpus"]} if gang.get("cpus") else {}
        return {
            **cpus,
            "EMS_GANG": gang["gang"],
            "EMS_ROLE": gang["role"],
            "EMS_ROLE_RANK": str(gang["nth"]),
            "EMS_ROLE_SIZE": str(gang["times"]),
            "EMS_RANK": str(gang["rank"]),
            "EMS_SIZE": str(gang["size"]),
            "EMS_PEERS": os.path.abspath(self._path),
            "EMS_ADDRESS": own["address"],
            "EMS_PORT": str(own["port"]),
            "RANK": str(gang["rank"]),
            "WORLD_SIZE": str(gang["size"]),
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
            "MASTER_ADDR": first["address"],
            "MASTER_PORT": str(first["port"]),
        }


TOLD = frozenset(
    (
        "EMS_GANG", "EMS_ROLE", "EMS_ROLE_RANK", "EMS_ROLE_SIZE", "EMS_RANK", "EMS_SIZE",
        "EMS_PEERS", "EMS_PORT", "EMS_CPUS", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
        "MASTER_ADDR", "MASTER_PORT",
    )
)  # fmt: skip
"""The names of those variables that nobody else may set; EMS_ADDRESS and EMS_PORTS are wishes."""


# -- where this machine is ------------------------------------------------------------------------


def own_address() -> str:
    """Return the address that others reach this machine at, as far as it can tell.

    EMS_ADDRESS where it is set; else that of the way out; else of the first network interface;
    else what the host's name stands for; else 127.0.0.1.
    """
    given = os.environ.get("EMS_ADDRESS", "").strip()
    return given or _way_out() or _interface() or _by_name() or "127.0.0.1"


def _way_out() -> str:
    for family, nowhere in _NOWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((nowhere, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return ""


def _interface() -> str:
    """Return the address of the first interface but loopback, on a network without a way out."""
    if not sys.platform.startswith("linux"):
        return ""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            asked = name.encode()[:15].ljust(40, b"\0")
            try:
                found = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, asked)
            except OSError:
                continue  # it has none
            address = socket.inet_ntoa(found[20:24])
            if not address.startswith("127."):
                return address
    return ""


def _by_name() -> str:
    try:
        found = socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""
    return "" if found.startswith("127.") else found


def _reserved() -> socket.socket:
    return reserve(os.environ.get("EMS_PORTS", ""))


def reserve(allowed: str = "") -> socket.socket:
    """Return a socket bound to a TCP port that was free; nobody gets it until it is closed.

    `allowed` is `FIRST-LAST` where a firewall lets only these through. Raises OSError where all of
    them are in use, or where that is no range.
    """
    first, last = _range(allowed) if allowed else (_LEAST_PORT, _MOST_PORT)
    count = last - first + 1
    start = int.from_bytes(os.urandom(4), "big") % count
    for step in range(min(count, 1000)):
        try:
            return _bound(first + (start + step) % count)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    if allowed:
        raise OSError(errno.EADDRINUSE, "all ports of EMS_PORTS=%s are in use" % allowed)
    return _bound(0)


def _range(allowed: str) -> Tuple[int, int]:
    first, _, last = allowed.partition("-")
    if first.isdigit() and (last or first).isdigit():
        low, high = int(first), int(last or first)
        if 0 < low <= high < 65536:
            return low, high
    raise OSError(errno.EINVAL, "EMS_PORTS=%r is no FIRST-LAST, such as 7000-7010" % allowed)


def _bound(port: int, again: bool = False) -> socket.socket:
    """Return a socket bound to a port, on all addresses; never listening.

    `again`: it had the port before, and Linux may keep what its connections leave for a minute.
    """
    found: Optional[socket.socket] = None
    try:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if again:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("", port))
        return found
    except OSError:
        if found is not None:
            found.close()
        raise
