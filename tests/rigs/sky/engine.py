"""The real Pulumi engine on a program, for tests, in a folder of its own.

State, settings, plug-ins and logs lie below one folder, so that any number of engines run side by
side. Providers are the stand-ins on the PATH. Knows no resource.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.rigs.sky import faults as on_purpose
from tests.rigs.sky import install, results, warm
from tests.rigs.sky.cloud import ROOT, Cloud
from tests.rigs.sky.faults import Entry, Fault
from tests.rigs.sky.project import Project
from tests.rigs.sky.results import Result

PLUGINS = Path(__file__).with_name("bin")
PASSPHRASE = "a passphrase for tests"
_LIMIT_S = 300.0
_RUNS = ("up", "preview", "refresh", "destroy")
SKIPS = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
"""State is saved once, when a command ends: not after each step, which takes most of a long one."""
# nothing of the machine's own AWS or Pulumi settings gets in
_FOREIGN = ("AWS_", "PULUMI_", "SKY_")


class EngineError(Exception):
    """A command failed that a test expected to succeed; `result` says how."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"pulumi {result.command}: exit code {result.code}\n{result.shown()}")
        self.result = result


class Engine:
    """One project with one stack. Use it as a context, or call `close`."""

    def __init__(
        self,
        folder: Path,
        cloud: Cloud | None,
        project: Project,
        *,
        stack: str = "dev",
        config: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        plugins: Sequence[Path] = (PLUGINS,),
        plain: bool = False,
    ) -> None:
        """Make the stack. `plain`: as slow as a person's, with no fork and no save left out."""
        self.folder, self.cloud, self.stack = folder, cloud, stack
        self.journal_file = folder / "journal"
        self._log = 0
        self._running: list[Running] = []
        self._extra = dict(environment or {})
        self._plugins, self._plain = plugins, plain
        self.project_folder = project.write(folder / "project")
        self.name, self.config_file = project.name, project.config_file(folder / "project", stack)
        (folder / "state").mkdir(parents=True)
        if config:
            self.configure(config)
        self.run("stack", "init", stack)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------- the commands
    def up(self, *flags: str, faults: Sequence[Fault] = (), check: bool = True) -> Result:
        """Run `pulumi up`, without the preview before it."""
        return self._done("up", ["--yes", "--skip-preview", *flags], faults, check)

    def preview(self, *flags: str, faults: Sequence[Fault] = (), check: bool = True) -> Result:
        """Run `pulumi preview`."""
        return self._done("preview", list(flags), faults, check)

    def refresh(self, *flags: str, faults: Sequence[Fault] = (), check: bool = True) -> Result:
        """Run `pulumi refresh`; with `--preview-only` the state stays."""
        agreed = [] if "--preview-only" in flags else ["--yes", "--skip-preview"]
        return self._done("refresh", [*agreed, *flags], faults, check)

    def destroy(self, *flags: str, faults: Sequence[Fault] = (), check: bool = True) -> Result:
        """Run `pulumi destroy`; the stack and its settings stay."""
        return self._done("destroy", ["--yes", "--skip-preview", *flags], faults, check)

    def nothing_to_do(self) -> None:
        """Raise unless up, refresh and preview all find nothing to change, in this order."""
        for command in (self.up, self.refresh, self.preview):
            result = command(check=False)
            if result.code or result.changes:
                raise EngineError(result)

    def start(self, command: str, *flags: str, faults: Sequence[Fault] = ()) -> Running:
        """Start a command (`up`, …) and return at once. It saves its state after each step."""
        agreed = [] if command == "preview" else ["--yes", "--skip-preview"]
        return self._start([command, *agreed, *flags], faults, {})

    def run(self, *words: str, check: bool = True) -> Result:
        """Run any command of the CLI to its end."""
        result = self._start(list(words), (), SKIPS).wait()
        if check and result.code:
            raise EngineError(result)
        return result

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        """Return the stack's outputs; secrets as "[secret]" unless asked for."""
        shown = ["--show-secrets"] if secrets else []
        return json.loads(self.run("stack", "output", "--json", *shown).stdout)

    def export(self) -> dict[str, Any]:
        """Return the state, as `pulumi stack export` has it."""
        return json.loads(self.run("stack", "export").stdout)

    def resources(self) -> list[dict[str, Any]]:
        """Return the resources in the state, components and providers among them."""
        return self.export()["deployment"].get("resources") or []

    def cancel(self) -> Result:
        """Take away the lock that a killed command left."""
        return self.run("cancel", "--yes", self.stack)

    # ------------------------------------------------------------------------------- its settings
    def configure(self, values: Mapping[str, Any]) -> None:
        """Set settings, structured too; None takes one away. A key with no `:` is the project's."""
        with self.settings() as settings:
            for key, value in values.items():
                full = key if ":" in key else f"{self.name}:{key}"
                if value is None:
                    settings.pop(full, None)
                else:
                    settings[full] = value

    @contextmanager
    def settings(self) -> Iterator[dict[str, Any]]:
        """Give the stack's settings to be changed in place, by full key (`ems:sites`)."""
        file = self.config_file
        text = file.read_text() if file.exists() else ""
        document = yaml.safe_load(text) or {}
        settings = document.setdefault("config", {})
        yield settings
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(document, sort_keys=False))

    def secret(self, key: str, value: str) -> None:
        """Set a secret setting."""
        self.run("config", "set", "--secret", key, value, "--stack", self.stack)

    def write_program(self, source: str | Callable[[], None]) -> None:
        """Put another inline program in the place of this one."""
        Project.inline(source, name=self.name).write(self.project_folder)

    # -------------------------------------------------------------------------------- what happens
    def journal(self) -> list[Entry]:
        """Return what the provider's stand-in was asked to do, by all commands so far."""
        return list(on_purpose.journal(self.journal_file))

    def environment(self, faults: Sequence[Fault] = ()) -> dict[str, str]:
        """Return the environment that commands run in."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        found = install.folder()
        path = [*map(str, self._plugins), str(found or ""), own.get("PATH", "")]
        return {
            **own,
            **(self.cloud.environment if self.cloud else {}),
            "PATH": os.pathsep.join(path),
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_BACKEND_URL": (self.folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_ERROR_OUTPUT_STRING": "true",
            "PULUMI_DEBUG_COMMANDS": "1",  # without it there is no --event-log
            "SKY_PYTHON": sys.executable,
            **({} if self._plain else {warm.SOCKET: warm.started()}),
            on_purpose.JOURNAL: str(self.journal_file),
            **on_purpose.environment(faults),
            **self._extra,
        }

    def close(self) -> None:
        """End what still runs."""
        for running in self._running:
            running.kill()
        self._running.clear()

    def _done(self, command: str, flags: list[str], faults: Sequence[Fault], check: bool) -> Result:
        result = self._start([command, *flags], faults, SKIPS).wait()
        if check and result.code:
            raise EngineError(result)
        return result

    def _start(self, words: list[str], faults: Sequence[Fault], more: Mapping[str, str]) -> Running:
        log = None
        if words[0] in _RUNS:
            self._log += 1
            log = self.folder / f"events-{self._log}.json"
            words += ["--stack", self.stack, "--event-log", str(log)]
        if self._plain:
            more = {}
        found = install.folder()
        if found is None:
            raise RuntimeError(f"pulumi: {install.missing()}. Try: make rigs")
        command = [str(found / "pulumi"), *words, "--non-interactive", "--color", "never"]
        running = Running(self, command, {**self.environment(faults), **more}, log)
        self._running.append(running)
        return running


class Running:
    """A command of the engine that runs."""

    def __init__(
        self, engine: Engine, command: list[str], environment: dict[str, str], log: Path | None
    ) -> None:
        self._engine, self._log = engine, log
        self._words = " ".join(command[1:3])
        number = len(engine._running)
        self._out = engine.folder / f"command-{number}.out"
        self._err = engine.folder / f"command-{number}.err"
        self._began = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command,
                cwd=engine.project_folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The CLI's process."""
        return self._process.pid

    def until(
        self, name: str, *, op: str = "create", when: str = "begun", wait_s: float = 60
    ) -> Entry:
        """Wait until the stand-in's journal says so of the resource `name`."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            for entry in self._engine.journal():
                if (entry.name, entry.op, entry.when) == (name, op, when):
                    return entry
            if self._process.poll() is not None:
                raise EngineError(self.wait())
            time.sleep(0.02)
        raise TimeoutError(f"{name}: {op} not {when} after {wait_s} s")

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does: the engine ends what it began and no more."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL to the engine, and to no other; its plug-ins end by themselves."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self, limit_s: float = _LIMIT_S) -> Result:
        """Return how the command ended; one that takes longer is killed."""
        try:
            code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            code = 124
        said = results.read(self._log) if self._log else {}
        return Result(
            self._words,
            code,
            self._out.read_text(errors="replace"),
            self._err.read_text(errors="replace"),
            took_s=time.monotonic() - self._began,
            **said,
        )


__all__ = ["ROOT", "Cloud", "Engine", "EngineError", "Fault", "Project", "Result", "Running"]
