"""Which constructs lead to what: one small project a construct."""

from __future__ import annotations

import pytest

from tests.pipeline.code.sandbox import Sandbox

LIB = {
    "lib/__init__.py": "",
    "lib/a.py": "def f(x): return x\ndef other(x): return x\nVALUE = 1\n",
    "lib/sub/__init__.py": "from .deep import inner as shown\nfrom . import deep\n",
    "lib/sub/deep.py": "def inner(): return 1\ndef outer(): return 2\n",
}

REACHED = {
    "module alias": ("import lib.a as h\ndef task(): return h.f(1)", {"lib.a:f"}),
    "dotted module": ("import lib.a\ndef task(): return lib.a.f(1)", {"lib.a:f"}),
    "from import": ("from lib.a import f as g\ndef task(): return g(1)", {"lib.a:f"}),
    "module from package": ("from lib import a\ndef task(): return a.VALUE", {"lib.a:VALUE"}),
    "re-export": ("from lib.sub import shown\ndef task(): return shown()", {"lib.sub.deep:inner"}),
    "chain": ("import lib.sub as s\ndef task(): return s.deep.outer()", {"lib.sub.deep:outer"}),
    "star": ("from lib.a import *\ndef task(): return f(1)", {"lib.a:f"}),
    "in a function": ("def task():\n    from lib.a import f\n    return f(1)", {"lib.a:f"}),
    "in a function, module": (
        "def task():\n    import lib.a as h\n    return [h.f(x) for x in range(3)]",
        {"lib.a:f"},
    ),
    "conditional import": (
        "try:\n    from lib.a import f\nexcept ImportError:\n    f = None\ndef task(): return f(1)",
        {"lib.a:f", "pipeline:f"},
    ),
    "lambda": ("from lib.a import f\ndef task(): return (lambda x: f(x))(1)", {"lib.a:f"}),
    "nested function": (
        "from lib.a import f\ndef task():\n    def g():\n        return f(1)\n    return g()",
        {"lib.a:f"},
    ),
    "comprehension": (
        "import lib.a as h\ndef task(): return {h.f(x) for x in h.VALUE}",
        {"lib.a:f", "lib.a:VALUE"},
    ),
    "default": ("from lib.a import VALUE\ndef task(x=VALUE): return x", {"lib.a:VALUE"}),
    "local name hides": ("from lib.a import f\ndef task(f): return f(1)", set()),
    "getattr with a literal": (
        "import lib.a as h\ndef task(): return getattr(h, 'f')(1)",
        {"lib.a:f"},
    ),
    "import by a literal": (
        "import importlib\ndef task(): return importlib.import_module('lib.a').f(1)",
        {"lib.a:f", "lib.a:other", "lib.a:VALUE"},
    ),
    "globals with a literal": ("X = 1\ndef task(): return globals()['X']", {"pipeline:X"}),
    "dotted string": ("def task(make): return make(entry_point='lib.a:f')", {"lib.a:f"}),
    "module as a value": (
        "import lib.a as h\ndef task(): return vars(h)",
        {"lib.a:f", "lib.a:other", "lib.a:VALUE"},
    ),
    "global statement": (
        "X = 1\ndef task():\n    global X\n    X += 1\n    return X",
        {"pipeline:X"},
    ),
    "another task": (
        "import ems\n@ems.task(cpus=2)\ndef first(): return 1\n@ems.task\n"
        "def task(): return first() + first.fn()",
        {"pipeline:first"},
    ),
    "command": (
        "import ems\nrun = ems.command('python x.py', code=['x.py'])\ndef task(): return run",
        {"pipeline:run"},
    ),
    "under if": (
        "import sys\nif sys.platform == 'linux':\n    def g(): return 1\nelse:\n"
        "    def g(): return 2\n"
        "def task(): return g()",
        {"pipeline:g"},
    ),
    "match": (
        "from lib.a import VALUE\nclass P: pass\ndef task(x):\n    match x:\n"
        "        case P(): return VALUE",
        {"lib.a:VALUE", "pipeline:P"},
    ),
    "f-string": (
        "from lib.a import VALUE\ndef task(): return f'{VALUE:>{VALUE}}'",
        {"lib.a:VALUE"},
    ),
    "walrus": ("from lib.a import f\ndef task(): return (y := f(1)) + y", {"lib.a:f"}),
    "async": (
        "from lib.a import f\nasync def g(): return f(1)\ndef task():\n    import asyncio\n"
        "    return asyncio.run(g())",
        {"lib.a:f", "pipeline:g"},
    ),
    "class through a variable": (
        "class A:\n    x = 1\nKINDS = {'a': A}\ndef task(k): return KINDS[k]()",
        {"pipeline:A", "pipeline:KINDS"},
    ),
}


