from __future__ import annotations

import subprocess
import sys
import types
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ems import __version__
from ems.cli.main import COMMANDS, main
from ems.errors import EmsError
from tests.cli.conftest import call
from tests.e2e.lab import EMSCTL, Lab

HEAVY = (
    "rich",
    "yaml",
    "msgspec",
    "obstore",
    "numpy",
    "asyncio",
    "sqlite3",
    "ems.pipeline",
    "ems.store",
)


def test_help_lists_every_command_and_imports_none() -> None:
    program = (
        "import sys\nfrom ems.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert not loaded & {module for module, _ in COMMANDS.values()}
    assert not loaded & set(HEAVY)
    for name, (_, text) in COMMANDS.items():
        assert any(line.split() == [name, *text.split()] for line in done.stdout.splitlines()), name


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_own_help(name: str) -> None:
    module, short = COMMANDS[name]
    command = getattr(import_module(module), name)
    assert isinstance(command, click.Command) and command.name == name
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0 and done.stdout.startswith(f"Usage: emsctl {name}")
    assert short.endswith(".") and len(short) <= 60


def test_version_and_no_words(tmp_path: Path) -> None:
    assert call(tmp_path, "--version").out == f"emsctl {__version__}\n"
    bare = CliRunner().invoke(main, [])
    assert bare.exit_code == 2 and "Commands:" in bare.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["rnus"], "emsctl: rnus: no such command (did you mean 'runs'?). Try: emsctl --help"),
        (["--bogus"], "emsctl: no such option '--bogus'. Try: emsctl --help"),
        (["runs", "--al"], "emsctl: runs: no such option '--al'"),
        (
            ["runs", "--store", "x"],
            "emsctl: runs: no such option '--store'. Try: emsctl --store … runs",
        ),
        (["runs", "-n", "x"], "emsctl: runs: invalid value for '-n' / '--number': 'x'"),
        (["show"], "emsctl: show: missing argument 'RUN|VERSION'. Try: emsctl show --help"),
        (["-C", "nowhere", "runs"], "emsctl: -C nowhere: no such file or directory"),
        (["--store", "ftp://x", "runs"], "emsctl: store: 'ftp://x' is neither a folder"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    tmp_path: Path, words: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.startswith(text) and done.stderr.count("\n") == 1


def a_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Put a command `boom` beside the others that ends as given."""

    @click.command()
    def boom() -> None:
        raise error

    module = types.ModuleType("boom_command")
    module.__dict__["boom"] = boom
    monkeypatch.setitem(sys.modules, "boom_command", module)
    monkeypatch.setitem(COMMANDS, "boom", ("boom_command", "Fail."))


class _Own(EmsError):
    exit_code = 100


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (EmsError("it", "broke", "again"), 1, "emsctl: it: broke. Try: again\n"),
        (_Own("it", "broke"), 100, "emsctl: it: broke\n"),
        (KeyboardInterrupt(), 103, "emsctl: canceled\n"),
        (click.ClickException("so it is"), 1, "emsctl: so it is\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_how_errors_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    a_command(monkeypatch, error)
    done = call(tmp_path, "boom")
    assert (done.code, done.err) == (code, text)


def test_a_traceback_only_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_command(monkeypatch, EmsError("it", "broke"))
    monkeypatch.setenv("EMS_DEBUG", "1")
    done = CliRunner().invoke(main, ["boom"])
    assert "Traceback" in done.stderr and done.stderr.endswith("emsctl: it: broke\n")


def test_the_unforeseen_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_command(monkeypatch, RuntimeError("what\nnobody thought of"))
    monkeypatch.setenv("EMS_CACHE", str(tmp_path / "cache"))
    done = call(tmp_path, "boom")
    (kept,) = (tmp_path / "cache" / "crashes").iterdir()
    assert done.code == 1 and done.err.count("\n") == 1
    assert (
        f"unexpected RuntimeError: what nobody thought of; the traceback is in {kept}" in done.err
    )
    assert "nobody thought of" in kept.read_text() and "Traceback" in kept.read_text()


def test_the_unforeseen_is_shown_where_it_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_command(monkeypatch, RuntimeError("lost"))
    (tmp_path / "cache").write_text("a file, no folder")
    monkeypatch.setenv("EMS_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(main, ["boom"])
    assert done.exit_code == 1 and "Traceback" in done.stderr


def test_a_reader_that_leaves_ends_it_quietly(shared: Lab) -> None:
    process = shared.popen([*EMSCTL, "show", "last", "-o", "json"])
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(30) == 141 and error == ""


def test_a_store_of_another_folder(
    shared: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMS_CACHE", str(shared.cache))
    store = str(shared.root / ".ems")
    assert len(call(tmp_path, "--store", store, "runs", "-o", "json").json) == 3
    monkeypatch.setenv("EMS_STORE", store)
    assert len(call(tmp_path, "runs", "-o", "json").json) == 3


def test_no_store_here_says_where_one_is(shared: Lab, tmp_path: Path) -> None:
    none = call(tmp_path, "runs")
    assert none.code == 1 and "there is no store here. Try: emsctl run" in none.err
    assert not (tmp_path / ".ems").exists()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".ems").symlink_to(shared.root / ".ems")
    assert "Try: emsctl -C sub …" in call(tmp_path, "runs").err


def test_a_terminal_of_few_characters(shared: Lab) -> None:
    done = shared.emsctl("why", "last", "train", env={"PYTHONIOENCODING": "ascii"})
    assert "argument rate: 0.1 \\u2192 2.0" in done.out


def test_a_store_without_runs(tmp_path: Path) -> None:
    from ems.store.store import Store

    Store.open(tmp_path / ".ems", cache=tmp_path / "cache").close()
    done = call(tmp_path, "show", "nope")
    assert done.code == 2
    assert done.err.endswith(f"the store {tmp_path / '.ems'} has no runs. Try: emsctl run FILE\n")
    assert "last: the store has no runs" in call(tmp_path, "logs").err
