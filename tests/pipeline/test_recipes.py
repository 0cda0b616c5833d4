"""How declarations become recipes: what travels, what is pinned, what can't be made elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ems.pipeline.environment import Environment
from ems.pipeline.environment.recipes import problem_of

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def recipe(
    folder: Path, parts: Mapping[str, str] | None = None, **declared: Any
) -> tuple[str, dict[str, Any]]:
    """Return the digest and the document of what a project declares."""
    found = Environment.at(folder, folder / "cache", declared).recipe(parts or {})
    assert found is not None
    return found.digest, json.loads(found.text)


def test_nothing_declared_is_what_is_here(tmp_path: Path) -> None:
    parts = {"python": HERE, "numpy": "2.1.0", "unknown:cv9": "", "module:gcc": "12"}
    _, made = recipe(tmp_path, parts)
    assert made == {
        "format": 1,
        "kind": "packages",
        "python": HERE,
        "files": {"requirements.txt": "numpy==2.1.0\n"},
        "pins": {"numpy": "2.1.0"},
        "problem": "",
    }


def test_an_image_is_not_made() -> None:
    image = f"lab/robot@sha256:{'0' * 64}"
    assert Environment.at(Path(), Path(), {"image": image}).recipe({}) is None


def test_a_requirements_file_and_those_that_it_includes(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    main = tmp_path / "requirements.txt"
    main.write_text(
        "# people\n--index-url https://${USER}:${TOKEN}@index.lab/simple\n-r more/base.txt\n"
        "numpy == 2.1.0 \\\n  --hash=sha256:00\n"
        "colorama==0.4 ; sys_platform == 'nothing'\nscipy>=1\n"
    )
    (tmp_path / "more" / "base.txt").write_text("--requirement=deep.txt\nattrs==24.1\n")
    (tmp_path / "more" / "deep.txt").write_text(f"six==1.17 ; sys_platform == '{sys.platform}'\n")
    digest, made = recipe(tmp_path, requirements="requirements.txt", python="3.12")
    assert (made["kind"], made["python"], made["problem"]) == ("requirements", "3.12", "")
    assert made["pins"] == {"numpy": "2.1.0", "attrs": "24.1"}  # six may be left out elsewhere
    assert made["files"]["requirements.txt"].splitlines() == [
        "--index-url https://${USER}:${TOKEN}@index.lab/simple",
        "-r part-1.txt",
        "numpy == 2.1.0    --hash=sha256:00",
        "colorama==0.4 ; sys_platform == 'nothing'",
        "scipy>=1",
    ]
    assert made["files"]["part-1.txt"] == "--requirement part-2.txt\nattrs==24.1\n"
    assert made["files"]["part-2.txt"].startswith("six==1.17 ;")
    main.write_text(main.read_text().replace("# people\n", "# other people\n"))
    assert recipe(tmp_path, requirements="requirements.txt", python="3.12")[0] == digest
    (tmp_path / "more" / "deep.txt").write_text("six==1.16\n")
    assert recipe(tmp_path, requirements="requirements.txt", python="3.12")[0] != digest


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("numpy==2.1.0", ""),
        ("--find-links /shared/wheels", ""),
        ("--find-links ${WHEELS}", ""),
        ("-e git+ssh://git@host.lab/arm.git#egg=arm", ""),
        ("arm @ https://host.lab/arm-1-py3-none-any.whl", ""),
        ("/shared/wheels/arm-1-py3-none-any.whl", ""),
        ("-e .", "'-e .' names a folder of this machine"),
        ("-e /home/ada/arm", "'-e /home/ada/arm' names a folder of this machine"),
        ("./wheels/arm.whl", "'./wheels/arm.whl' names a folder of this machine"),
        ("--find-links=wheels", "'--find-links=wheels' names a folder of this machine"),
        ("arm @ file:../arm", "'arm @ file:../arm' names a folder of this machine"),
        (
            "--index-url https://ada:secret@index.lab/simple",
            "'--index-url https://…@index.lab/simple' holds a password, which is not sent"
            " (write ${NAME} in its place)",
        ),
        (
            "git+https://token@host.lab/arm.git",
            "'git+https://…@host.lab/arm.git' holds a password, which is not sent"
            " (write ${NAME} in its place)",
        ),
    ],
)
def test_what_can_not_be_followed_elsewhere(line: str, problem: str) -> None:
    assert problem_of(line) == problem


UV = """
version = 1
[[package]]
name = "arm"
version = "0.1.0"
source = { editable = "." }
dependencies = [{ name = "torch" }, { name = "colorama", marker = "sys_platform == 'win32'" }]
[[package]]
name = "colorama"
version = "0.4.6"
source = { registry = "https://index.lab/simple" }
[[package]]
name = "torch"
version = "2.3.0"
source = { registry = "https://index.lab/simple" }
dependencies = [{ name = "Nvidia_Cublas", marker = "sys_platform == 'linux'" }]
[[package]]
name = "nvidia-cublas"
version = "12.1"
source = { registry = "https://index.lab/simple" }
"""
POETRY = """
[[package]]
name = "attrs"
version = "24.1"
[[package]]
name = "tomli"
version = "2.0"
markers = "python_version < '3.11'"
"""
GIT = """
[[packages]]
name = "arm"
version = "1"
vcs = { type = "git", url = "https://host.lab/arm.git" }
"""


def test_locks_of_tables_become_exact_lines(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(UV)
    _, made = recipe(tmp_path, lock="uv.lock")
    assert (made["kind"], made["pins"]) == ("packages", {"torch": "2.3.0"})
    assert made["files"]["requirements.txt"].splitlines() == [
        "colorama==0.4.6 ; sys_platform == 'win32'",
        "nvidia-cublas==12.1 ; sys_platform == 'linux'",
        "torch==2.3.0",
    ]
    (tmp_path / "poetry.lock").write_text(POETRY)
    _, made = recipe(tmp_path, lock="poetry.lock")
    lines = ["attrs==24.1", "tomli==2.0 ; python_version < '3.11'"]
    assert made["files"]["requirements.txt"].splitlines() == lines
    (tmp_path / "pylock.toml").write_text(GIT)
    _, made = recipe(tmp_path, lock="pylock.toml")
    assert made["problem"].startswith("arm comes from git")


def test_a_conda_file_is_given_a_python(tmp_path: Path) -> None:
    text = (
        "name: lab\nprefix: /home/ada/lab\nchannels: [conda-forge]\n"
        "dependencies:\n- numpy=1.26.4=py311h0_0\n- scipy=1.11\n- pip:\n  - attrs==24.1.0\n"
    )
    (tmp_path / "lab.yml").write_text(text)
    digest, made = recipe(tmp_path, conda="lab.yml", python="3.11")
    assert made["kind"] == "conda"
    assert made["pins"] == {"numpy": "1.26.4", "attrs": "24.1.0"}  # 1.11 is any 1.11
    inside = made["files"]["environment.yml"]
    assert inside.startswith("channels:\n- conda-forge\ndependencies:\n- python=3.11\n- numpy=")
    assert "ada" not in inside
    (tmp_path / "lab.yml").write_text(text.replace("- pip:", "- python=3.10\n- pip:"))
    _, other = recipe(tmp_path, conda="lab.yml")
    assert other["python"] == "3.10"
    assert other["files"]["environment.yml"].count("python=") == 1
    (tmp_path / "lab.yml").write_text(text.replace("attrs==24.1.0", "-e ."))
    assert "'-e .'" in recipe(tmp_path, conda="lab.yml", python="3.11")[1]["problem"]
    assert digest != recipe(tmp_path, conda="lab.yml", python="3.11")[0]
