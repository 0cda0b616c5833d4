"""Tasks that no file holds: cells of a notebook, closures, and what they take along."""

from __future__ import annotations

import functools
import importlib
import linecache
import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ems.errors import UsageError
from ems.pipeline.code import Code
from ems.pipeline.code.literals import literal
from tests.pipeline.code.sandbox import Sandbox


class Notebook:
    """Runs cells as a kernel does: their source is in `linecache` and in no file."""

    def __init__(self) -> None:
        self.module = types.ModuleType("notebook_of_test")
        self.names = vars(self.module)
        sys.modules[self.module.__name__] = self.module
        self.files: list[str] = []

    def run(self, source: str) -> None:
        name = f"/tmp/ipykernel_1/{len(self.files)}-{id(self)}.py"
        self.files.append(name)
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        exec(compile(source, name, "exec", dont_inherit=True), self.names)

    def close(self) -> None:
        del sys.modules[self.module.__name__]
        for name in self.files:
            linecache.cache.pop(name, None)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    made = Notebook()
    yield made
    made.close()


@pytest.fixture
def importing(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(sandbox.root))
    yield importlib.import_module
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(sandbox.root)):
            del sys.modules[name]


def run_generated(code: Code, *args: object) -> Any:
    """Call the task as a worker would: import the written module, take the function."""
    (text,) = code.generated.values()
    module = types.ModuleType(code.entry[0])
    sys.modules[module.__name__] = module
    exec(compile(text, "generated", "exec", dont_inherit=True), vars(module))
    return vars(module)[code.entry[1]](*args)


def code_of(sandbox: Sandbox, fn: Callable[..., object]) -> Code:
    return sandbox.project().code_of(fn)


CELLS = """
import math
import ems
from dataclasses import dataclass
SCALE = 3
@dataclass
class Settings:
    rate: float = 0.5
def square(x): return x * x * SCALE
cube = lambda x: x ** 3
@ems.task(cpus=SCALE)
def task(x, settings=None) -> Settings:
    '''Doc.'''
    return square(x) + cube(x) + (settings or Settings()).rate + math.floor(x)
"""


def test_a_cell_becomes_a_module(sandbox: Sandbox, notebook: Notebook) -> None:
    notebook.run(CELLS)
    code = code_of(sandbox, notebook.names["task"])
    assert set(code.parts) == {
        "task",
        *(f"<live>:{n}" for n in ("SCALE", "Settings", "square", "cube")),
    }
    assert code.entry[0].startswith("ems_live_") and code.entry[1] == "task"
    (path,) = code.generated
    assert code.modules[code.entry[0]] == path
    assert run_generated(code, 2) == notebook.names["task"].fn(2)
    assert "x ** 3" in code.source("<live>:cube")


CELL_CHANGES = [
    ("SCALE = 3", "SCALE = 4", True),
    ("rate: float = 0.5", "rate: float = 0.6", True),
    ("x * x * SCALE", "x + x * SCALE", True),
    ("x ** 3", "x ** 4", True),
    ("'''Doc.'''", "'''Other.'''", False),
    ("cpus=SCALE", "cpus=1", False),
    ("def square(x): return", "def square( x ):  # so\n    return", False),
    ("import ems\n", "import ems\nunrelated = 7\n", False),
]


@pytest.mark.parametrize(("old", "new", "counts"), CELL_CHANGES, ids=[c[1] for c in CELL_CHANGES])
def test_what_counts_in_a_cell(
    sandbox: Sandbox, notebook: Notebook, old: str, new: str, counts: bool
) -> None:
    notebook.run(CELLS)
    before = code_of(sandbox, notebook.names["task"])
    notebook.run(CELLS.replace(old, new))
    after = code_of(sandbox, notebook.names["task"])
    assert (before.parts != after.parts) is counts


def test_a_helper_may_be_edited_in_a_later_cell(sandbox: Sandbox, notebook: Notebook) -> None:
    notebook.run(CELLS)
    before = code_of(sandbox, notebook.names["task"])
    notebook.run("def square(x): return -x\nSCALE = 5\n")
    after = code_of(sandbox, notebook.names["task"])
    assert before.parts["<live>:square"] != after.parts["<live>:square"]
    assert run_generated(after, 2) == notebook.names["task"].fn(2)


