"""Python processes that need not load their packages: each is a fork of one that has them.

Every command of the engine starts four or five Python processes, which take seconds to load the
same packages. Where `SKY_WARM` names a server's socket, `launch.py` asks it for a fork in the place
of an interpreter of its own; the fork gets the caller's arguments, variables, folder and standard
streams. Of the repository itself nothing is loaded beforehand but the stand-ins: programs are read
anew by each.

    python -m tests.rigs.sky.warm SOCKET       it ends with its standard input
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
SOCKET = "SKY_WARM"
"""The environment variable that names the server's socket."""
_PROGRAMS = ("infra.environment", "infra.kubernetes.program", "infra.account.program")
_STAND_INS = ("tests.rigs.sky.server", "tests.rigs.sky.kinds", "tests.rigs.sky.kubernetes_provider")
_OWN = ("infra", "ems", "tests")
_SERVICES = (
    "batch", "budgets", "cloudwatch", "ec2", "ecr", "efs", "eks", "iam", "kms", "logs", "s3",
    "secretsmanager", "service-quotas", "sns", "ssm", "sts",
)  # fmt: skip
"""Services of AWS whose models are read beforehand."""
_MOST = 1 << 20


@cache
def started() -> str:
    """Start the server of this process, once, and return its socket; it ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    path = f"{folder.name}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.rigs.sky.warm", path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )

    def end() -> None:
        process.kill()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    assert process.stdout
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError("warm: the server ended at once. Try: make test")
    return path


# ------------------------------------------------------------------------------------ the server
class Server:
    """Takes callers, forks for each, and tells it the exit code; it has one thread."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._callers: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self._woken, self._wakes = socket.socketpair()
        for end in (self._woken, self._wakes):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes.fileno())

    def serve(self) -> None:
        """Serve until standard input ends."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is self._listener:
                    self._take(self._listener.accept()[0])
                elif key.fileobj is self._woken:
                    with suppress(BlockingIOError):
                        self._woken.recv(4096)
                else:
                    self._lost(key.data)
            self._reap()

    def end(self) -> None:
        """Kill what still runs."""
        for pid in self._callers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _take(self, caller: socket.socket) -> None:
        with suppress(OSError):
            caller.settimeout(30)
            asked, streams = _received(caller)
            caller.settimeout(None)
            pid = os.fork()
            if not pid:
                self._leave(caller)
                _become(asked, streams)
            for stream in streams:
                os.close(stream)
            self._callers[pid] = caller
            self._selector.register(caller, selectors.EVENT_READ, pid)
            caller.sendall(f"{pid}\n".encode())

    def _leave(self, caller: socket.socket) -> None:
        """In the fork: let go of all that is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        held = [self._listener, self._woken, self._wakes, caller, *self._callers.values()]
        for each in held:
            each.close()
        self._callers.clear()

    def _lost(self, pid: int) -> None:
        """A caller that is gone takes its process along."""
        with suppress(KeyError):
            self._selector.unregister(self._callers[pid])
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                caller = self._callers.pop(pid)
                with suppress(KeyError):
                    self._selector.unregister(caller)
                with suppress(OSError):
                    caller.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                caller.close()


def _received(caller: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What a caller asks for, one line of JSON, and its standard streams."""
    data, streams, _, _ = socket.recv_fds(caller, _MOST, 3)
    while not data.endswith(b"\n"):
        more = caller.recv(_MOST)
        if not more:
            raise OSError("the caller is gone")
        data += more
    return json.loads(data), streams


# -------------------------------------------------------------------------------------- the fork
def _become(asked: dict[str, Any], streams: list[int]) -> None:
    """Be what was asked for, to the end; this never returns."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.setsid()
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["variables"])
        for number in (1, 2):
            _stream(number)
        _run(asked["python"], asked["words"])
        code = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(BaseException):
                stream.flush()
        os._exit(code)


def _stream(number: int) -> None:
    """Open a standard stream anew: unbuffered, as of `python -u`."""
    raw = io.FileIO(number, "w", closefd=False)
    opened = io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)
    setattr(sys, "stdout" if number == 1 else "stderr", opened)


def _run(python: str, words: list[str]) -> None:
    """Run as `python WORDS` would: a module or a script with its arguments."""
    words = [word for word in words if word != "-u"]
    safe = "-P" in words[:1]
    words = words[1:] if safe else words
    given = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.executable = python
    if words[0] == "-m":
        sys.path[:] = [os.getcwd(), *given, *_installed()]
        sys.argv[:] = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        first = [] if safe else [os.path.dirname(os.path.abspath(words[0]))]
        sys.path[:] = [*first, *given, *_installed()]
        sys.argv[:] = words
        runpy.run_path(words[0], run_name="__main__")


def _installed() -> list[str]:
    return [each for each in sys.path if each and Path(each).resolve() != ROOT]


# ------------------------------------------------------------------------------ what it has loaded
def load() -> None:
    """Load the packages that programs and stand-ins use, and make what they read again shared."""
    from botocore.loaders import JSONFileLoader

    JSONFileLoader.load_file = lru_cache(None)(JSONFileLoader.load_file)
    for name in (*_STAND_INS, *_packages()):
        with suppress(ImportError):
            importlib.import_module(name)
    from tests.rigs.sky.clients import Clients

    clients = Clients("http://127.0.0.1:9")  # nothing is asked of it
    for service in _SERVICES:
        clients(service, "us-west-2")
    gc.collect()
    gc.freeze()


def _packages() -> list[str]:
    """Name the modules that the programs load, of others' packages: a fork loads them and tells."""
    there, here = os.pipe()
    pid = os.fork()
    if not pid:
        for name in _PROGRAMS:
            importlib.import_module(name)
        names = [name for name in sys.modules if name.partition(".")[0] not in _OWN]
        os.write(here, "\n".join(names).encode())
        os._exit(0)
    os.close(here)
    with os.fdopen(there) as pipe:
        names = pipe.read().split("\n")
    os.waitpid(pid, 0)
    return [name for name in names if name not in sys.modules and name != "__main__"]


def main() -> None:
    """Load, and serve."""
    load()
    server = Server(sys.argv[1])
    print("ready", flush=True)
    server.serve()
    server.end()


if __name__ == "__main__":
    main()
