from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cli.conftest import call
from tests.e2e.lab import Lab


def test_the_starter_runs(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    (lab.root / ".ems.yaml").unlink()
    done = call(lab.root, "init")
    assert done.out.splitlines() == [
        "made pipeline.py, .ems.yaml, a line in .gitignore in .", "next: emsctl run pipeline.py"
    ]  # fmt: skip
    began = time.monotonic()
    ran = lab.emsctl("run", "pipeline.py", "-o", "json").json
    assert time.monotonic() - began < 5
    assert ran["counts"] == {"ran": 7} and ran["result"]["best"] == 2
    assert lab.emsctl("run", "pipeline.py", "-o", "json").json["counts"] == {"cached": 7}
    assert (lab.root / ".gitignore").read_text() == ".ems/\n"


def test_in_a_new_folder(tmp_path: Path) -> None:
    done = call(tmp_path, "init", "my/experiment")
    assert done.out.splitlines()[-1] == "next: cd my/experiment && emsctl run pipeline.py"
    assert (tmp_path / "my" / "experiment" / ".ems.yaml").exists()


@pytest.mark.parametrize("there", ["pipeline.py", ".ems.yaml"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    done = call(tmp_path, "init")
    assert done.code == 2 and f".: has {there} already. Try: emsctl init NEW_FOLDER" in done.err
    assert [p.name for p in tmp_path.iterdir()] == [there] and (
        tmp_path / there
    ).read_text() == "mine"


@pytest.mark.parametrize(
    ("before", "after"),
    [("*.pyc", "*.pyc\n.ems/\n"), (".ems/\n", ".ems/\n"), ("x\n/.ems/\n", "x\n/.ems/\n")],
)
def test_a_line_in_gitignore(tmp_path: Path, before: str, after: str) -> None:
    (tmp_path / ".gitignore").write_text(before)
    assert call(tmp_path, "init").code == 0
    assert (tmp_path / ".gitignore").read_text() == after


def test_a_folder_that_may_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call(tmp_path, "init", "file/sub")
    assert done.code == 2 and done.err == "emsctl: file/sub: not a directory\n"
