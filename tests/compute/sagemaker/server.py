"""A moto server whose training jobs run, in podman; it tells what it was asked, fails on demand.

    python -m tests.compute.sagemaker.server FOLDER REPOSITORY

Prints its port, and ends with the process that started it, its containers with it. moto takes each
request in (shapes), S3 is moto's; training jobs are those of `plane.py`, endpoints those of
`endpoints.py`. Of images there are REPOSITORY:2026-11, which has Python alone, and :cart-1, the
example's. Beside AWS it answers at /rig/<what>: calls, fail, hold, quota, end, resume, log,
credentials.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.compute.sagemaker.endpoints import Endpoints
from tests.compute.sagemaker.plane import Plane, Refusal
from tests.rigs.podman import Podman

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_TARGET = "SageMaker."
_SERVE = Path(__file__).resolve().parents[3] / "examples/endpoint/container/serve.py"


class Front:
    """What is asked, before moto: a WSGI application."""

    def __init__(self, app: App) -> None:
        self._app, self._lock = app, threading.Lock()
        self.plane: Plane
        self.endpoints: Endpoints
        self.calls: list[tuple[str, Any]] = []
        self._failing: dict[str, dict[str, Any]] = {}

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path, target = environ["PATH_INFO"], environ.get("HTTP_X_AMZ_TARGET", "")
        body = _body(environ)
        if path.startswith("/rig/"):
            return _answer(start, self._own(path[5:], json.loads(body or b"null")))
        if target.startswith(_TARGET) and "TrainingJob" in target:
            said = json.loads(body or b"null")
            return self._training(target.removeprefix(_TARGET), said, environ, start)
        if path.startswith("/endpoints/"):
            status, data = self.endpoints.invoke(path.split("/")[2], body)
            start(f"{status} Told", [("Content-Type", "application/json")])
            return [data]
        if target.startswith(_TARGET) and ("Endpoint" in target or "Model" in target):
            said = json.loads(body or b"null")
            return self._endpoint(target.removeprefix(_TARGET), said, environ, start)
        return self._moto(environ, start)

    def _moto(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self._lock:  # moto's tables are not made for several
            return list(self._app(environ, start))

    def _endpoint(
        self, operation: str, said: Any, environ: dict[str, Any], start: Any
    ) -> Iterable[bytes]:
        self.calls.append((operation, said))
        if self.endpoints.is_coming_up(operation, said):
            sentence = f'Cannot update in-progress endpoint "{said["EndpointName"]}".'
            return _refused(start, Refusal("ValidationException", sentence), "400 Bad Request")
        answered: list[str] = []

        def noted(status: str, *more: Any) -> None:
            answered.append(status)
            start(status, *more)

        data = b"".join(self._moto(environ, noted))
        if answered[0].startswith("200"):
            self.endpoints.take(operation, said)
            if operation == "DescribeEndpoint":
                told = json.loads(data)
                told["EndpointStatus"] = self.endpoints.status(said["EndpointName"])
                data = json.dumps(told).encode()
        return [data]

    def _own(self, what: str, said: Any) -> Any:
        if what == "calls":
            return self.calls
        if what == "credentials":
            keys = {"AccessKeyId": "testing", "SecretAccessKey": "testing", "Token": "testing"}
            return {**keys, "Expiration": "2099-01-01T00:00:00Z"}
        if what == "fail":
            self._failing[said["operation"]] = said
            if not said["times"]:
                del self._failing[said["operation"]]
        elif what == "hold":
            self.plane.held = said
        elif what == "quota":
            self.plane.quotas = said
        elif what == "end":
            self.plane.end(said["name"], said["how"])
        elif what == "resume":
            self.plane.resume(said)
        elif what == "log":
            return self.plane.log(said)
        return None

    def _training(
        self, operation: str, said: Any, environ: dict[str, Any], start: Any
    ) -> Iterable[bytes]:
        self.calls.append((operation, said))
        try:
            if failing := self._failing.get(operation):
                return self._failed(failing, operation, said, environ, start)
            return _answer(start, self._done(operation, said, environ))
        except Refusal as refusal:
            return _refused(start, refusal, "400 Bad Request")

    def _done(self, operation: str, said: Any, environ: dict[str, Any]) -> Any:
        if operation == "CreateTrainingJob":
            self.plane.create(said)
            with self._lock:  # it would be refused there, were its shape wrong
                answered: list[str] = []
                body = b"".join(self._app(environ, lambda status, *_: answered.append(status)))
            assert answered[0].startswith("200"), body
            return json.loads(body)
        if operation == "DescribeTrainingJob":
            return self.plane.describe(said["TrainingJobName"])
        if operation == "ListTrainingJobs":
            return self.plane.list(said)
        if operation == "StopTrainingJob":
            return self.plane.stop(said["TrainingJobName"])
        raise AssertionError(f"{operation} is not served")

    def _failed(
        self, failing: dict[str, Any], operation: str, said: Any, environ: Any, start: Any
    ) -> Iterable[bytes]:
        failing["times"] -= 1
        if not failing["times"]:
            del self._failing[operation]
        if failing["after"]:
            self._done(operation, said, environ)
        return _refused(start, Refusal(failing["code"], failing["message"]), failing["status"])


def _answer(start: Any, answer: Any) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
    return [json.dumps(answer).encode() if answer is not None else b"{}"]


def _refused(start: Any, refusal: Refusal, status: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/x-amz-json-1.1")])
    return [json.dumps({"__type": refusal.code, "message": refusal.message}).encode()]


def _body(environ: dict[str, Any]) -> bytes:
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if environ.get("wsgi.input_terminated") and not size:
        return b""
    body = environ["wsgi.input"].read(size)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def main(folder: Path, repository: str) -> None:
    """Serve until the parent, or a signal, ends it."""
    import boto3
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    front = Front(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, front, threaded=True, request_handler=MotoRequestHandler)
    address = f"http://127.0.0.1:{server.port}"
    with Podman(folder / "podman") as podman:
        podman.make_image(f"{repository}:2026-11")
        podman.make_image(f"{repository}:cart-1", {"/serve.py": _SERVE}, ["python3", "/serve.py"])
        s3 = functools.partial(
            boto3.Session().client, "s3", endpoint_url=address, region_name="us-west-2",
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )  # fmt: skip
        inside = {
            "AWS_ENDPOINT_URL": address,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{address}/rig/credentials",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }
        front.plane = Plane(folder, podman, inside, functools.cache(s3))
        front.endpoints = Endpoints(folder, podman, functools.cache(s3))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.port, flush=True)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        parent = os.getppid()
        while os.getppid() == parent and not ended.wait(0.3):
            pass
        front.plane.close()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
