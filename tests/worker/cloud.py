"""Jobs that lie in S3, reached over a link that can be cut, and containers that run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from ems.compute import ship
from ems.hashing import digest_bytes
from tests.rigs import s3
from tests.rigs.s3 import BUCKET, Link


class Cloud:
    """A prefix of its own in the bucket, and what a container there would have."""

    def __init__(self, link: Link, folder: Path, python: str = sys.executable) -> None:
        self.link, self.folder, self.python = link, folder, python
        self.prefix = uuid4().hex[:12]
        self.url = f"s3://{BUCKET}/{self.prefix}"
        self.app = folder / "worker.pyz"
        self.app.write_bytes(ship.zipapp())
        self.variables = {
            **s3.KEYS,
            "AWS_REGION": s3.REGION,
            "AWS_ENDPOINT_URL": link.address,
            "EMS_SCRATCH": str(folder / "scratch"),
        }
        self._versions = 0
        self._running: list[subprocess.Popen[bytes]] = []

    def client(self) -> Any:
        """Return boto3's client, past the link."""
        return s3.client(self.link.beyond)

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
