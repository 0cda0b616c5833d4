"""What the members of a gang tell each other while one of them leads: JSON lines over TCP.

A follower speaks first, from the address and the port that its gang knows it by; the leader hears
nobody else. While it calls, the port is its own: nobody else on its machine gets it. Knows sockets
and the gang's list. Does not know what the messages mean.
"""

from __future__ import annotations

import errno
import json
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence

    from .peers import Peer

_ANSWERS_S = 20.0
_AGAIN_S = 0.2
_NOT_YET = (errno.ECONNREFUSED, errno.ECONNABORTED)
"""Nobody listens: the socket may be used again. Linux says the second where it was refused late."""


class Line:
    """One connection; `closed` once the other side is gone."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket = connection
        self._tail = b""
        self.closed = False

    def say(self, **message: Any) -> None:
        """Send a message; they are few and short."""
        try:
            self._socket.sendall(json.dumps(message).encode("utf-8") + b"\n")
        except OSError:
            self.closed = True

    def hear(self) -> List[Dict[str, Any]]:
        """Return what came since, without waiting."""
        while not self.closed:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.closed = not data
            self._tail += data
        *lines, self._tail = self._tail.split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
        self.closed = True


class Desk:
    """Where the leader is called; a peer gets through once."""

    def __init__(self, own: Peer, others: Sequence[Peer]) -> None:
        self._expected = {(_ip(each.address), each.port): each for each in others}
        self._listening = _bound(own, listens=True)
        self._listening.listen(len(others) + 16)
        self._listening.setblocking(False)

    def calls(self) -> Dict[Peer, Line]:
        """Return who called since; strangers are hung up on."""
        found: Dict[Peer, Line] = {}
        while True:
            try:
                connection, where = self._listening.accept()
            except OSError:
                return found
            peer = self._expected.pop((where[0], where[1]), None)
            if peer is None:
                connection.close()
            else:
                found[peer] = Line(connection)

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()


def call(own: Peer, leader: Peer, patience_s: float, stopped: Any) -> Optional[Line]:
    """Return a line to the leader, once it listens; None where `stopped()` came first.

    Raises OSError where it does not answer in time.
    """
    deadline = time.monotonic() + patience_s
    made: Optional[socket.socket] = None
    try:
        while not stopped():
            try:
                # kept between the tries: in a gap, another user's process could take the port
                made = made or _bound(own, listens=False)
                made.settimeout(_ANSWERS_S)
                made.connect((leader.address, leader.port))
                # only now, for whoever is started here again: this connection can't be had twice
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                line, made = Line(made), None
                return line
            except OSError as error:
                if time.monotonic() > deadline:
                    raise
                if made is not None and error.errno not in _NOT_YET:
                    made.close()
                    made = None
            time.sleep(_AGAIN_S)
    finally:
        if made is not None:
            made.close()
    return None


def _bound(own: Peer, listens: bool) -> socket.socket:
    """Return a socket at the address that the gang knows, or where that is not here, at any.

    Who calls does without SO_REUSEADDR: with it, anybody's process could have the same port.
    """
    family = socket.AF_INET6 if ":" in own.address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    if listens:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((own.address, own.port))
    except OSError:
        try:
            made.bind(("", own.port))
        except OSError:
            made.close()
            raise
    return made


def _ip(address: str) -> str:
    try:
        return str(socket.getaddrinfo(address, None)[0][4][0])
    except OSError:
        return address
