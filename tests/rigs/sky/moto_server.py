"""A moto server in a process of its own.

    python -m tests.rigs.sky.moto_server [--port N] [--stay] [--lean]

Prints its port. What serves is a fork of a process that has loaded moto and is never asked
anything: for each line on standard input that fork is ended and another, empty one takes its
place, which prints the port again. It ends with its standard input. With `--stay` nothing is
forked, and it ends by a signal alone.

Managed IAM policies are loaded. It keeps all in memory. One request is answered at a time: moto's
own tables are not made for several ("dictionary changed size during iteration").
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import random
import signal
import sys
import threading
from functools import lru_cache
from typing import Any, NoReturn

_SERVICES = (
    "batch", "budgets", "cloudwatch", "ec2", "ecr", "efs", "eks", "iam", "kms", "logs",
    "resourcegroupstaggingapi", "s3", "secretsmanager", "servicequotas", "sns", "ssm", "sts",
)  # fmt: skip
"""What is loaded beforehand; all else is when it is first asked for."""
_REGIONS = ("us-west-2", "us-east-1", "eu-west-1")


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


def _named_parameters_alone() -> None:
    """Let moto look at the parameters that a filter names, not at all of a region's thousands."""
    from moto.ssm import models

    whole = models.SimpleSystemManagerBackend.describe_parameters

    def described(self: Any, filters: Any, parameter_filters: Any) -> Any:
        named = [
            each["Values"]
            for each in parameter_filters or ()
            if each["Key"] == "Name" and each.get("Option", "Equals") == "Equals"
        ]
        if not named:
            return whole(self, filters, parameter_filters)
        every = self._parameters
        self._parameters = {name: every[name] for name in named[0] if name in every}
        try:
            return whole(self, filters, parameter_filters)
        finally:
            self._parameters = every

    models.SimpleSystemManagerBackend.describe_parameters = described


def _load(dispatcher: Any) -> None:
    """Load what takes seconds: services, their models, managed policies, images."""
    from botocore.loaders import JSONFileLoader, Loader
    from moto import backends
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.moto_server.werkzeug_app import create_backend_app

    JSONFileLoader.load_file = lru_cache(None)(JSONFileLoader.load_file)
    loader = Loader()
    names = {"servicequotas": "service-quotas"}
    for service in _SERVICES:
        made = create_backend_app(service)  # pyright: ignore[reportArgumentType] - any service
        dispatcher.app_instances[service] = made
        loader.load_service_model(names.get(service, service), "service-2")
    for region in _REGIONS:
        backends.get_backend("ec2")[DEFAULT_ACCOUNT_ID][region]
    gc.collect()
    gc.freeze()


def _serve(server: Any, *, stay: bool = False) -> NoReturn:
    """Serve in this process until a signal, or the end of its parent unless it is to stay."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    parent = os.getppid()
    while (stay or os.getppid() == parent) and not ended.wait(0.5):
        pass
    os._exit(0)


def _serve_forks(server: Any) -> None:
    """Serve in a fork, and in another one after each line of standard input."""

    def end(*_: object) -> NoReturn:
        sys.exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    serving = 0
    try:
        while True:
            serving = os.fork()
            if not serving:
                _new_numbers()
                _serve(server)
            print(server.port, flush=True)
            if not sys.stdin.readline():
                return
            os.kill(serving, signal.SIGKILL)
            os.waitpid(serving, 0)
    finally:
        if serving:
            os.kill(serving, signal.SIGKILL)


def _new_numbers() -> None:
    """Forks of one process would give the same ids."""
    from moto.moto_api._internal import mock_random

    mock_random.seed()
    random.seed()


def main() -> None:
    """Serve until the parent, or a signal, ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stay", action="store_true")
    parser.add_argument("--lean", action="store_true", help="load nothing before it is asked for")
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
    _named_parameters_alone()
    dispatcher = DomainDispatcherApplication(create_backend_app)
    server = make_server(
        "127.0.0.1",
        options.port,
        _OneAtATime(dispatcher),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    if options.stay:
        print(server.port, flush=True)
        _serve(server, stay=True)
    if not options.lean:
        _load(dispatcher)
    _serve_forks(server)


if __name__ == "__main__":
    main()
