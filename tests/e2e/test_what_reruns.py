"""What a change re-runs (section 3 of the first issue): each case edits one thing.

A project of several modules is run once; each case gets a copy of it, store and cache included, and
asserts exactly which tasks the next run computes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import Lab, ran

PIPELINE = '''
    """The project's pipeline."""

    import ems
    from lib import config, model, near, rows
    from lib.deco import traced


    def make(offset):
        @ems.task
        def shifted(x):
            return x + offset

        return shifted


    shift = make(3)


    @ems.task
    def collect(seed):
        """Collect."""
        # rows of one seed
        return near.tidy([seed, 2, 3])


    @ems.task
    def train(rows):
        return model.Linear().fit(rows)


    @ems.task
    def score(fit, digits: int = 2):
        return {"score": round(fit, digits)}


    @ems.task
    def size():
        return config.area(config.Config())


    @ems.task
    @traced
    def watched(x):
        return x * 2


    @ems.task
    def row():
        return rows.Row(4)


    @ems.task
    def weigh(row: "rows.Row", more: list[rows.Row] | None = None):
        return row.total()


    @ems.pipeline
    def main():
        fit = train(collect(1))
        return [score(fit), size(), watched(5), shift(1), weigh(row())]
    '''

LIB = {
    "lib/__init__.py": "",
    "lib/near.py": '''
        from lib import far


        def tidy(rows):
            """Tidy."""
            return [far.scale(row) for row in rows]


        def unrelated(x):
            return x
        ''',
    "lib/far.py": '''
        """Two modules away."""

        FACTOR = 2
        OTHER = 5


        def scale(x, by=1):
            """Scale."""
            # by the factor
            return x * FACTOR * by


        def unrelated(x):
            return x - OTHER
        ''',
    "lib/model.py": """
        class Base:
            RATE = 0.5
            UNIT = "m"

            def step(self, x):
                return x * self.RATE


        class Linear(Base):
            def fit(self, rows):
                return sum(self.step(row) for row in rows)


        class Other(Base):
            def fit(self, rows):
                return 0
        """,
    "lib/config.py": """
        from dataclasses import dataclass


        @dataclass
        class Config:
            width: int = 3
            depth: int = 2


        def area(config):
            return config.width * config.depth
        """,
    "lib/rows.py": """
        from dataclasses import dataclass


        @dataclass
        class Row:
            value: int

            def total(self):
                return self.value + 1
        """,
    "lib/deco.py": """
        import functools


        def traced(fn):
            @functools.wraps(fn)
            def inner(*args):
                return fn(*args)

            return inner
        """,
    "notes.md": "nothing\n",
    "lib/unused.py": "def f():\n    return 1\n",
}

ALL = ["collect", "row", "score", "shifted", "size", "train", "watched", "weigh"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("base")
    lab = Lab(home)
    lab.write("pipeline.py", PIPELINE)
    for name, text in LIB.items():
        lab.write(name, text)
    first = lab.run()
    assert first.ran == ALL and first.result == [{"score": 6.0}, 6, 10, 4, 5]
    yield home
    lab.forget()


@pytest.fixture
def copy(base: Path, lab: Lab) -> Lab:
    """The project after its first run, in another folder than the one that it ran in."""
    for part in ("project", "cache"):
        shutil.copytree(base / part, lab.root.parent / part, dirs_exist_ok=True, symlinks=True)
    return lab


def again(lab: Lab) -> list[str]:
    return ran(lab.ems_run())


Edit = tuple[str, str, str]

RERUNS: dict[str, tuple[list[Edit], list[str]]] = {
    "helper two modules away": (
        [("lib/far.py", "x * FACTOR * by", "x * FACTOR * by + 1")],
        ["collect", "score", "train"],
    ),
    "helper, same result": ([("lib/far.py", "x * FACTOR * by", "by * FACTOR * x")], ["collect"]),
    "helper between": (
        [("lib/near.py", "in rows]", "in rows[:2]]")],
        ["collect", "score", "train"],
    ),
    "constant": ([("lib/far.py", "FACTOR = 2", "FACTOR = 3")], ["collect", "score", "train"]),
    "default of a helper": ([("lib/far.py", "by=1", "by=2")], ["collect", "score", "train"]),
    "default of a task": ([("pipeline.py", "digits: int = 2", "digits: int = 3")], ["score"]),
    "method of a base class": (
        [("lib/model.py", "x * self.RATE", "x / self.RATE")],
        ["score", "train"],
    ),
    "attribute of a base class": (
        [("lib/model.py", "RATE = 0.5", "RATE = 2.5")],
        ["score", "train"],
    ),
    "base class": (
        [("lib/model.py", "class Linear(Base)", "class Linear(Base, object)")],
        ["train"],
    ),
    "method of the class": (
        [("lib/model.py", "sum(self.step", "max(self.step")],
        ["score", "train"],
    ),
    "dataclass field": ([("lib/config.py", "depth: int = 2", "depth: int = 4")], ["size"]),
    "new dataclass field": (
        [("lib/config.py", "depth: int = 2", "depth: int = 2\n    height: int = 1")],
        ["size"],
    ),
    "dataclass argument": (
        [("lib/config.py", "@dataclass\n", "@dataclass(frozen=True)\n")],
        ["size"],
    ),
    "method of an argument": (
        [("lib/rows.py", "self.value + 1", "self.value + 2")],
        ["row", "weigh"],
    ),
    "value in a closure": ([("pipeline.py", "make(3)", "make(4)")], ["shifted"]),
    "body of a closure": ([("pipeline.py", "x + offset", "offset + x")], ["shifted"]),
    "own decorator": ([("lib/deco.py", "return fn(*args)", "return fn(*args) + 0")], ["watched"]),
    "own decorator taken away": ([("pipeline.py", "@traced\n", "")], ["watched"]),
    "body of a task": ([("pipeline.py", "x * 2", "x * 3")], ["watched"]),
    "literal argument": ([("pipeline.py", "watched(5)", "watched(6)")], ["watched"]),
    "new task": ([("pipeline.py", "shift(1),", "shift(1), watched(shift(1)),")], ["watched[1]"]),
}

RESOURCES = (
    '@ems.task(cpus=2, memory="1", timeout="5m", retries=3, on="local", disk=1, '
    'spot=True, name="gather")'
)
NOTHING: dict[str, list[Edit]] = {
    "comment": [
        ("lib/far.py", "# by the factor", "# by a factor\n    # and more"),
        ("pipeline.py", "# rows of one seed", ""),
    ],
    "docstring": [
        ("lib/far.py", '"""Scale."""', '"""Scale it."""'),
        ("lib/near.py", '    """Tidy."""\n', ""),
        ("pipeline.py", '"""Collect."""', '"""Collect\n\n    rows."""'),
        ("lib/far.py", '"""Two modules away."""', ""),
    ],
    "formatting": [
        (
            "lib/far.py",
            "return x * FACTOR * by",
            "return (\n        x\n        * FACTOR * by\n    )",
        ),
        ("lib/near.py", "[far.scale(row) for row in rows]", "[ far.scale( row ) for row in rows ]"),
        ("lib/model.py", '"m"', "'m'"),
        ("pipeline.py", '{"score": round(fit, digits)}', "{'score': round(fit, digits,)}"),
    ],
    "order of functions": [
        ("lib/far.py", "\n\ndef unrelated(x):\n    return x - OTHER\n", ""),
        ("lib/far.py", "OTHER = 5\n", "OTHER = 5\n\n\ndef unrelated(x):\n    return x - OTHER\n"),
        ("lib/far.py", "FACTOR = 2\nOTHER = 5", "OTHER = 5\nFACTOR = 2"),
    ],
    "unrelated function": [
        ("lib/far.py", "x - OTHER", "x + OTHER"),
        ("lib/near.py", "    return x\n", "    return x + 1\n\n\ndef new():\n    return 1\n"),
        ("lib/far.py", "OTHER = 5", "OTHER = 6"),
        ("lib/unused.py", "return 1", "return 2"),
        ("notes.md", "nothing", "something"),
        ("lib/model.py", "return 0", "return 1"),
    ],
    "resources, retries, on and names": [
        ("pipeline.py", "@ems.task\ndef collect", RESOURCES + "\ndef collect"),
        ("pipeline.py", "@ems.pipeline\n", '@ems.pipeline(name="whole")\n'),
    ],
}


@pytest.mark.parametrize("case", RERUNS)
def test_a_change_reruns_exactly_what_depends_on_it(copy: Lab, case: str) -> None:
    edits, expected = RERUNS[case]
    for name, old, new in edits:
        copy.edit(name, (old, new))
    assert again(copy) == expected
    assert again(copy) == []


@pytest.mark.parametrize("case", NOTHING)
def test_a_change_that_cant_change_results_reruns_nothing(copy: Lab, case: str) -> None:
    for name, old, new in NOTHING[case]:
        copy.edit(name, (old, new))
    assert again(copy) == []


def test_the_folder_of_the_project_may_move(copy: Lab) -> None:
    assert again(copy) == []  # a copy in another folder is a moved one
    inner = copy.root / "elsewhere with spaces" / "deeper"
    shutil.copytree(copy.root, inner, ignore=shutil.ignore_patterns("elsewhere*"))
    done = copy.emsctl("-C", str(inner), "run", "pipeline.py", "-o", "json")
    assert done.json["counts"] == {"cached": 8}


def _install(site: Path, version: str) -> None:
    """Put a small package into a folder as an installer does."""
    shutil.rmtree(site, ignore_errors=True)
    (site / "tiny").mkdir(parents=True)
    (site / "tiny/__init__.py").write_text(f"NAME = 'tiny {version}'\n")
    info = site / f"tiny-{version}.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n"
    (info / "METADATA").write_text(text)
    (info / "RECORD").write_text("tiny/__init__.py,,\n")
    (info / "top_level.txt").write_text("tiny\n")


def test_a_packages_version_in_the_lock_counts_where_it_is_reached(
    lab: Lab, tmp_path: Path
) -> None:
    lab.write(
        "pipeline.py",
        """
        import ems
        import helper

        @ems.task
        def uses():
            return helper.name()

        @ems.task
        def plain():
            return 1

        @ems.pipeline
        def main():
            return uses(), plain()
        """,
    )
    lab.write("helper.py", "import tiny\n\n\ndef name():\n    return tiny.NAME\n")
    lab.write("requirements.txt", "tiny==1.0\nnever-reached==3.0\n")
    lab.write(".ems.yaml", "environment:\n  requirements: requirements.txt\n")
    site = tmp_path / "site"
    path = {"PYTHONPATH": str(site)}
    _install(site, "1.0")
    assert lab.run(env=path).result == ["tiny 1.0", 1]
    lab.write("requirements.txt", "# of the lab\nnever-reached==4.0\ntiny == 1.0\n")
    assert lab.run(env=path).ran == []
    _install(site, "1.1")
    lab.write("requirements.txt", "tiny==1.1\n")
    newer = lab.run(env=path)
    assert newer.ran == ["uses"] and newer.result == ["tiny 1.1", 1]
    # what is declared and what is there differ: nothing is published
    lab.write("requirements.txt", "tiny==1.2\n")
    wrong = lab.emsctl("run", "pipeline.py", code=None, env=path)
    assert wrong.code not in (0, 1) and "tiny" in wrong.err
    assert "1.1" in wrong.err and "1.2" in wrong.err and "Traceback" not in wrong.err
    lab.write("requirements.txt", "tiny==1.0\n")
    assert lab.run(env=path).ran == []  # known from before, whatever is installed now
