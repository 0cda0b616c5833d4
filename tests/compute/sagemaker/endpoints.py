"""What serves endpoints where moto serves none: their containers, in podman.

moto keeps models, configurations and endpoints; this starts an endpoint's container as SageMaker
does (the model unpacked into /opt/ml/model, the word `serve`, /ping until it is ready), passes
invocations on, and ends it by SIGTERM. The port is a free one, told as SageMaker tells it.
"""

from __future__ import annotations

import http.client
import io
import socket
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.rigs.podman import Podman


class Endpoints:
    """The endpoints of one account, by name."""

    def __init__(self, folder: Path, podman: Podman, s3: Callable[[], Any]) -> None:
        self._folder, self._podman, self._s3 = folder, podman, s3
        self._models: dict[str, Mapping[str, Any]] = {}
        self._configs: dict[str, Mapping[str, Any]] = {}
        self._running: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}

    def take(self, operation: str, said: Mapping[str, Any]) -> None:
        """Do what an operation that moto took in comes to."""
        if operation == "CreateModel":
            self._models[said["ModelName"]] = said["PrimaryContainer"]
        elif operation == "CreateEndpointConfig":
            (variant,) = said["ProductionVariants"]
            self._configs[said["EndpointConfigName"]] = variant
        elif operation == "CreateEndpoint":
            variant = self._configs[said["EndpointConfigName"]]
            self._start(said["EndpointName"], self._models[variant["ModelName"]])
        elif operation == "DeleteEndpoint" and said["EndpointName"] in self._running:
            _, process = self._running.pop(said["EndpointName"])
            self._podman.signal(said["EndpointName"], "TERM")
            process.wait(30)
            self._podman.remove(said["EndpointName"])

    def is_coming_up(self, operation: str, said: Mapping[str, Any]) -> bool:
        """Whether an operation would delete an endpoint that SageMaker does not delete yet."""
        name = said.get("EndpointName", "")
        deletes = operation == "DeleteEndpoint" and name in self._running
        return deletes and self.status(name) == "Creating"

    def status(self, name: str) -> str:
        """Return an endpoint's state: what its container answers to /ping."""
        port, process = self._running[name]
        if process.poll() is not None:
            return "Failed"
        try:
            return "InService" if self._asked(port, "GET", "/ping")[0] == 200 else "Creating"
        except OSError:
            return "Creating"

    def invoke(self, name: str, body: bytes) -> tuple[int, bytes]:
        """Pass an invocation on."""
        return self._asked(self._running[name][0], "POST", "/invocations", body)

    def _start(self, name: str, container: Mapping[str, Any]) -> None:
        bucket, _, key = container["ModelDataUrl"][5:].partition("/")
        data = self._s3().get_object(Bucket=bucket, Key=key)["Body"].read()
        home = self._folder / name
        (home / "model").mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(home / "model", filter="data")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        variables = {"SAGEMAKER_BIND_TO_PORT": str(port)}
        log = self._folder / f"{name}.log"
        self._running[name] = (
            port,
            self._podman.run(
                name, container["Image"], [], ["serve"], variables, {home: "/opt/ml"}, log
            ),
        )

    def _asked(self, port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            link.request(method, path, body or None)
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()
