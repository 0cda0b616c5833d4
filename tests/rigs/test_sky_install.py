"""Which Pulumi engine is taken, and what is said where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.sky import install


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What was found on the PATH is remembered; not across these tests."""
    install._on_path.cache_clear()
    yield
    install._on_path.cache_clear()


def put(folder: Path, version: str, names: tuple[str, ...]) -> None:
    """A CLI that says its version, and what lies beside it."""
    for name in names:
        file = folder / name
        file.write_text(f"#!/bin/sh\necho {version}\n")
        file.chmod(0o755)


ALL = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec")


@pytest.mark.parametrize(
    ("version", "names", "taken"),
    [
        ("v3.246.0", ALL, True),
        ("v3.300.1", ALL, True),
        ("v4.0.0", ALL, True),
        ("v3.245.9", ALL, False),
        ("nonsense", ALL, False),
        ("v3.246.0", ALL[:1], False),
    ],
)
def test_a_complete_and_new_installation_on_the_path_is_taken(
    version: str,
    names: tuple[str, ...],
    taken: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(tmp_path, version, names)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), "/usr/bin", "/bin"]))
    monkeypatch.setattr(install, "BUILT", tmp_path / "built")
    assert install.folder() == (tmp_path if taken else None)
    assert install.missing() == ("" if taken else "no Pulumi CLI of 3.246 or newer")


def test_one_that_was_built_is_taken_where_the_path_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(install, "BUILT", tmp_path)
    assert install.folder() is None
    put(tmp_path, "v3.246.0", ("pulumi", "pulumi-language-python-exec"))
    assert install.folder() is None
    install.install()  # builds nothing again, writes the start script of the language host
    assert install.folder() == tmp_path
    assert "language.py" in (tmp_path / "pulumi-language-python").read_text()


def test_without_go_there_is_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(install, "BUILT", tmp_path)
    with pytest.raises(OSError, match=r"neither a Pulumi CLI nor Go.*Try: "):
        install.install()
