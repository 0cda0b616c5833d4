"""What `emsctl run --driver` refuses, and what it sends along."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.cli.driver_project import files_of, pack
from ems.cli.driver_start import Marked
from ems.cli.driver_store import store_at
from ems.compute.targets import Target, read
from ems.errors import UsageError
from ems.stack.reading import encode
from tests.e2e.lab import Lab
from tests.stack import making

PIPELINE = """
    import ems

    @ems.task
    def one(n: int) -> int:
        return n + 1

    @ems.task(on="desk")
    def two(n: int) -> int:
        return n + 2

    @ems.pipeline
    def main(n: int = 1):
        return two(one(n))
    """


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab(tmp_path)
    monkeypatch.setenv("EMS_CACHE", str(lab.cache))
    monkeypatch.chdir(lab.root)
    lab.write("pipeline.py", PIPELINE)
    return lab


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--driver dsk", "--driver: there is no target 'dsk' (did you mean 'desk'?) (allowed: de"),
        ("--driver local", "--driver: 'local' is no place of its own. Try: without --driver"),
        ("-d", "-d: is for --driver alone. Try: emsctl run --driver TARGET -d …"),
        (
            "--driver desk",
            "--driver: desk has one slot; the driver would hold it, and two wait for",
        ),
        (
            "--driver far",
            "jobs at far do not see the store {store} of this machine (allowed: s3://BU",
        ),
        ("--driver desk -p m=1", "pipeline main: has no parameter 'm'"),
        ("--driver kubernetes", "target kubernetes-oregon: nothing says its `folder`"),
        ("--on kubernetes", "task one: target kubernetes-oregon: nothing says its `folder`"),
    ],
)
def test_what_cant_be_is_said_before_anything_is_submitted(lab: Lab, words: str, said: str) -> None:
    cluster = msgspec.structs.replace(making.cluster(), workspace=making.workspace())
    oregon = msgspec.structs.replace(making.site(), kubernetes=cluster)
    lab.write("sky.json", encode(making.environment(sites={"oregon": oregon})))
    written = "targets: {desk: {ssh: here, folder: place, slots: 1}, far: {ssh: robot}}"
    lab.write(".ems.yaml", f"stack: sky.json\n{written}")
    done = lab.here("run", "pipeline.py", *words.split())
    assert done.code == 2 and said.format(store=lab.root / ".ems") in done.error
    assert not (lab.root / "place").exists()
    assert not list((lab.root / ".ems").glob("jobs/*"))


def test_a_place_without_emsctl_is_told_what_it_lacks(lab: Lab) -> None:
    bare = lab.root.parent / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    keys = (
        f"{{ssh: here, folder: place, slots: 2, environments: never, python: {bare}/bin/python3}}"
    )
    lab.write(".ems.yaml", f"targets: {{desk: {keys}}}")
    done = lab.emsctl("run", "pipeline.py", "--driver", "desk", code=1)
    last = done.err.splitlines()[-1]
    assert "environment: " in last and "emsctl is missing (declared " in last, done.err
    assert last.endswith("Try: install emsctl of this version there, or `python:` of desk")


# -- the store ------------------------------------------------------------------------------------


def target(**keys: Any) -> Target:
    return read({"there": keys})["there"]


def test_which_store_a_place_sees(tmp_path: Path) -> None:
    store, shared = tmp_path / "shared" / "store", str(tmp_path / "shared")
    for keys in ({"ssh": "here"}, {"slurm": "here", "folder": shared}):
        assert store_at(target(**keys), str(store), tmp_path) == str(store)
    pods = target(kubernetes="lab", folder="shared", volume={"claim": "data"})
    assert store_at(pods, str(store), tmp_path) == "/ems/store"
    nodes = target(ray="http://head:8265", folder=shared, root="/data")
    assert store_at(nodes, str(store), tmp_path) == "/data/store"
    assert store_at(target(batch="oregon"), "s3://lab/ems", tmp_path) == "s3://lab/ems"


@pytest.mark.parametrize(
    ("keys", "allowed"),
    [
        ({"ssh": ["here", "robot"]}, "(allowed: s3://BUCKET/PREFIX)"),
        ({"slurm": "login", "folder": "/shared"}, "(allowed: s3://BUCKET/PREFIX)"),
        ({"slurm": "here", "folder": "/proc"}, "PREFIX, or a folder on the file system of /proc)"),
        ({"batch": "oregon"}, "(allowed: s3://BUCKET/PREFIX)"),
        (
            {"kubernetes": "lab", "folder": "/mnt/ems", "volume": {"claim": "data"}},
            "PREFIX, or a folder below /mnt/ems)",
        ),
    ],
)
def test_a_store_that_a_place_does_not_see(
    tmp_path: Path, keys: dict[str, Any], allowed: str
) -> None:
    with pytest.raises(UsageError) as told:
        store_at(target(**keys), str(tmp_path / "store"), tmp_path)
    assert allowed in str(told.value) and "emsctl --store s3://" in str(told.value)


# -- the project ----------------------------------------------------------------------------------


def packed(top: Path, root: Path, files: list[Path]) -> dict[str, int]:
    archive = top.parent / "project.tar"
    pack(top, root, files, archive)
    with tarfile.open(archive) as tar:
        return {each.name.removeprefix("project/"): each.mode for each in tar if each.isfile()}


@pytest.mark.parametrize("git", [True, False])
def test_a_project_is_what_git_knows_and_what_a_pipeline_needs(tmp_path: Path, git: bool) -> None:
    top = tmp_path / "lab"
    root = top / "inner"
    for name in ("a.py", "run.sh", "place/jobs/x", "data/big.csv", "data/small.csv", ".venv/x.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "run.sh").chmod(0o755)
    (root / "dangling").symlink_to("nowhere")
    (root / "pyproject.toml").write_text("")
    (top / ".ems.yaml").write_text("jobs: 1")
    if git:
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        (root / ".git/info/exclude").write_text("data\n.venv\n")
    found = files_of(root, [root / "place", *([] if git else [root / "data"])])
    inside = packed(top, root, [*found, root / "data/small.csv", Path("/etc/hostname")])
    assert inside == {
        ".ems.yaml": 0o644,
        "inner/a.py": 0o644,
        "inner/data/small.csv": 0o644,
        "inner/pyproject.toml": 0o644,
        "inner/run.sh": 0o755,
    }
    once = (tmp_path / "project.tar").read_bytes()
    packed(top, root, [root / "data/small.csv", *found])
    assert (tmp_path / "project.tar").read_bytes() == once


def test_lines_of_the_result_are_marked(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb", buffering=0) as stream:
        marked = Marked(stream.fileno())
        for piece in (b"one\ntw", b"o\n", b"\n", b"three"):
            assert marked.write(piece) == len(piece)
    assert (tmp_path / "out").read_bytes() == b"\x1eone\n\x1etwo\n\x1e\n\x1ethree"
