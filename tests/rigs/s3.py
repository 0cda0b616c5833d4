"""S3 for tests: one server for a process of tests, and a link to it that can be cut.

The server is moto's, in a process of its own that is never emptied; whoever uses it takes a prefix
of its own in the bucket `lab`. A test that needs an empty AWS uses `tests.rigs.sky.fixtures`.
"""

from __future__ import annotations

import atexit
import contextlib
import socket
import threading
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from tests.rigs.sky.cloud import Cloud

BUCKET = "lab"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
REGION = "us-east-1"


@cache
def served() -> tuple[str, int]:
    """Return host and port of the server, which has the bucket; it ends with this process."""
    cloud = Cloud(lean=True)
    atexit.register(cloud.stop)
    cloud.client("s3", REGION).create_bucket(Bucket=BUCKET)
    address = urlsplit(cloud.endpoint)
    assert address.hostname and address.port
    return address.hostname, address.port


def client(endpoint: str) -> Any:
    """Return boto3's client of S3 at an address."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


class Link:
    """A way to a server; `cut` breaks it, `mend` restores it.

    `after` cuts one connection each time so many bytes came over it. `passed` are the bytes that
    came and went.
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._ends: list[socket.socket] = []
        self.after: list[int] = []
        self.seen: Callable[[int], object] = lambda _: None
        self.passed = 0
        self._listener = self._listen(0)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.beyond = f"http://{host}:{port}"
        """The server's own address, past the link."""

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._to)
                self._ends += [near, far]
                for one, other, back in ((near, far, False), (far, near, True)):
                    threading.Thread(
                        target=self._copy, args=(one, other, back), daemon=True
                    ).start()

    def _copy(self, one: socket.socket, other: socket.socket, back: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
                self.seen(len(data))
                passed += len(data)
                self.passed += len(data)
                if back and self.after and passed > self.after[0]:
                    self.after.pop(0)
                    break
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Refuse new connections and break those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self) -> None:
        """Take connections again, at the same address."""
        self._listener = self._listen(int(self.address.rpartition(":")[2]))
