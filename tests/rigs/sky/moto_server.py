"""A moto server in a process of its own.

    python -m tests.rigs.sky.moto_server [--port N] [--stay]

Prints its port. It ends with the process that started it, unless `--stay` is given. Managed IAM
policies are loaded. It keeps all in memory. One request is answered at a time: moto's own tables
are not made for several ("dictionary changed size during iteration").
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from typing import Any


class _OneAtATime:
    """A WSGI application behind a lock."""

    def __init__(self, app: Any) -> None:
        self._app, self._lock = app, threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        with self._lock:
            return self._app(environ, start_response)


def _over_tls() -> None:
    """Let moto take its clients for ones that come over TLS, as AWS's do.

    It minds no `Bool` condition, so that a bucket for TLS alone would answer to nobody.
    """
    from moto.iam import access_control

    whole = access_control.IAMPolicyStatement.is_action_permitted

    def permitted(self: Any, *words: Any, **named: Any) -> Any:
        said = self._statement
        bools = said.get("Condition", {}).get("Bool", {})
        if said["Effect"] == "Deny" and "aws:SecureTransport" in bools:
            return access_control.PermissionResult.NEUTRAL
        return whole(self, *words, **named)

    access_control.IAMPolicyStatement.is_action_permitted = permitted


def main() -> None:
    """Serve until the parent, or a signal, ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stay", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    _over_tls()
    app = _OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server(
        "127.0.0.1", options.port, app, threaded=True, request_handler=MotoRequestHandler
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    while (options.stay or os.getppid() == parent) and not ended.wait(0.5):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
