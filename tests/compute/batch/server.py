"""A moto server that runs Batch jobs as processes, tells what it was asked, and fails when told to.

    python -m tests.compute.batch.server FOLDER

Prints its port, and ends with the process that started it. Beside AWS it answers at /rig/calls
(what Batch was asked so far: operation and body), /rig/fail (the next calls of an operation fail;
with `after`, only once they have been done) and /rig/hold (jobs of a queue stay RUNNABLE, with a
reason).
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.batch import models

from tests.rigs.sandbox import jobs

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Watched:
    """An application, one request at a time: moto's tables are not made for several."""

    def __init__(self, app: App) -> None:
        self._app, self._lock = app, threading.Lock()
        self._calls: list[tuple[str, Any]] = []
        self._failing: dict[str, dict[str, Any]] = {}
        self.held: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, body = environ["PATH_INFO"], _body(environ)
        with self._lock:
            if path.startswith("/rig/"):
                answer = self._own(path.rpartition("/")[2], json.loads(body or b"null"))
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps(answer).encode()]
            if not path.startswith("/v1/"):
                return self._app(environ, start_response)
            return self._batch(path.rpartition("/")[2], body, environ, start_response)

    def _own(self, what: str, said: Any) -> Any:
        if what == "calls":
            return self._calls
        if what == "fail":
            self._failing[said["operation"]] = said
        elif what == "hold":
            self.held = said
        return None

    def _batch(
        self, name: str, body: bytes, environ: dict[str, Any], start: Any
    ) -> Iterable[bytes]:
        self._calls.append((name, json.loads(body or b"null")))
        failing = self._failing.get(name)
        if failing is None:
            return self._app(environ, start)
        if failing["after"]:
            list(self._app(environ, lambda *_: None))
        failing["times"] -= 1
        if not failing["times"]:
            del self._failing[name]
        code = failing["code"]
        start(failing["status"], [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)])
        return [json.dumps({"message": "told to fail", "__type": code}).encode()]


def _body(environ: dict[str, Any]) -> bytes:
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if environ.get("wsgi.input_terminated") and not size:
        return b""
    body = environ["wsgi.input"].read(size)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def hold(watched: Watched) -> None:
    """Let jobs of held queues wait before they run."""
    run = models.Job.run

    def waiting(job: Any) -> None:
        while (reason := watched.held.get(job.job_queue.name)) is not None and not job.stop:
            if reason.startswith("Host EC2") and not job.attempts:
                job._start_attempt()  # it ran, and its machine was taken back
            job.status, job.job_stopped_reason = "RUNNABLE", reason or None
            time.sleep(0.05)
        if job.stop:
            job._mark_stopped(success=False)
        else:
            job.job_stopped_reason = None
            run(job)

    setattr(models.Job, "run", waiting)  # noqa: B010 - a function of another shape, as types go


def main(folder: Path) -> None:
    """Serve until the parent is gone."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    address = ""
    jobs.install(folder, lambda: address)
    watched = Watched(DomainDispatcherApplication(create_backend_app))
    hold(watched)
    server = make_server("127.0.0.1", 0, watched, threaded=True, request_handler=MotoRequestHandler)
    address = f"http://127.0.0.1:{server.port}"
    parent = os.getppid()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
