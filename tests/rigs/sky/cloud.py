"""A cloud of a test's own: a moto server in a process that the test starts and ends.

Knows no engine. What moto can't do, and which of its answers are untrue, stands with the tables.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.rigs.sky.clients import KEYS, Clients

ROOT = Path(__file__).resolve().parents[3]
ACCOUNT = "123456789012"
"""The account that moto says its keys belong to."""


class Cloud:
    """One moto server. Use it as a context, or call `stop`."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.rigs.sky.moto_server", "--port", str(port)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.strip():
            self.stop()
            raise RuntimeError("moto: the server ended at once. Try: make test")
        self.endpoint = f"http://127.0.0.1:{line.strip()}"
        self._clients = Clients(self.endpoint)

    def __enter__(self) -> Cloud:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes boto3, in any process, talk to this cloud and to no other."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_EC2_METADATA_DISABLED": "true", **KEYS}

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """Return a boto3 client of this cloud."""
        return self._clients(service, region)

    def reset(self) -> None:
        """Empty the cloud: all accounts, all regions."""
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=30).close()

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