@pytest.mark.parametrize("name", REACHED)
def test_a_construct_reaches(sandbox: Sandbox, name: str) -> None:
    source, expected = REACHED[name]
    sandbox.write(LIB)
    code = sandbox.one(source)
    assert set(code.parts) == expected | {"task"}
    assert not code.warnings


EFFECTS = {
    "augmented assignment": ("X = 1\nX += 1\n", "X += 1", "X += 2", "return X"),
    "second definition": ("X = 1\nX = X + 1\n", "X = X + 1", "X = X + 2", "return X"),
    "item of a constant": ("X = {}\nX['a'] = 1\n", "X['a'] = 1", "X['a'] = 2", "return X"),
    "change of a list": ("X = []\nX.append(1)\n", "append(1)", "append(2)", "return X"),
    "bare call": ("import random\nrandom.seed(1)\n", "seed(1)", "seed(2)", "return 1"),
    "loop": ("X = {}\nfor k in 'ab':\n    X[k] = 1\n", "'ab'", "'abc'", "return 1"),
    "with": (
        "import os\nwith open(os.devnull) as f:\n    f.read()\n",
        "f.read()",
        "f.read(1)",
        "return 1",
    ),
    "if": ("import os\nif os.name == 'nt':\n    os.umask(0)\n", "umask(0)", "umask(1)", "return 1"),
    "patch elsewhere": ("import json\njson.x = 1\n", "json.x = 1", "json.x = 2", "return 1"),
    "patch of a module": (
        "import lib.a\nlib.a.VALUE = 5\n",
        "VALUE = 5",
        "VALUE = 6",
        "return lib.a.f(1)",
    ),
    "registry": (
        "R = {}\ndef register(fn):\n    R[fn.__name__] = fn\n    return fn\n"
        "@register\ndef plugin(): return 1\n",
        "return 1\n",
        "return 2\n",
        "return R['plugin']()",
    ),
    "registry with arguments": (
        "R = {}\ndef register(name):\n    def wrap(fn):\n        R[name] = fn\n        return fn\n"
        "    return wrap\n@register('p')\ndef plugin(): return 1\n",
        "return 1\n",
        "return 2\n",
        "return R['p']()",
    ),
    "registry object": (
        "class Registry:\n    def add(self, fn): return fn\nR = Registry()\n@R.add\n"
        "def plugin(): return 1\n",
        "return 1\n",
        "return 2\n",
        "return R",
    ),
    "registered subclass": (
        "class Base:\n    known = []\n    def __init_subclass__(cls): Base.known.append(cls)\n"
        "class Mid(Base): pass\nclass Sub(Mid):\n    x = 1\n",
        "x = 1",
        "x = 2",
        "return Base.known",
    ),
    "singledispatch": (
        "import functools\n@functools.singledispatch\ndef show(x): return x\n@show.register\n"
        "def _(x: int): return 1\n",
        "x: int",
        "x: str",
        "return show(1)",
    ),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_a_module_does_at_import_counts(sandbox: Sandbox, name: str) -> None:
    top, old, new, body = EFFECTS[name]
    sandbox.write(LIB)
    source = f"{top}def task():\n    {body}\n"
    before = sandbox.one(source)
    assert source.count(old) >= 1
    assert sandbox.one(source.replace(old, new, 1)).parts != before.parts


def test_a_plugin_of_a_registry_in_another_module(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "lib/__init__.py": "",
            "lib/registry.py": "R = {}\ndef register(n):\n    def w(f):\n"
            "        R[n] = f\n        return f\n    return w\n",
            "lib/plugins.py": "from .registry import register\n@register('a')\ndef a(): return 1\n",
            "pipeline.py": "import lib.plugins\nfrom lib.registry import R\n"
            "def task(): return R['a']()\ndef bare(): return 1\n",
        }
    )
    assert {"lib.plugins:a", "lib.registry:R", "lib.registry:register"} <= set(
        sandbox.code("task").parts
    )
    assert set(sandbox.code("bare").parts) == {"task"}