def test_a_cell_reaches_into_the_project(
    sandbox: Sandbox, notebook: Notebook, importing: Callable[[str], Any]
) -> None:
    sandbox.write({"helpers.py": "BASE = 2\ndef up(x): return x + BASE\ndef other(): return 0\n"})
    notebook.run(
        "from helpers import up\nimport helpers as h\ndef task(x): return up(x) + h.up(x)\n"
    )
    code = code_of(sandbox, notebook.names["task"])
    assert set(code.parts) == {"task", "helpers:up", "helpers:BASE"}
    assert set(code.files) == {"helpers.py"}


def test_a_closure_in_a_file(sandbox: Sandbox, importing: Callable[[str], Any]) -> None:
    sandbox.write(
        {
            "pipeline.py": "import ems\nK = 10\ndef helper(x): return x * K\n"
            "def make(k, words=('a', 'b')):\n    def inner(x): return helper(x) + k\n"
            "    @ems.task\n    def task(x, n=k): return inner(x) + n + len(words)\n"
            "    return task\n"
        }
    )
    make = importing("pipeline").make
    one, same, two = (code_of(sandbox, make(k)) for k in (1, 1, 2))
    assert one.parts == same.parts
    assert {part for part in one.parts if one.parts[part] != two.parts[part]} == {
        "task",
        "<live>:k",
    }
    assert {"pipeline:helper", "pipeline:K", "<live>:inner", "<live>:words"} < set(one.parts)
    assert run_generated(one, 3) == make(1).fn(3)


def test_functions_of_files_are_found_by_themselves(
    sandbox: Sandbox, importing: Callable[[str], Any]
) -> None:
    sandbox.write(
        {
            "pipeline.py": "import ems, functools\ndef own(fn):\n    @functools.wraps(fn)\n"
            "    def call(*a): return fn(*a)\n    return call\n@ems.task\n@own\n"
            "def task(x): return x\n"
        }
    )
    code = code_of(sandbox, importing("pipeline").task)
    assert code.entry == ("pipeline", "task")
    assert code.parts == sandbox.code("task").parts
    assert not code.generated


def test_a_task_of_an_installed_package(sandbox: Sandbox) -> None:
    import yaml

    code = code_of(sandbox, yaml.safe_load)
    assert list(code.parts) == ["task"]
    assert code.packages == ("yaml",)
    assert not code.modules and not code.files


def test_code_outside_the_project_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "outside.py"
    path.write_text("def task(): return 1\n")
    names: dict[str, Any] = {"__name__": "outside"}
    exec(compile(path.read_text(), str(path), "exec"), names)
    with pytest.raises(UsageError, match="outside the project"):
        code_of(sandbox, names["task"])


def test_what_cannot_travel_is_named(sandbox: Sandbox, notebook: Notebook) -> None:
    notebook.run("handle = open(__import__('os').devnull)\ndef task(): return handle.name\n")
    with pytest.raises(UsageError, match=r"'handle'.*TextIOWrapper.*as an argument") as caught:
        code_of(sandbox, notebook.names["task"])
    assert caught.value.exit_code == 2
    notebook.names["handle"].close()


def test_things_that_are_no_functions(sandbox: Sandbox, notebook: Notebook) -> None:
    with pytest.raises(UsageError, match="no plain function"):
        code_of(sandbox, len)
    with pytest.raises(UsageError, match="no plain function"):
        code_of(sandbox, functools.partial(print))
    names: dict[str, Any] = {}
    exec("def task(): return 1", names)
    with pytest.raises(UsageError, match="source of 'task' is not to be had"):
        code_of(sandbox, names["task"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1,
        -1.5,
        math.inf,
        2j,
        "ä'",
        b"x",
        (1,),
        [],
        [(), {1: [2]}],
        {3, 1, 2},
        frozenset("ab"),
        Path("a/b"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_literals_give_their_values_back(value: object) -> None:
    text = literal(value)
    assert text is not None and eval(text) == value
    assert type(eval(text)) is type(value)


@pytest.mark.parametrize(
    "value",
    [object(), [object()], {"a": object()}, len, math],
    ids=lambda value: type(value).__name__,
)
def test_other_values_have_no_literal(value: object) -> None:
    assert literal(value) is None
