"""A cloud of a test's own: a moto server in a process that the test starts and ends.

Knows no engine. What moto can't do, and which of its answers are untrue, stands with the tables.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.rigs.sky.clients import KEYS, Clients

ROOT = Path(__file__).resolve().parents[3]
ACCOUNT = "123456789012"
"""The account that moto says its keys belong to."""


class Cloud:
    """One moto server. Use it as a context, or call `stop`."""

    def __init__(self, port: int = 0, *, lean: bool = False) -> None:
        """Start the server; one that is `lean` starts sooner, and takes long to empty."""
        command = [sys.executable, "-m", "tests.rigs.sky.moto_server", "--port", str(port)]
        command += ["--lean"] if lean else []
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.endpoint = f"http://127.0.0.1:{self._served()}"
        self._clients = Clients(self.endpoint)

    def __enter__(self) -> Cloud:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes boto3, in any process, talk to this cloud and to no other."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_EC2_METADATA_DISABLED": "true", **KEYS}

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """Return a boto3 client of this cloud."""
        return self._clients(service, region)

    def reset(self) -> None:
        """Empty the cloud: all accounts, all regions."""
        assert self._process.stdin
        self._process.stdin.write("empty\n")
        self._process.stdin.flush()
        self._served()

    def _served(self) -> str:
        """Wait until an empty cloud is served, and return its port."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.strip():
            self.stop()
            raise RuntimeError("moto: the server ended. Try: make test")
        return line.strip()

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
