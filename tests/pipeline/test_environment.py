"""The environment: what is declared, and which parts of it code reaches."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml  # noqa: F401 (before the path to it is hidden)

from ems.errors import UsageError
from ems.pipeline.environment import Environment
from ems.pipeline.environment.markers import holds, requirement
from tests.pipeline.code.lab import LAB, TASKS
from tests.pipeline.code.sandbox import Sandbox

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Site:
    """A site-packages folder of our own, in place of what is really installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site-packages"
        self.folder.mkdir()

    def install(self, name: str, version: str, tops: str = "", requires: str = "") -> None:
        for old in self.folder.glob(f"{name}-*.dist-info"):
            old.rename(folder := self.folder / f"{name}-{version}.dist-info")
            break
        else:
            folder = self.folder / f"{name}-{version}.dist-info"
            folder.mkdir()
        needs = "".join(f"Requires-Dist: {each}\n" for each in requires.split(", ") if each)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}\nAbout: text\n"
        )
        lines = [f"{top}/__init__.py,sha256=x,1" for top in (tops or name).split()]
        (folder / "RECORD").write_text("\n".join([*lines, "../../bin/x,,", "single.py,,"]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    foreign = [entry for entry in sys.path if not entry.endswith("-packages")]
    monkeypatch.setattr(sys, "path", [*foreign, str(made.folder)])
    made.install("numpy", "1.26.4")
    made.install(
        "Pandas", "2.2.0", "pandas", "numpy>=1.26, python_dateutil (>=2.8), tests ; extra == 'test'"
    )
    made.install("python-dateutil", "2.9.0", "dateutil", "six")
    made.install("six", "1.16.0", "six", "importlib-metadata ; python_version < '3.8'")
    made.install("opencv-python-headless", "4.9.0", "cv2", "numpy")
    made.install("importlib-metadata", "7.0", "importlib_metadata")
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    return folder


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def env(root: Path, declared: Mapping[str, Any] | None = None) -> Environment:
    return Environment.at(root, root.parent / "cache", declared)


def test_nothing_declared_is_what_is_here(root: Path, site: Site) -> None:
    assert env(root).parts(()) == {"python": HERE}
    assert env(root).parts(("pandas",)) == {
        "numpy": "1.26.4",
        "pandas": "2.2.0",
        "python": HERE,
        "python-dateutil": "2.9.0",
        "six": "1.16.0",
    }
    assert env(root).parts(("cv2",)) == {
        "numpy": "1.26.4", "opencv-python-headless": "4.9.0", "python": HERE,
    }  # fmt: skip


def test_an_upgrade_is_seen_and_counts_where_it_is_reached(root: Path, site: Site) -> None:
    before = {top: env(root).parts((top,)) for top in ("numpy", "pandas", "six")}
    site.install("six", "1.17.0")
    after = {top: env(root).parts((top,)) for top in before}
    assert [top for top in before if before[top] != after[top]] == ["pandas", "six"]


def test_an_import_of_no_distribution_is_named(root: Path, site: Site) -> None:
    assert env(root).parts(("mystery",)) == {"python": HERE, "unknown:mystery": ""}


LOCK = """
    # made by a tool
    numpy==2.0.0 \\
        --hash=sha256:aa --hash=sha256:bb
    pandas[excel]==2.1.0 ; python_version >= "3.9"  # why
    pandas==1.0.0 ; python_version < "3.9"
    opencv-python==4.8.0
    python_dateutil === 2.8.2
    torch @ https://example.org/torch-2.3.0.whl ; sys_platform != "nowhere"
    scipy>=1.11
    -r more.txt
    --index-url https://example.org
"""


def test_a_requirements_lock(root: Path, site: Site) -> None:
    (root / "requirements.lock").write_text(dedent(LOCK))
    (root / "more.txt").write_text("tqdm==4.66\n")
    site.install("scipy", "1.13.0")
    locked = env(root, {"lock": "requirements.lock"})
    assert locked.parts(("pandas", "tqdm")) == {
        "numpy": "2.0.0",
        "pandas": "2.1.0",
        "python": HERE,
        "python-dateutil": "2.8.2",
        "six": "1.16.0",
        "tqdm": "4.66",
    }
    assert locked.parts(("torch",))["torch"] == "https://example.org/torch-2.3.0.whl"
    assert locked.parts(("scipy",))["scipy"] == "1.13.0"
    assert locked.parts(("cv2",))["opencv-python"] == "4.8.0"


def test_an_import_that_the_lock_may_hold_under_any_name(root: Path, site: Site) -> None:
    (root / "r.txt").write_text("numpy==2.0.0\n")
    first = env(root, {"requirements": "r.txt"}).parts(("mystery",))
    assert list(first) == ["lock:r.txt", "python"]
    (root / "r.txt").write_text("numpy==2.0.1\n")
    assert env(root, {"requirements": "r.txt"}).parts(("mystery",)) != first


def test_locks_that_list_tables(root: Path, site: Site) -> None:
    (root / "uv.lock").write_text(
        'version = 1\n[[package]]\nname = "Pandas"\nversion = "2.1.1"\n'
        'dependencies = [{ name = "numpy" }, { name = "tzdata" }]\n'
        '[[package]]\nname = "numpy"\nversion = "2.1.0"\n[[package]]\nname = "tzdata"\n'
        'version = "1"\n'
        '[[package]]\nname = "six"\nversion = "9"\n'
    )
    expected = {"numpy": "2.1.0", "pandas": "2.1.1", "python": HERE, "tzdata": "1"}
    assert env(root, {"lock": "uv.lock"}).parts(("pandas",)) == expected
    assert env(root, {"lock": "uv.lock"}).parts(("pandas",)) == expected
    (root / "poetry.lock").write_text(
        '[[package]]\nname = "pandas"\nversion = "2.1.1"\n[package.dependencies]\nnumpy = ">=1"\n'
        '[[package]]\nname = "numpy"\nversion = "2.1.0"\n'
    )
    assert env(root, {"lock": "poetry.lock"}).parts(("pandas",))["numpy"] == "2.1.0"


def test_a_conda_file(root: Path, site: Site) -> None:
    (root / "environment.yml").write_text(
        dedent("""
        name: lab
        dependencies:
          - python=3.10
          - conda-forge::numpy=1.25.0=py310_0
          - pytorch==2.2.0
          - scipy>=1.10
          - six=1.*
          - pip
          - pip:
            - tqdm==4.66
        """)
    )
    conda = env(root, {"conda": "environment.yml"})
    assert conda.parts(("numpy", "torch", "tqdm", "six")) == {
        "numpy": "1.25.0", "python": "3.10", "pytorch": "2.2.0", "six": "1.16.0", "tqdm": "4.66",
    }  # fmt: skip


def test_an_image_counts_by_its_digest(root: Path, site: Site) -> None:
    digest = f"sha256:{'ab' * 32}"
    image = env(root, {"image": f"registry.example.org:5000/lab/train:v1@{digest}"})
    assert image.parts(("numpy",)) == {"image:digest": digest}
    other = env(root, {"image": f"mirror.example.org/lab@{digest}", "python": "3.12"})
    assert other.parts(("numpy",)) == {"image:digest": digest, "python": "3.12"}


def test_environment_modules_count_for_all(root: Path, site: Site) -> None:
    modules = env(root, {"modules": ["gcc/13", "cuda/12.1"]})
    assert modules.parts(()) == {"module:cuda": "12.1", "module:gcc": "13", "python": HERE}


BAD = {
    "unknown key": ({"lok": "x"}, r"unknown key 'lok' \(did you mean 'lock'"),
    "two files": ({"lock": "a", "conda": "b"}, "one is allowed"),
    "missing file": ({"lock": "gone.lock"}, "can't be read: No such file"),
    "broken file": ({"lock": "broken.lock"}, "can't be read"),
    "tag": (
        {"image": "lab/train:v1"},
        "has no digest.*Try: docker buildx imagetools inspect lab/train:v1",
    ),
    "short digest": ({"image": "lab@sha256:abc"}, "has no digest"),
    "module without version": ({"modules": ["cuda"]}, "names no version"),
    "python as a number": ({"python": 3.1}, "in quotes"),
    "python's patch": ({"python": "3.11.2"}, "no minor version"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_declarations_are_refused(root: Path, site: Site, name: str) -> None:
    declared, words = BAD[name]
    (root / "broken.lock").write_text('[[package]]\nname = "x\n')
    with pytest.raises(UsageError, match=words) as caught:
        env(root, declared)
    assert caught.value.exit_code == 2


def test_a_task_may_declare_its_own(root: Path, site: Site) -> None:
    project = env(root)
    assert project.for_task({}) is project
    own = project.for_task({"modules": ["cuda/12.1"]})
    assert own.parts(()) == {"module:cuda": "12.1", "python": HERE}
    assert own.key != project.key
    assert own.key == env(root, {"modules": ["cuda/12.1"]}).key


def test_a_locked_version_reaches_exactly_its_tasks(sandbox: Sandbox, site: Site) -> None:
    lab = dict(LAB)
    lab["lib/plots.py"] = "import pandas\n" + dedent(lab["lib/plots.py"]).replace(
        "return [scale", "return pandas.Series() and [scale"
    )
    sandbox.write(lab)

    def parts(numpy: str, six: str, tqdm: str) -> dict[str, dict[str, str]]:
        sandbox.write({"r.lock": f"numpy=={numpy}\npandas==2.2.0\nsix=={six}\ntqdm=={tqdm}\n"})
        project = sandbox.project()
        declared = Environment.of(project, {"lock": "r.lock"})
        return {
            task: declared.parts(project.code_of_symbol("pipeline", task).packages)
            for task in TASKS
        }

    first = parts("2.0", "1.0", "1.0")
    for change, expected in (
        (("2.1", "1.0", "1.0"), ["evaluate", "plot"]),
        (("2.0", "1.1", "1.0"), ["plot"]),
        (("2.0", "1.0", "1.1"), []),
    ):
        after = parts(*change)
        assert [task for task in TASKS if first[task] != after[task]] == expected


def test_what_is_installed_is_read_once(
    root: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = env(root).parts(("pandas",))
    from ems.pipeline.environment import installed

    monkeypatch.setattr(installed, "_scan", None)
    assert env(root).parts(("pandas",)) == before
    monkeypatch.undo()
    for path in (root.parent / "cache/environment").iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    monkeypatch.setattr(sys, "path", [str(site.folder)])
    assert env(root).parts(("pandas",)) == before


def test_a_warm_look_costs_milliseconds(root: Path) -> None:
    env(root).parts(("numpy",))
    best = min(_timed(root) for _ in range(10))
    assert best < 0.01


def _timed(root: Path) -> float:
    start = time.perf_counter()
    env(root).parts(("numpy", "pandas", "yaml"))
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("text", "name", "version", "applies"),
    [
        ("numpy==1.26.4", "numpy", "1.26.4", True),
        ("Foo_Bar.baz [x, y] == 1.0 ; python_version > '3.8'", "foo-bar-baz", "1.0", True),
        ("a (==1.0)", "a", "1.0", True),
        ("a==1.*", "a", "", True),
        ("a>=1,<2 ; extra == 'x'", "a", "", False),
        (
            "a @ git+https://example.org/a@v1 ; os_name == 'none'",
            "a",
            "git+https://example.org/a@v1",
            False,
        ),
    ],
)
def test_requirements(text: str, name: str, version: str, applies: bool) -> None:
    found = requirement(text, "3.11")
    assert found is not None
    assert (found.name, found.version, found.applies) == (name, version, applies)


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("python_version >= '3.9'", True),
        ("python_version < '3.10'", False),
        ("python_version >= '3.9' and (sys_platform == 'x' or python_version == '3.11')", True),
        ("python_full_version < '3.11.0'", False),
        ("python_version == '3.*'", True),
        ("python_version ~= '3.8'", True),
        ("'linux' in sys_platform or os_name not in 'nt java'", True),
        ("'3.8' < python_version", True),
        ("what is this", True),
    ],
)
def test_markers(marker: str, expected: bool) -> None:
    assert holds(marker, "3.11") is expected
