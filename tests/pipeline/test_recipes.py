"""How declarations become recipes: what travels, what is pinned, what can't be made elsewhere."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ems.errors import UsageError
from ems.pipeline.environment import Environment
from ems.pipeline.environment.recipes import problem_of
from tests.compute.environments.wheels import wheel

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


@pytest.mark.parametrize(
    ("address", "installer", "problem"),
    [
        ({"dir_info": {"editable": True}}, "pip", "ghost was installed here from a folder"),
        ({"vcs_info": {"vcs": "git"}}, "uv", "ghost was installed here from git"),
        ({"archive_info": {}}, "pip", "ghost was installed here from an address"),
        ({"dir_info": {}}, "conda", ""),  # all that conda builds says so
        (None, "pip", ""),
    ],
)
def test_what_is_here_and_in_no_index_is_not_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: dict[str, Any] | None,
    installer: str,
    problem: str,
) -> None:
    site = tmp_path / "site-packages"
    zipfile.ZipFile(wheel(tmp_path / "wheels", "ghost", "1.0")).extractall(site)
    info = site / "ghost-1.0.dist-info"
    (info / "INSTALLER").write_text(f"{installer}\n")
    if address is not None:
        url = "https://ada:secret@host.lab/ghost"
        (info / "direct_url.json").write_text(json.dumps({"url": url, **address}))
    monkeypatch.syspath_prepend(str(site))
    _, made = recipe(tmp_path, {"python": HERE, "ghost": "1.0"})
    assert made["problem"].startswith(problem)
    assert bool(made["problem"]) == bool(problem)
    assert bool(made["files"]) == (not problem)
    assert "secret" not in str(made)


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


def test_what_a_file_does_not_pin_is_as_it_is_here(tmp_path: Path) -> None:
    """Workers refuse other versions than those; the newest would be one before long."""
    main = tmp_path / "requirements.txt"
    main.write_text("scipy==1.11.4\ncolorama==0.4 ; sys_platform == 'nothing'\n")
    parts = {
        "python": HERE, "scipy": "1.11.4", "numpy": "1.26.4", "colorama": "0.5",
        "arm": "https://host.lab/arm.whl", "module:gcc": "12",
    }  # fmt: skip
    digest, made = recipe(tmp_path, parts, requirements="requirements.txt")
    assert made["files"]["parts.txt"] == "numpy==1.26.4\n"
    assert made["pins"] == {"scipy": "1.11.4"}
    other = recipe(tmp_path, {**parts, "numpy": "2.0"}, requirements="requirements.txt")
    assert other[0] != digest
    main.write_text("scipy==1.11.4 --hash=sha256:00\n")  # then an installer asks for one of each
    _, made = recipe(tmp_path, parts, requirements="requirements.txt")
    assert list(made["files"]) == ["requirements.txt"]


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://ada:hunter2@index.lab/simple",
        "--index-url https://${USER}:hunter2@index.lab/simple",
        "--index-url https://hunter2:@index.lab/simple",
        "-c https://ada:hunter2@host.lab/limits.txt",
        "git+ssh://ada:@hunter2@host.lab/arm.git",
        "arm @ https://ada:hunter2@host.lab/arm-1-py3-none-any.whl",
        "--find-links https://host.lab/t/hunter2/wheels",
    ],
)
def test_a_password_is_nowhere_in_a_recipe(tmp_path: Path, line: str) -> None:
    (tmp_path / "more.txt").write_text(f"{line}\n")
    (tmp_path / "r.txt").write_text("attrs==24.1\n-r more.txt\nsix\n")
    found = Environment.at(tmp_path, tmp_path / "cache", {"requirements": "r.txt"})
    assert found.lock is not None
    assert "hunter2" not in str(found.lock)  # what is pinned is stored and sent as well
    made = found.recipe(found.lock.pins)
    assert made is not None
    assert "hunter2" not in made.text
    document = json.loads(made.text)
    assert document["problem"].endswith("which is not sent (write ${NAME} in its place)")
    assert (document["files"], document["of"]) == ({}, found.lock.digest)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("numpy==2.1.0", ""),
        ("--find-links /shared/wheels", ""),
        ("--find-links ${WHEELS}", ""),
        ("--index-url https://ada:${TOKEN}@index.lab/simple", ""),
        ("--find-links https://host.lab/t/${TOKEN}/wheels", ""),
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
source = { registry = "https://pypi.org/simple" }
[[package]]
name = "torch"
version = "2.3.0"
source = { registry = "https://pypi.org/simple" }
dependencies = [{ name = "Nvidia_Cublas", marker = "sys_platform == 'linux'" }]
[[package]]
name = "nvidia-cublas"
version = "12.1"
source = { registry = "https://pypi.org/simple" }
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


def test_the_content_is_what_the_lock_says(tmp_path: Path) -> None:
    index = 'source = { registry = "https://index.lab/simple" }'

    def lines(name: str, text: str) -> list[str]:
        (tmp_path / name).write_text(text)
        _, made = recipe(tmp_path, lock=name)
        assert made["problem"] == ""
        return made["files"]["requirements.txt"].splitlines()

    uv = (
        f'[[package]]\nname = "attrs"\nversion = "24.1"\n{index}\n'
        'sdist = { url = "https://index.lab/a.tar.gz", hash = "sha256:aa" }\n'
        'wheels = [{ url = "https://index.lab/a.whl", hash = "sha256:bb" }]\n'
    )
    expected = ["attrs==24.1 --hash=sha256:bb --hash=sha256:aa"]
    assert lines("uv.lock", uv) == expected
    pylock = (
        '[[packages]]\nname = "attrs"\nversion = "24.1"\nindex = "https://index.lab/simple"\n'
        'sdist = { name = "a.tar.gz", hashes = { sha256 = "aa", blake2b = "ee" } }\n'
        'wheels = [{ name = "a.whl", hashes = { sha256 = "bb" } }]\n'
    )
    assert lines("pylock.toml", pylock) == expected
    poetry = '[[package]]\nname = "attrs"\nversion = "24.1"\n'
    files = 'files = [{ file = "a.whl", hash = "sha256:bb" }, { file = "b", hash = "sha256:aa" }]\n'
    assert lines("poetry.lock", poetry + files) == expected
    assert lines("poetry.lock", f"{poetry}[metadata.files]\nattrs = {files[8:]}") == expected
    other = '[[package]]\nname = "six"\nversion = "1"\n'
    assert lines("poetry.lock", poetry + files + other) == ["attrs==24.1", "six==1"]
    (tmp_path / "uv.lock").write_text(uv + other)
    _, made = recipe(tmp_path, lock="uv.lock")
    assert made["problem"].startswith("attrs comes from an index of its own, and the lock lacks")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('source = { editable = "." }', ""),
        ('source = { editable = "members/arm" }', ""),  # its code travels: it is read where it is
        ('source = { virtual = "." }', ""),
        ('directory = { path = "." }', ""),
        ('source = { editable = "../libs/arm" }', "arm is a folder or a file of this machine"),
        ('source = { directory = "libs/arm" }', "arm is a folder or a file of this machine"),
        ('source = { path = "arm-1.0.whl" }', "arm is a folder or a file of this machine"),
        ('source = { url = "https://lab/arm-1.0-patched.whl" }', "arm comes from an address"),
        ('source = { type = "url", url = "https://lab/arm.whl" }', "arm comes from an address"),
        ('source = { type = "file", url = "arm.whl" }', "arm comes from a file or an address"),
        ('archive = { url = "https://lab/arm.whl" }', "arm comes from a file or an address"),
        ('source = { type = "directory", url = "../arm" }', "arm is a folder or a file"),
        ('source = { git = "https://lab/arm.git" }', "arm comes from git"),
        ('source = { type = "legacy", url = "https://lab/simple" }', "arm comes from an index"),
        ('index = "https://lab/simple"', "arm comes from an index of its own"),
        ('source = { registry = "https://pypi.org/simple" }', ""),
    ],
)
def test_where_a_lock_has_a_package_from(tmp_path: Path, source: str, problem: str) -> None:
    (tmp_path / "any.lock").write_text(f'[[package]]\nname = "arm"\nversion = "1"\n{source}\n')
    _, made = recipe(tmp_path, lock="any.lock")
    assert made["problem"].startswith(problem)
    assert bool(made["problem"]) == bool(problem)


@pytest.mark.parametrize(
    "line",
    [
        "channels: [https://conda.anaconda.org/t/hunter2/lab]",
        "dependencies: ['https://ada:hunter2@conda.lab/lab::numpy=1.26.4']",
        "dependencies: [{pip: ['arm @ https://ada:hunter2@host.lab/arm.whl']}]",
        "variables: {PIP_INDEX_URL: 'https://ada:hunter2@index.lab/simple'}",
    ],
)
def test_a_conda_files_password_does_not_travel(tmp_path: Path, line: str) -> None:
    (tmp_path / "lab.yml").write_text(f"{line}\n")
    _, made = recipe(tmp_path, conda="lab.yml")
    assert "holds a password" in made["problem"]
    assert "hunter2" not in str(made)
    assert made["files"] == {}


def test_a_conda_file_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text("name: lab\ndependencies: [numpy\nchannels: b: c\n")
    with pytest.raises(UsageError) as caught:
        Environment.at(tmp_path, tmp_path / "cache", {"conda": "lab.yml"})
    said = str(caught.value)
    assert "lab.yml: can't be read: line 3: " in said
    assert "\n" not in said


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
