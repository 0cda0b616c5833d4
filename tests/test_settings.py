from __future__ import annotations

from pathlib import Path

import pytest

from ems.errors import UsageError
from ems.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bad(text: str, home: Path) -> str:
    (home / ".ems.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        Settings.load(home)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_without_a_file(home: Path) -> None:
    found = Settings.load(home)
    assert (found.root, found.file) == (home, None)
    assert (found.store, found.jobs, dict(found.environment)) == (str(home / ".ems"), None, {})


def test_the_file_is_found_upward(home: Path) -> None:
    deep = home / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "pipeline.py").write_text("")
    (home / ".ems.yaml").write_text("jobs: 3\nenvironment: {requirements: requirements.txt}\n")
    found = Settings.load(deep / "pipeline.py")
    assert (found.root, found.file) == (home, home / ".ems.yaml")
    assert (found.jobs, found.store) == (3, str(home / ".ems"))
    assert dict(found.environment) == {"requirements": "requirements.txt"}


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git"])
def test_a_project_begins_at_the_nearest_mark(home: Path, mark: str) -> None:
    (home / ".ems.yaml").write_text("jobs: 3")
    inner = home / "inner" / "deep"
    inner.mkdir(parents=True)
    (home / "inner" / mark).write_text("")
    found = Settings.load(inner)
    assert (found.root, found.jobs) == (home / "inner", 3)
    assert found.store == str(home / "inner" / ".ems")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("results", "{home}/results"),
        ("../shared", "{parent}/shared"),
        ("/data/ems", "/data/ems"),
        ("s3://lab/ems", "s3://lab/ems"),
    ],
)
def test_a_store_is_relative_to_the_file(home: Path, said: str, meant: str) -> None:
    (home / ".ems.yaml").write_text(f"store: {said}\n")
    (home / "sub").mkdir()
    assert Settings.load(home / "sub").store == meant.format(home=home, parent=home.parent)


def test_who_goes_before_whom(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".ems.yaml").write_text("store: of-the-file\n")
    monkeypatch.setenv("EMS_STORE", "of-the-variable")
    assert Settings.load(home).store == str(home / "of-the-variable")
    assert Settings.load(home, store="of-the-flag").store == str(home / "of-the-flag")
    monkeypatch.setenv("HOME", str(home))
    assert Settings.load(home, store="~/x").store == str(home / "x")


@pytest.mark.parametrize("text", ["", "# nothing said\n", "---\n"])
def test_an_empty_file_says_nothing(home: Path, text: str) -> None:
    (home / ".ems.yaml").write_text(text)
    assert Settings.load(home).file == home / ".ems.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jobs: 2\nstroe: x\n", ".ems.yaml:2: unknown key 'stroe' (did you mean 'store'?)"),
        (
            "jobs: 2\n\nwat: x\n",
            ".ems.yaml:3: unknown key 'wat' (known: store, environment, jobs, targets, stack, "
            "defaults)",
        ),
        (
            "store: 3\n",
            ".ems.yaml:1: store: 3 does not fit (allowed: a folder or s3://bucket/prefix)",
        ),
        ("store: ''\n", ".ems.yaml:1: store: '' does not fit"),
        ("jobs: many\n", ".ems.yaml:1: jobs: 'many' does not fit (allowed: a whole number from 1)"),
        ("jobs: 0\n", "jobs: 0 does not fit"),
        ("jobs: true\n", "jobs: True does not fit"),
        ("environment: [a]\n", "environment: ['a'] does not fit (allowed: a mapping"),
        ("jobs: 1\nstore: a: b\n", ".ems.yaml:2: is no YAML: mapping values are not allowed here"),
        ("store: [1, 2\n", "is no YAML"),
        ("jobs: 1\njobs: 2\n", ".ems.yaml:2: 'jobs' stands in line 1 already"),
        ("just words\n", ".ems.yaml: 'just words' is no mapping"),
        ("a: !!python/object:os.system x\n", "is no YAML: could not determine a constructor"),
        ("1: x\n", "unknown key '1'"),
        ("? [a]\n: x\n", "is no YAML"),
        ("<<: x\n", ".ems.yaml:1"),
    ],
)
def test_what_the_file_may_not_say(home: Path, text: str, said: str) -> None:
    assert said in bad(text, home)


def test_what_cannot_be_read(home: Path) -> None:
    (home / ".ems.yaml").write_bytes(b"store: \xff\xfe\n")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        Settings.load(home)
    (home / ".ems.yaml").unlink()
    (home / ".ems.yaml").mkdir()
    with pytest.raises(UsageError, match="can't be read"):
        Settings.load(home)


def test_yaml_is_imported_only_for_a_file(home: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from ems.settings import Settings; Settings.load('.');"
        "print('yaml' in sys.modules)"
    )
    for text, loaded in ((None, "False"), ("jobs: 1", "True")):
        if text is not None:
            (home / ".ems.yaml").write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == loaded


def test_a_runner_that_is_a_job_is_told_where_things_are(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ems.yaml").write_text("stack: dev\n")
    assert (Settings.load(home).stack, Settings.load(home).base) == ("dev", home)
    monkeypatch.setenv("EMS_STACK", "/job/sky.json")
    monkeypatch.setenv("EMS_BASE", "/home/ada/project")
    found = Settings.load(home)
    assert (found.stack, found.base) == ("/job/sky.json", Path("/home/ada/project"))
