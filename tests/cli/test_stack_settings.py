"""The key `stack` of .ems.yaml: read by settings, written by `emsctl stack use`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ems.cli.settings_file import with_key, write_key
from ems.errors import EmsError, UsageError
from ems.settings import Settings


def test_the_key_and_its_default(tmp_path: Path) -> None:
    assert Settings.load(tmp_path).stack is None
    (tmp_path / ".ems.yaml").write_text("stack: ssm:us-west-2/dev\n")
    assert Settings.load(tmp_path).stack == "ssm:us-west-2/dev"


def test_a_file_is_relative_to_the_settings(tmp_path: Path) -> None:
    (tmp_path / ".ems.yaml").write_text("stack: sky/dev.json\n")
    (tmp_path / "deep").mkdir()
    assert Settings.load(tmp_path / "deep").stack == str(tmp_path / "sky" / "dev.json")
    (tmp_path / ".ems.yaml").write_text("stack: /etc/dev.json\n")
    assert Settings.load(tmp_path).stack == "/etc/dev.json"


@pytest.mark.parametrize("value", ["3", "", "[a]", "''"])
def test_what_it_may_not_be(tmp_path: Path, value: str) -> None:
    (tmp_path / ".ems.yaml").write_text(f"stack: {value}\n")
    with pytest.raises(
        UsageError, match=r"stack: .* does not fit \(allowed: a Pulumi stack's name"
    ):
        Settings.load(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "stack: dev\n"),
        ("# only words\n", "# only words\nstack: dev\n"),
        ("jobs: 2", "jobs: 2\nstack: dev\n"),
        ("jobs: 2\n\n# end\n", "jobs: 2\n\n# end\nstack: dev\n"),
        ("jobs: 2\r\n", "jobs: 2\r\nstack: dev\r\n"),
        ("stack: old\n", "stack: dev\n"),
        ("stack:    'old'   # why\njobs: 2\n", "stack:    dev   # why\njobs: 2\n"),
        ("a:\n  stack: x\njobs: 2\n", "a:\n  stack: x\njobs: 2\nstack: dev\n"),
        ("{jobs: 2, stack: old}\n", "{jobs: 2, stack: dev}\n"),
        ("{jobs: 2}\n", None),
        ("jobs: 2\n...\n", None),
        ("stack: |\n  old\njobs: 2\n", None),
    ],
)
def test_one_key_changes_and_nothing_else(before: str, after: str | None) -> None:
    assert with_key(before, "stack", "dev") == after


LINES = ("# word", "jobs: 2", "store: 's' # x", "stack: old", "", "x: [1, 2]")
printable = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])


@given(st.lists(st.sampled_from(LINES), unique=True), st.text(printable, min_size=1, max_size=30))
def test_whatever_stood_there_stays(lines: list[str], value: str) -> None:
    before = "\n".join(lines)
    after = with_key(before, "stack", value)
    assert after is not None
    assert yaml.safe_load(after) == {**(yaml.safe_load(before) or {}), "stack": value}
    kept = [line for line in lines if line and not line.startswith("stack:")]
    assert [line for line in after.splitlines() if line in kept] == kept


def test_a_link_stays_a_link_and_no_other_file_is_left(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text("jobs: 2\n")
    link = tmp_path / ".ems.yaml"
    link.symlink_to(real)
    write_key(link, "stack", "dev")
    assert link.is_symlink() and real.read_text() == "jobs: 2\nstack: dev\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == [".ems.yaml", "real.yaml"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EmsError, match=r"can't be written: no such file or directory"):
        write_key(tmp_path / "gone" / ".ems.yaml", "stack", "dev")
