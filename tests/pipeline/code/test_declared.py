"""What can't be resolved is said, and can be declared; bad input has clear words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ems.errors import UsageError
from tests.pipeline.code.sandbox import Sandbox

LIB = {
    "lib/__init__.py": "",
    "lib/plugins/__init__.py": "",
    "lib/plugins/first.py": "from ..common import scale\ndef run(x): return scale(x)\n",
    "lib/plugins/second.py": "def run(x): return 2 * x\n",
    "lib/common.py": "def scale(x): return x\nclass Kinds:\n    a = 1\n",
    "configs/a.yaml": "a: 1\n",
    "configs/b.yaml": "b: 1\n",
    "configs/deep/c.yaml": "c: 1\n",
}

UNRESOLVED = {
    "getattr on a module": (
        "import lib.common as c\ndef task(k):\n    return getattr(c, k)",
        "attribute",
    ),
    "getattr on a class": (
        "from lib.common import Kinds\ndef task(k):\n    return getattr(Kinds, k)",
        "attribute",
    ),
    "exec": ("def task(t):\n    exec(t)", "runs code"),
    "eval": ("def task(t):\n    return eval(t)", "evaluates code"),
    "import_module": (
        "import importlib\ndef task(n):\n    return importlib.import_module(n)",
        "imports a module",
    ),
    "import_module by name": (
        "from importlib import import_module as load, import_module\ndef task(n):\n"
        "    return import_module(n)",
        "imports a module",
    ),
    "import in a function": (
        "def task(n):\n    import importlib; return importlib.import_module(f'lib.{n}')",
        "imports a module",
    ),
    "__import__": ("def task(n):\n    return __import__(n)", "imports a module"),
    "globals": ("X = 1\ndef task(n):\n    return globals()[n]", "looks a global up"),
}


@pytest.mark.parametrize("name", UNRESOLVED)
def test_what_cannot_be_resolved_is_named_with_its_line(sandbox: Sandbox, name: str) -> None:
    source, words = UNRESOLVED[name]
    sandbox.write(LIB)
    code = sandbox.one(source)
    line = next(n for n, text in enumerate(source.splitlines(), 1) if text.startswith("    "))
    (warning,) = code.warnings
    assert (warning.file, warning.line) == ("pipeline.py", line)
    assert words in warning.what
    assert "uses=[" in str(warning) and 'version="' in str(warning)


NO_CAUSE = {
    "getattr on an argument": "def task(x, k): return getattr(x, k)",
    "getattr on self": "class A:\n    def f(self, k): return getattr(self, k)\n"
    "def task(): return A()",
    "a method called eval": "def task(model): return model.eval()",
    "a function called exec": "def exec(x): return x\ndef task(): return exec(1)",
    "unreached": "def bad(x): return eval(x)\ndef task(): return 1",
    "somebody else's module": "import json\ndef task(k): return getattr(json, k)",
}


@pytest.mark.parametrize("name", NO_CAUSE)
def test_no_warning_without_cause(sandbox: Sandbox, name: str) -> None:
    assert not sandbox.one(NO_CAUSE[name]).warnings


def test_what_is_declared_or_vouched_for_is_not_warned_of(sandbox: Sandbox) -> None:
    sandbox.write(LIB)
    sandbox.write({"pipeline.py": "import lib.common as c\ndef task(k): return getattr(c, k)\n"})
    assert len(sandbox.code("task").warnings) == 1
    assert not sandbox.code("task", uses=["lib.common"]).warnings
    assert not sandbox.code("task", version="1").warnings


def test_all_of_a_module_counts_where_an_attribute_is_computed(sandbox: Sandbox) -> None:
    sandbox.write(LIB)
    code = sandbox.one("import lib.common as c\ndef task(k): return getattr(c, k)\n")
    assert set(code.parts) == {"task", "lib.common:scale", "lib.common:Kinds"}


def test_uses_adds_a_package_with_all_its_modules(sandbox: Sandbox) -> None:
    sandbox.write(LIB)
    sandbox.write({"pipeline.py": "def task(): return 1\n"})
    code = sandbox.code("task", uses=["lib.plugins"])
    assert set(code.parts) == {
        "task",
        "lib.plugins.first:run",
        "lib.plugins.second:run",
        "lib.common:scale",
    }
    assert {"lib", "lib.plugins", "lib.plugins.first", "lib.plugins.second", "lib.common"} < set(
        code.modules
    )


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("configs/a.yaml", ["configs/a.yaml"]),
        ("configs/*.yaml", ["configs/a.yaml", "configs/b.yaml"]),
        ("configs/**", ["configs/a.yaml", "configs/b.yaml", "configs/deep/c.yaml"]),
        ("configs", ["configs/a.yaml", "configs/b.yaml", "configs/deep/c.yaml"]),
        ("**/c.yaml", ["configs/deep/c.yaml"]),
        ("configs/[ab].yaml", ["configs/a.yaml", "configs/b.yaml"]),
        ("./configs/?.yaml", ["configs/a.yaml", "configs/b.yaml"]),
    ],
)
def test_uses_adds_files_by_glob(sandbox: Sandbox, pattern: str, files: list[str]) -> None:
    sandbox.write(LIB)
    sandbox.write({"pipeline.py": "def task(): return 1\n", ".venv/configs/c.yaml": "no: 1\n"})
    code = sandbox.code("task", uses=[pattern])
    assert sorted(set(code.parts) - {"task"}) == [f"file:{file}" for file in files]
    assert set(files) <= set(code.files)
    before = dict(code.parts)
    sandbox.write({files[0]: "changed: 1\n"})
    after = sandbox.code("task", uses=[pattern]).parts
    assert [part for part in before if before[part] != after[part]] == [f"file:{files[0]}"]


def test_python_files_named_by_glob_are_modules(sandbox: Sandbox) -> None:
    sandbox.write(LIB)
    sandbox.write({"pipeline.py": "def task(): return 1\n"})
    before = sandbox.code("task", uses=["lib/plugins/**"]).parts
    assert set(before) == {
        "task",
        "lib.plugins.first:run",
        "lib.plugins.second:run",
        "lib.common:scale",
    }
    sandbox.edit("lib/plugins/second.py", "def run", "# quick\ndef run")
    assert sandbox.code("task", uses=["lib/plugins/**"]).parts == before


@pytest.mark.parametrize(
    "pattern", ["lib.missing", "configs/*.json", "../x", "/etc/passwd", "nowhere"]
)
def test_a_pattern_that_matches_nothing_is_an_error(sandbox: Sandbox, pattern: str) -> None:
    sandbox.write(LIB)
    sandbox.write({"pipeline.py": "def task(): return 1\n"})
    with pytest.raises(UsageError) as caught:
        sandbox.code("task", uses=[pattern])
    assert repr(pattern) in str(caught.value)


def test_version_stands_in_for_the_code(sandbox: Sandbox) -> None:
    sandbox.write(LIB)
    sandbox.write(
        {
            "pipeline.py": "from lib.common import scale\ndef task(): return scale(1)\n"
            "def b(): return 1\n"
        }
    )
    first = sandbox.code("task", version="1")
    sandbox.edit("lib/common.py", "return x", "return -x")
    second = sandbox.code("task", version="1")
    assert list(first.parts) == ["version"]
    assert first.parts == second.parts
    assert first.parts != sandbox.code("task", version="2").parts
    assert first.parts != sandbox.code("b", version="1").parts
    assert set(first.files) == {"pipeline.py", "lib/__init__.py", "lib/common.py"}


def test_declared_files_count_beside_a_version(sandbox: Sandbox) -> None:
    sandbox.write(LIB)
    sandbox.write({"pipeline.py": "def task(): return 1\n"})
    code = sandbox.code("task", version="1", uses=["configs/a.yaml"])
    assert set(code.parts) == {"version", "file:configs/a.yaml"}


def test_a_syntax_error_in_a_helper_has_its_line(sandbox: Sandbox) -> None:
    sandbox.write({"helper.py": "def f():\n    return (1\n\ndef g(:\n"})
    with pytest.raises(UsageError, match=r"^helper\.py:\d+: syntax error") as caught:
        sandbox.one("import helper\ndef task(): return helper.f()\n")
    assert caught.value.exit_code == 2


def test_bytes_that_are_no_source(sandbox: Sandbox) -> None:
    sandbox.write({"helper.py": ""})
    (sandbox.root / "helper.py").write_bytes(b"x = '\xff'\n")
    with pytest.raises(UsageError, match=r"^helper\.py"):
        sandbox.one("import helper\ndef task(): return helper.x\n")


def test_a_file_that_hides_a_standard_module_is_named(sandbox: Sandbox) -> None:
    sandbox.write({"statistics.py": "def mean(x): return 0\n"})
    code = sandbox.one("import statistics\ndef task(): return statistics.mean([1])\n")
    assert set(code.parts) == {"task", "statistics:mean"}
    assert [(w.file, w.line) for w in code.warnings] == [("statistics.py", 1)]


def test_a_name_that_is_not_there(sandbox: Sandbox) -> None:
    sandbox.write({"pipeline.py": "def task(): return 1\n"})
    with pytest.raises(UsageError, match="defines no 'tsk'"):
        sandbox.code("tsk")
    with pytest.raises(UsageError, match="no module of the project"):
        sandbox.code("task", "nowhere")


def test_files_of_a_program(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "train.py": "import numpy as np\nimport lib.net\n"
            "if __name__ == '__main__':\n    print(1)\n",
            "lib/net.py": "import torch\n",
            "lib/net.cfg": "a=1\n",
            "lib/legacy.py": "print 'two'\n",
        }
    )
    code = sandbox.project().code_of_files(["train.py", "lib/**"])
    assert set(code.parts) == {
        "file:train.py",
        "file:lib/net.py",
        "file:lib/net.cfg",
        "file:lib/legacy.py",
    }
    assert code.packages == ("numpy", "torch")
    assert "print(1)" in code.source("file:train.py")
    sandbox.edit("train.py", "import numpy as np", "# comment\nimport numpy as np")
    assert sandbox.project().code_of_files(["train.py", "lib/**"]).parts == code.parts
    sandbox.edit("train.py", "print(1)", "print(2)")
    assert sandbox.project().code_of_files(["train.py", "lib/**"]).parts != code.parts


def test_files_of_a_program_are_relative_to_its_folder(sandbox: Sandbox) -> None:
    sandbox.write({"exp/train.py": "x = 1\n"})
    code = sandbox.project().code_of_files(["train.py"], sandbox.root / "exp")
    assert list(code.parts) == ["file:train.py"]
    assert code.files == {"train.py": Path(sandbox.root / "exp/train.py")}