def test_a_plain_wrapper_is_no_registry(sandbox: Sandbox) -> None:
    source = (
        "SEEN = {}\ndef timed(fn):\n    def call(*a):\n        SEEN[fn] = 1\n"
        "        return fn(*a)\n"
        "    return call\n@timed\ndef slow(): return 1\ndef task(): return SEEN\n"
    )
    assert set(sandbox.one(source).parts) == {"task", "pipeline:SEEN"}


def test_order_counts_where_a_name_is_bound_twice(sandbox: Sandbox) -> None:
    first = sandbox.one("A = 1\nB = A\nA = 2\ndef task(): return B\n")
    second = sandbox.one("A = 1\nA = 2\nB = A\ndef task(): return B\n")
    assert first.parts != second.parts


def test_modules_are_shipped_whole_and_hashed_by_symbol(sandbox: Sandbox) -> None:
    sandbox.write(LIB)
    sandbox.write({"lib/z.py": "from lib import sub\nimport numpy\ndef unused(): return numpy\n"})
    code = sandbox.one("import lib.z\nfrom lib.a import f\ndef task(): return f(1)\n")
    assert set(code.parts) == {"task", "lib.a:f"}
    assert dict(code.modules) == {
        "lib": "lib/__init__.py",
        "lib.a": "lib/a.py",
        "lib.sub": "lib/sub/__init__.py",
        "lib.sub.deep": "lib/sub/deep.py",
        "lib.z": "lib/z.py",
        "pipeline": "pipeline.py",
    }
    assert set(code.files) == set(code.digests) == set(code.modules.values())
    assert code.packages == ()


def test_a_folder_without_init_is_a_package(sandbox: Sandbox) -> None:
    sandbox.write({"tools/x.py": "def f(): return 1\n"})
    code = sandbox.one(
        "from tools import x\nimport tools.x as y\ndef task(): return x.f(), y.f()\n"
    )
    assert set(code.parts) == {"task", "tools.x:f"}
    assert code.modules == {"pipeline": "pipeline.py", "tools.x": "tools/x.py"}


def test_a_folder_may_have_the_name_of_a_package(sandbox: Sandbox) -> None:
    sandbox.write({"wandb/run-1/log.txt": "x"})
    code = sandbox.one("import wandb\ndef task(): return wandb.init()\n")
    assert code.packages == ("wandb",)
    assert code.modules == {"pipeline": "pipeline.py"}


def test_packages_are_those_that_reached_code_uses(sandbox: Sandbox) -> None:
    code = sandbox.one(
        "import numpy as np\nimport pandas\nimport gymnasium  # registers\nimport json, ems\n"
        "from PIL.Image import open as load\ndef task(x: 'pandas.DataFrame'):\n    import yaml\n"
        "    return np.sum(load(x))\ndef other(): return pandas\n"
    )
    assert code.packages == ("PIL", "gymnasium", "numpy", "yaml")


