"""An object that another task puts once more while it is read is the same object."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ems.hashing import digest_bytes
from ems.worker.inputs import InputChanged, Inputs


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Inputs, str, Path]:
    digest = digest_bytes(b"content")
    path = tmp_path / "objects" / digest[:2] / digest
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    inputs = Inputs(str(tmp_path / "inputs"))
    inputs.enter([str(tmp_path / "objects")], {})
    inputs.begin(False)
    assert Path(inputs.file(digest, "data.txt")).read_bytes() == b"content"
    return inputs, digest, path


def test_the_same_content_under_another_inode_is_no_change(
    stored: tuple[Inputs, str, Path], tmp_path: Path
) -> None:
    inputs, _, path = stored
    again = tmp_path / "again"
    again.write_bytes(b"content")
    os.rename(again, path)
    os.utime(path)
    inputs.check()


def test_another_content_is_a_change(stored: tuple[Inputs, str, Path]) -> None:
    inputs, _, path = stored
    path.write_bytes(b"CONTENT")
    with pytest.raises(InputChanged, match="changed while the task read it"):
        inputs.check()
