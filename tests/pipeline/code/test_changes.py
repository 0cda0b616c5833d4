"""What re-runs a task and what does not: the acceptance of contract 2 at the level of digests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pipeline.code.lab import LAB, TASKS
from tests.pipeline.code.sandbox import Sandbox


def digests(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    project = sandbox.project()
    return {task: dict(project.code_of_symbol("pipeline", task).parts) for task in TASKS}


@pytest.fixture
def lab(sandbox: Sandbox) -> Sandbox:
    sandbox.write(LAB)
    return sandbox


CHANGES = [
    (
        "own body",
        "pipeline.py",
        "return rollout(env, seed)",
        "return rollout(env, seed + 1)",
        "collect",
    ),
    ("helper", "lib/collecting.py", "range(10)", "range(11)", "collect"),
    ("helper two modules away", "lib/envs/grid.py", "REWARD *", "REWARD +", "collect"),
    ("constant three modules away", "lib/constants.py", "REWARD = 1", "REWARD = 2", "collect"),
    ("constant's type", "lib/constants.py", "REWARD = 1", "REWARD = True", "collect"),
    ("constant's kind of number", "lib/constants.py", "REWARD = 1", "REWARD = 1.0", "collect"),
    ("default of a helper", "lib/envs/grid.py", "discount=0.9", "discount=0.99", "collect"),
    ("constant behind a default", "pipeline.py", "GOALS = 100", "GOALS = 50", "evaluate"),
    ("method", "lib/models.py", "self.settings = settings", "self.settings = [settings]", "train"),
    ("method of a base", "lib/models.py", "* len(data)", "+ len(data)", "train"),
    ("attribute of a base", "lib/models.py", "rate = 0.1", "rate = 0.2", "train"),
    ("dataclass field", "lib/models.py", "width: int = 8", "width: int = 9", "train"),
    ("annotation of a field", "lib/models.py", "width: int = 8", "width: float = 8", "train"),
    ("new field", "lib/models.py", "depth: int = 2", "depth: int = 2\n    more: int = 0", "train"),
    ("own decorator", "lib/decorators.py", "print(name,", "print('took', name,", "train"),
    ("own decorator's argument", "pipeline.py", 'timed("train")', 'timed("fit")', "train"),
    ("closure's code", "lib/plots.py", "return row * factor", "return row + factor", "plot"),
    ("closure's value", "lib/plots.py", "make_scale(2)", "make_scale(3)", "plot"),
    ("what an import means", "pipeline.py", "import numpy as np", "import cupy as np", "evaluate"),
]


@pytest.mark.parametrize(
    ("path", "old", "new", "tasks"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_change_reaches_exactly_its_tasks(
    lab: Sandbox, path: str, old: str, new: str, tasks: str
) -> None:
    before = digests(lab)
    lab.edit(path, old, new)
    after = digests(lab)
    assert [task for task in TASKS if before[task] != after[task]] == tasks.split()


IDLE = [
    ("comment", "lib/envs/grid.py", "return REWARD", "# why not\n    return REWARD"),
    ("docstring", "pipeline.py", '"""Collect."""', '"""Collect rollouts."""'),
    ("docstring gone", "pipeline.py", '    """Collect."""\n', ""),
    ("module docstring", "pipeline.py", '"""Four tasks."""', '"""Tasks: four."""'),
    ("new docstring", "lib/plots.py", "def draw(rows):", 'def draw(rows):\n    "Draw."'),
    (
        "formatting",
        "lib/models.py",
        "return self.rate * len(data)",
        "return (self.rate\n   * len( data ))",
    ),
    ("quotes", "pipeline.py", 'timed("train")', "timed('train')"),
    ("trailing comma", "lib/plots.py", "make_scale(2)", "make_scale(2,)"),
    ("form of a number", "lib/models.py", "depth: int = 2", "depth: int = 0x2"),
    ("annotation of a function", "pipeline.py", "seed: int) -> ems.File", "seed) -> 'str'"),
    ("annotation of a variable", "lib/constants.py", "REWARD = 1", "REWARD: int = 1"),
    ("unrelated function", "lib/collecting.py", "return x", "return x + 1"),
    ("new function", "lib/constants.py", "UNUSED = 2", "UNUSED = 2\ndef more(): return UNUSED"),
    ("unrelated constant", "lib/constants.py", "UNUSED = 2", "UNUSED = 3"),
    ("unused import of the standard library", "lib/plots.py", "def draw", "import json\ndef draw"),
    ("resources", "pipeline.py", 'cpus=2, memory="4"', 'cpus=8, memory="64", gpus=1, timeout="1h"'),
    ("retries", "pipeline.py", "retries=1", "retries=5"),
    ("on", "pipeline.py", 'on="gpu"', 'on=["cloud", "gpu"]'),
    ("name", "pipeline.py", 'name="judge"', 'name="referee"'),
    ("decorator without call", "pipeline.py", "@ems.task()", "@ems.task"),
    ("pipeline", "pipeline.py", "workers: int = 4", "workers: int = 8"),
    ("main block", "pipeline.py", "print(main())", "print(main(2))"),
    (
        "types only",
        "lib/plots.py",
        "def draw",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lib.models\ndef draw",
    ),
    (
        "import in two lines",
        "lib/decorators.py",
        "import functools\nimport time",
        "import functools, time",
    ),
]


@pytest.mark.parametrize(("path", "old", "new"), [c[1:] for c in IDLE], ids=[c[0] for c in IDLE])
def test_what_cannot_change_a_result_changes_no_digest(
    lab: Sandbox, path: str, old: str, new: str
) -> None:
    before = digests(lab)
    lab.edit(path, old, new)
    assert digests(lab) == before


def test_the_name_of_a_task_is_not_in_its_digest(lab: Sandbox) -> None:
    before = digests(lab)["plot"]
    lab.edit("pipeline.py", "def plot(rows)", "def picture(rows)")
    assert dict(lab.code("picture").parts) == before


def test_ems_names_may_be_imported_in_any_way(sandbox: Sandbox) -> None:
    body = "def task(x):\n    return x\n"
    forms = [
        f"import ems\n@ems.task(cpus=2)\n{body}",
        f"import ems as e\n@e.task(cpus=3, name='x')\n{body}",
        f"from ems import task as job\n@job(cpus=4)\n{body}",
        f"from ems import task as job\n@job\n{body}",
        body,
    ]
    assert len({tuple(sandbox.one(form).parts.items()) for form in forms}) == 1


def test_order_of_definitions_does_not_count(lab: Sandbox) -> None:
    before = digests(lab)
    path = lab.root / "lib/plots.py"
    first, second = path.read_text().split("def make_scale")
    path.write_text(f"def make_scale{second}{first}")
    assert digests(lab) == before


def test_folder_of_the_project_does_not_count(lab: Sandbox, tmp_path: Path) -> None:
    before = digests(lab)
    shutil.move(lab.root, tmp_path / "elsewhere")
    lab.root = tmp_path / "elsewhere"
    assert digests(lab) == before
    (lab.root / ".ems.yaml").unlink()
    assert digests(lab) == before


def test_a_project_may_be_reached_through_a_link(lab: Sandbox, tmp_path: Path) -> None:
    before = digests(lab)
    (tmp_path / "link").symlink_to(lab.root)
    lab.root = tmp_path / "link"
    assert digests(lab) == before
    assert set(lab.code("collect").files) == {
        "pipeline.py",
        "lib/__init__.py",
        "lib/collecting.py",
        "lib/constants.py",
        "lib/decorators.py",
        "lib/envs/__init__.py",
        "lib/envs/grid.py",
        "lib/models.py",
        "lib/plots.py",
    }


def test_equal_tasks_in_two_modules_have_equal_digests(sandbox: Sandbox) -> None:
    body = "import ems\nfrom lib import f\n@ems.task\ndef task(x):\n    return f(x)\n"
    sandbox.write({"one.py": body, "two.py": body, "lib.py": "def f(x): return x\n"})
    one = sandbox.code("task", "one", pipeline="one.py")
    two = sandbox.code("task", "two", pipeline="two.py")
    assert one.parts == two.parts
    assert (one.entry, two.entry) == (("one", "task"), ("two", "task"))
