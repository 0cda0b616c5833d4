"""The engine's language host for Python, where no complete Pulumi installation has one.

    python -P tests/rigs/sky/language.py ENGINE_ADDRESS [flags]

Runs programs by Pulumi's own executor (SKY_EXECUTOR names it) and policy packs by `pulumi.policy`,
in the virtual environment that Pulumi.yaml names. It installs no dependencies, makes no projects
and generates no code; Pulumi's own host does.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2 as pb
from pulumi.runtime.proto import language_pb2_grpc, plugin_pb2

_BIG = 400 << 20
_SHOWN = 32
"""The executor's exit code where it has already told the user what is wrong."""


class Missing(Exception):
    """Something that the project names is not there."""


def interpreter(info: pb.ProgramInfo) -> str:
    """Return the interpreter of the project's virtual environment, relative to its root."""
    named = json_format.MessageToDict(info.options).get("virtualenv")
    if not named:
        return "python3"
    path = Path(info.root_directory, str(named), "bin", "python")
    if not path.exists():
        raise Missing(f"virtualenv {named!r}: {path} does not exist. Try: make test")
    return str(path)


def flags(request: pb.RunRequest, engine: str) -> list[str]:
    """Return the executor's flags for a run."""
    values = {
        "monitor": request.monitor_address,
        "engine": engine,
        "project": request.project,
        "stack": request.stack,
        "pwd": request.pwd,
        "dry_run": "true" if request.dryRun else "false",
        "parallel": str(request.parallel),
        "organization": request.organization,
        "root_directory": request.info.root_directory,
    }
    return [word for flag, value in values.items() if value for word in (f"--{flag}", value)]


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """What the engine asks of a language."""

    def __init__(self, engine: str, executor: str) -> None:
        self.engine, self.executor = engine, executor
        self._running: set[subprocess.Popen[bytes]] = set()

    def Handshake(self, request, context):
        """Say that the host is ready."""
        return pb.LanguageHandshakeResponse()

    def GetPluginInfo(self, request, context):
        """Say the version: the SDK's."""
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def GetRequiredPlugins(self, request, context):
        """Name none: providers are found on the PATH."""
        return pb.GetRequiredPluginsResponse()

    def GetRequiredPackages(self, request, context):
        """Name none: providers are found on the PATH."""
        return pb.GetRequiredPackagesResponse()

    def GetProgramDependencies(self, request, context):
        """Name the packages of this interpreter's environment."""
        found = [
            pb.DependencyInfo(name=item.metadata["Name"], version=item.version)
            for item in metadata.distributions()
        ]
        return pb.GetProgramDependenciesResponse(dependencies=found)

    def About(self, request, context):
        """Say which interpreter runs programs."""
        try:
            executable = interpreter(request.info)
        except Missing as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return pb.AboutResponse(executable=executable, version=sys.version.split()[0])

    def InstallDependencies(self, request, context):
        """Install nothing."""
        return iter(())

    def RuntimeOptionsPrompts(self, request, context):
        """Ask nothing."""
        return pb.RuntimeOptionsResponse()

    def Cancel(self, request, context):
        """End the programs that run."""
        self.stop()
        return empty_pb2.Empty()

    def Run(self, request, context):
        """Run a program to its end."""
        try:
            python = interpreter(request.info)
        except Missing as error:
            return pb.RunResponse(error=str(error))
        program = [request.program or ".", *request.args]
        process = self._start(
            [*_started(python), "-u", self.executor, *flags(request, self.engine), *program],
            context,
            cwd=request.info.program_directory or request.pwd,
            env={
                **os.environ,
                "SKY_AS": python,
                "PULUMI_CONFIG": json.dumps(dict(request.config)),
                "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
            },
        )
        code = process.wait()
        self._running.discard(process)
        if code == _SHOWN:
            return pb.RunResponse(bail=True)
        return pb.RunResponse(error=f"the program ended with exit code {code}" if code else "")

    def RunPlugin(self, request, context):
        """Run a policy pack, and hand on what it prints until it ends."""
        try:
            python = interpreter(request.info)
        except Missing as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        module = ["-m", "pulumi.policy"] if request.kind == "analyzer" else []
        where = request.info.program_directory
        words = [*request.args, where] if module else [where, *request.args]
        process = self._start(
            [python, "-u", *module, *words],
            context,
            cwd=request.pwd,
            env=dict(pair.split("=", 1) for pair in request.env) or None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        yield from _printed(process)
        yield pb.RunPluginResponse(exitcode=process.wait())
        self._running.discard(process)

    def stop(self) -> None:
        """End what still runs: the engine waits for every holder of its pipes."""
        for process in list(self._running):
            if process.poll() is None:
                process.kill()

    def _start(
        self,
        command: Sequence[str],
        context: grpc.ServicerContext,
        *,
        cwd: str,
        env: dict[str, str] | None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr)
        self._running.add(process)

        def end() -> None:
            if process.poll() is None:
                process.kill()

        context.add_callback(end)
        return process


def _started(python: str) -> list[str]:
    """How a program's interpreter is started: as a fork, where one of the same packages is warm."""
    prefix = Path(python).parent.parent
    if os.environ.get("SKY_WARM") and prefix.resolve() == Path(sys.prefix).resolve():
        return [python, "-ISE", str(Path(__file__).with_name("launch.py"))]
    return [python]


def _printed(process: subprocess.Popen[bytes]) -> Iterator[pb.RunPluginResponse]:
    """What a process prints on its two pipes, as it comes."""
    pieces: queue.Queue[pb.RunPluginResponse | None] = queue.Queue()

    def pump(pipe: IO[bytes], name: str) -> None:
        while piece := pipe.read1(4096):  # pyright: ignore[reportAttributeAccessIssue]
            said: Any = {name: piece}
            pieces.put(pb.RunPluginResponse(**said))
        pieces.put(None)

    assert process.stdout and process.stderr
    open_pipes = [(process.stdout, "stdout"), (process.stderr, "stderr")]
    for pipe in open_pipes:
        threading.Thread(target=pump, args=pipe, daemon=True).start()
    ends = 0
    while ends < len(open_pipes):
        piece = pieces.get()
        if piece is None:
            ends += 1
        else:
            yield piece


def main() -> None:
    """Serve until the engine ends; it reads the port from standard output."""
    engine = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    host = Host(engine, os.environ["SKY_EXECUTOR"])
    sizes = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[(size, _BIG) for size in sizes])
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    # a killed engine leaves no orphans
    while os.getppid() == parent and not ended.wait(0.5):
        pass
    host.stop()
    os._exit(0)


if __name__ == "__main__":
    main()