def test_an_import_for_its_effect_counts_in_a_package_too(sandbox: Sandbox) -> None:
    sandbox.write({"lib/__init__.py": "import minigrid\nfrom numpy import float32\nX = 1\n"})
    assert sandbox.one("from lib import X\ndef task(): return X\n").packages == ("minigrid",)


def test_circular_imports(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "one.py": "from two import g\ndef f(n): return g(n)\n",
            "two.py": "import one\ndef g(n): return n and one.f(n - 1)\n",
            "three.py": "from four import x\n",
            "four.py": "from three import x\n",
        }
    )
    code = sandbox.one("from one import f\nfrom three import x\ndef task(): return f(1), x\n")
    assert set(code.parts) == {"task", "one:f", "two:g"}


def test_a_function_may_have_the_name_of_its_module(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "lib/__init__.py": "from .fit import fit\nfrom lib.low import low\n"
            "import lib.up.up as up\n",
            "lib/fit.py": "def fit(): return 1\ndef other(): return 2\n",
            "lib/low.py": "def low(): return 1\n",
            "lib/up/__init__.py": "",
            "lib/up/up.py": "def f(): return 1\n",
        }
    )
    code = sandbox.one("import lib\ndef task(): return lib.fit(), lib.low(), lib.up.f()\n")
    assert set(code.parts) == {"task", "lib.fit:fit", "lib.low:low", "lib.up.up:f"}


def test_a_package_that_defines_its_exports(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "lib/__init__.py": "from .x import *\nfrom .y import *\n",
            "lib/x.py": "__all__ = ['f']\ndef f(): return 1\ndef g(): return 1\n",
            "lib/y.py": "def g(): return 2\ndef _h(): return 3\n",
        }
    )
    code = sandbox.one("from lib import *\ndef task(): return f(), g()\n")
    assert set(code.parts) == {"task", "lib.x:f", "lib.y:g"}


def test_a_module_getattr_is_reached(sandbox: Sandbox) -> None:
    sandbox.write({"lazy.py": "def __getattr__(name): return 1\n"})
    code = sandbox.one("import lazy\ndef task(): return lazy.anything\n")
    assert set(code.parts) == {"task", "lazy:__getattr__"}


def test_src_layout_and_the_folder_of_the_pipeline(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "src/robots/__init__.py": "",
            "src/robots/arm.py": "from .joints import move\n",
            "src/robots/joints.py": "def move(): return 1\n",
            "experiments/near.py": "def f(): return 1\n",
            "experiments/run.py": "import near\nfrom robots.arm import move\n"
            "def task(): return near.f(), move()\n",
        }
    )
    code = sandbox.code("task", "run", pipeline="experiments/run.py")
    assert set(code.parts) == {"task", "near:f", "robots.joints:move"}
    assert code.modules["robots.arm"] == "src/robots/arm.py"
    assert code.search == ("experiments", "src", ".")


def test_a_pipeline_inside_a_package(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "lab/__init__.py": "",
            "lab/base.py": "X = 1\n",
            "lab/runs/__init__.py": "",
            "lab/runs/first.py": "from ..base import X\nimport ems\ndef task(): return X\n",
        }
    )
    code = sandbox.code("task", "lab.runs.first", pipeline="lab/runs/first.py")
    assert set(code.parts) == {"task", "lab.base:X"}
    assert code.parts == sandbox.code("task", "first", pipeline="lab/runs/first.py").parts


def test_deeply_nested_code(sandbox: Sandbox) -> None:
    total = " + ".join(["x"] * 3000)
    chain = "\n".join(f"    elif x == {n}:\n        return {n}" for n in range(500))
    nested = "(" * 60 + "x" + " * 2)" * 60
    code = sandbox.one(
        f"def task(x):\n    if x < 0:\n        return {total}\n{chain}\n    return {nested}\n"
    )
    assert set(code.parts) == {"task"}
