"""A server that speaks S3, reached over a link that can be cut, and jobs that lie there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from ems.compute import ship
from ems.hashing import digest_bytes

BUCKET = "lab"


class Link:
    """A way to a server; `cut` breaks it, `mend` restores it. Hooks see what passes.

    `after` cuts one connection each time so many bytes came over it.
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._ends: list[socket.socket] = []
        self.after: list[int] = []
        self._listener = self._listen(0)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

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
                passed += len(data)
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


class Cloud:
    """A prefix of its own in the bucket, and what a container there would have."""

    def __init__(self, link: Link, folder: Path, python: str = sys.executable) -> None:
        self.link, self.folder, self.python = link, folder, python
        self.prefix = uuid4().hex[:12]
        self.url = f"s3://{BUCKET}/{self.prefix}"
        self.app = folder / "worker.pyz"
        self.app.write_bytes(ship.zipapp())
        self.variables = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": link.address,
            "EMS_SCRATCH": str(folder / "scratch"),
        }
        self._versions = 0
        self._running: list[subprocess.Popen[bytes]] = []

    def client(self) -> Any:
        """Return boto3's client, past the link."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=f"http://{self.link._to[0]}:{self.link._to[1]}",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )

    def put(self, data: bytes) -> str:
        """Keep an object; return its digest."""
        digest = digest_bytes(data)
        self.write(f"objects/{digest[:2]}/{digest}", data)
        return digest

    def object(self, digest: str) -> bytes:
        return self.read(f"objects/{digest[:2]}/{digest}")

    def write(self, key: str, data: bytes) -> None:
        self.client().put_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}", Body=data)

    def read(self, key: str) -> bytes:
        return self.client().get_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")["Body"].read()

    def names(self, prefix: str = "") -> dict[str, int]:
        """Return the size of every object by its name."""
        pages = self.client().get_paginator("list_objects_v2")
        return {
            each["Key"].partition("/")[2]: each["Size"]
            for page in pages.paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/{prefix}")
            for each in page.get("Contents", ())
        }

    def job(self, source: str, calls: list[tuple[str, dict[str, Any]]], **keys: Any) -> str:
        """Lay a job down that calls functions of a module; return its id."""
        id = f"ems-{uuid4().hex}"
        names = list(dict.fromkeys(name for name, _ in calls))
        digest = self.put(textwrap.dedent(source).encode())
        task = {"kind": "python", "module": "work", "modules": ["work"]}
        versions: list[dict[str, Any]] = []
        for name, args in calls:
            self._versions += 1
            task_of = {"v": f"{self._versions:064x}", "gen": 1, "try": 1}
            versions.append({**task_of, "task": names.index(name), "args": args, "seed": 1})
        parcel = {
            "schema": 1,
            "parcel": id,
            "code": {"files": {"work.py": digest}, "modules": {"work": "work.py"}, "search": ["."]},
            "tasks": [{**task, "name": name, "qualname": name} for name in names],
            "versions": versions,
            **keys,
        }
        self.write(f"jobs/{id}/parcel.json", json.dumps(parcel).encode())
        return id

    def start(self, job: str = "", **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker as a container would."""
        words = [f"{self.url}/jobs/{job}"] if job else []
        made = subprocess.Popen(
            [self.python, str(self.app), "at", *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, **self.variables, **variables}, start_new_session=True,
        )  # fmt: skip
        self._running.append(made)
        return made

    def run(self, job: str, **variables: str) -> tuple[int, bytes]:
        """Run a worker to its end; return its exit code and what its container's log has."""
        running = self.start(job, **variables)
        out = running.communicate(timeout=60)[0]
        return running.returncode, out

    def whole(self, job: str, kind: str) -> bytes:
        """Return the parts of a growing file, put together as their names say."""
        made = b""
        for key in sorted(self.names(f"jobs/{job}/{kind}/")):
            assert int(key.rpartition("/")[2]) == len(made), "parts follow each other"
            made += self.read(key)
        return made

    def messages(self, job: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.whole(job, "events").splitlines()]

    def ends(self, job: str) -> list[dict[str, Any]]:
        return [each for each in self.messages(job) if each["ev"] == "end"]

    def close(self) -> None:
        for each in self._running:
            if each.poll() is None:
                each.send_signal(signal.SIGKILL)
            each.communicate()


def until(true: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.15)


def served() -> Iterator[tuple[str, int]]:
    """Serve S3 in this process, with the bucket."""
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **keys
    ).create_bucket(Bucket=BUCKET)
    yield host, port
    running.stop()
