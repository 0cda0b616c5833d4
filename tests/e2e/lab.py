"""A person's project in a folder of its own: files, `emsctl` as a subprocess, and what ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ems.pipeline.nodes import NodeRow, unpack
from ems.pipeline.run import Run
from ems.store.store import Store

EMSCTL = (sys.executable, "-c", "from ems.cli.main import main; main(prog_name='emsctl')")
_PATIENCE_S = 60


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line on standard error that says what is wrong; there is no other."""
        assert "Traceback" not in self.err, self.err
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@dataclass(frozen=True)
class Ran:
    """A run as it was recorded: what each call of a task came to."""

    id: str
    state: str
    result: Any
    rows: list[NodeRow] = field(repr=False)
    done: Done | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def how(self) -> dict[str, str]:
        """Label of each call → ran, cached, failed, skipped, left out or pending."""
        return {row.label: row.how for row in self.rows}

    @property
    def ran(self) -> list[str]:
        """Labels of what was computed in this run, sorted."""
        return sorted(row.label for row in self.rows if row.how == "ran")

    @property
    def versions(self) -> dict[str, str]:
        """Label of each call → version."""
        return {row.label: row.version for row in self.rows}


class Lab:
    """A project's folder with its store `.ems`, and a cache of its own."""

    def __init__(self, home: Path) -> None:
        self.root = home / "project"
        self.cache = home / "cache"
        self.marks_file = home / "marks"
        self.root.mkdir()
        (self.root / ".ems.yaml").write_text("")

    # -- files ----------------------------------------------------------------------------------

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project; text is dedented."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def edit(self, name: str, *pairs: tuple[str, str]) -> None:
        """Replace each old text, which must be there once, by the new one."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        for old, new in pairs:
            assert text.count(old) == 1, f"{old!r} is in {name} {text.count(old)} times"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def marks(self) -> list[str]:
        """Return what tasks noted outside of every store: lines of the file named by $MARKS."""
        if not self.marks_file.exists():
            return []
        return self.marks_file.read_text(encoding="utf-8").splitlines()

    # -- commands -------------------------------------------------------------------------------

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment in which commands of this project run."""
        own = {"EMS_CACHE": str(self.cache), "MARKS": str(self.marks_file)}
        return {**os.environ, **own, **(more or {})}

    def emsctl(
        self, *words: str, code: int | None = 0, env: Mapping[str, str] | None = None
    ) -> Done:
        """Run `emsctl …` in the project's folder to its end; `code` is its exit code."""
        process = self.start(*words, env=env)
        out, err = process.communicate(timeout=_PATIENCE_S)
        done = Done(process.returncode, out, err)
        assert code is None or done.code == code, f"exit {done.code}\n{done.err}\n{done.out}"
        return done

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `emsctl …` in the project's folder and return at once."""
        return self.popen([*EMSCTL, *words], env)

    def popen(
        self, command: list[str], env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start any program in the project's folder."""
        return subprocess.Popen(
            command, cwd=self.root, env=self.environ(env), text=True, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def python(self, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """Run this Python with `words` in the project's folder to its end."""
        process = self.popen([sys.executable, *words], env)
        out, err = process.communicate(timeout=_PATIENCE_S)
        return Done(process.returncode, out, err)

    def run(
        self,
        *words: str,
        file: str = "pipeline.py",
        code: int | None = 0,
        env: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run `emsctl run FILE … -o json` and return what is recorded of it."""
        done = self.emsctl("run", file, *words, "-o", "json", code=code, env=env)
        told = done.json
        with self.store() as store:
            rows = rows_of(store, told["run"])
        return Ran(told["run"], told["state"], told["result"], rows, done, told["failures"])

    def bad(self, *words: str) -> str:
        """Run what must be refused: exit code 2 and one line without a traceback, returned."""
        done = self.emsctl(*words, code=2)
        assert done.out == ""
        return done.error

    # -- in this process ------------------------------------------------------------------------

    def here(self, *words: str) -> Done:
        """Run `emsctl …` in this process, for tables of many cases; modules are loaded anew."""
        from click.testing import CliRunner

        from ems.cli.main import main

        self.forget()
        found = CliRunner().invoke(main, words, prog_name="emsctl")
        return Done(found.exit_code, found.stdout, found.stderr)

    @contextmanager
    def store(self, folder: str = ".ems"):
        """Open the project's store."""
        store = Store.open(str(self.root / folder), create=False, cache=self.cache)
        try:
            yield store
        finally:
            store.close()

    def load(self, target: str = "pipeline.py") -> Any:
        """Import a pipeline of the project anew and return it."""
        from ems.pipeline.loadfile import load_pipeline

        self.forget()
        file, _, name = target.partition(":")
        return load_pipeline(f"{self.root / file}:{name}" if name else str(self.root / file))[0]

    def forget(self) -> None:
        """Let this process forget every module of the project."""
        import importlib

        inside = str(self.root) + os.sep
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(inside):
                del sys.modules[name]
        sys.path[:] = [each for each in sys.path if not (each + os.sep).startswith(inside)]
        importlib.invalidate_caches()

    def ems_run(self, target: str = "pipeline.py", **params: Any) -> Run:
        """Run a pipeline of the project with `ems.run`, in this process."""
        import ems

        return ems.run(self.load(target), **params)


def rows_of(store: Store, run_id: str) -> list[NodeRow]:
    """Return the calls of an ended run, as recorded."""
    info = store.run(run_id)
    assert info is not None and info.ended is not None and info.ended.nodes is not None
    return unpack(store.objects.read(info.ended.nodes))


def how(run: Run) -> dict[str, str]:
    """Return label → ran, cached, … of a run that `ems.run` returned."""
    assert run._store is not None
    return {row.label: row.how for row in rows_of(run._store, run.id)}


def ran(run: Run) -> list[str]:
    """Return the labels that a run computed, sorted."""
    return sorted(label for label, what in how(run).items() if what == "ran")
