from __future__ import annotations

from pathlib import Path

import pytest

from ems import __version__
from tests.cli.conftest import Call, call, version_of
from tests.e2e.lab import Lab


def test_all_is_well(ask: Call, shared: Lab) -> None:
    done = ask("check")
    assert done.code == 0
    for text in ("CPUs", "memory", "GPUs", "disk free", f"ems        {__version__}", "Python",
                 f"store      {shared.root / '.ems'}", "access     read and write", "runs       3",
                 "nothing is broken"):  # fmt: skip
        assert text in done.out, done.out


def test_json(ask: Call) -> None:
    found = ask("check", "--all", "-o", "json").json
    assert list(found) == [
        "machine",
        "versions",
        "settings",
        "store",
        "stack",
        "places",
        "problems",
    ]
    assert found["machine"]["cpus"] > 0 and found["versions"]["ems"] == __version__
    store = found["store"]
    assert (store["runs"], store["exists"], store["writable"]) == (3, True, True)
    assert store["versions"] == 11 and store["verified"] == "all objects"
    assert found["problems"] == []


def test_no_store_is_nothing_broken(tmp_path: Path) -> None:
    done = call(tmp_path, "check")
    assert done.code == 0 and "(none yet; the first run makes it)" in done.out
    assert not (tmp_path / ".ems").exists()


def test_a_damaged_object(lab: Lab, tell: Call) -> None:
    ((digest, _),) = tell("show", version_of(tell, "collect[0]"), "-o", "json").json["files"]
    stored = lab.root / ".ems" / "objects" / digest[:2] / digest
    stored.chmod(0o644)
    stored.write_bytes(b"x" * stored.stat().st_size)
    done = tell("check", "--all")
    assert done.code == 1
    assert f"objects/{digest[:2]}/{digest}: its content has another digest. Try: " in done.out
    (problem,) = tell("check", "--all", "-o", "json").json["problems"]
    assert list(problem) == ["where", "what", "next"]


def test_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".ems").mkdir()
    (tmp_path / ".ems" / "format.json").write_text(
        '{"format": "ems-store", "schema": 99, "id": "x"}'
    )
    done = call(tmp_path, "check")
    assert done.code == 1 and "has schema 99; this release reads up to 1" in done.out
    (tmp_path / ".ems" / "format.json").write_text("rubbish")
    assert "can't be read as a store's" in call(tmp_path, "check").out


def test_little_room(ask: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1 << 20))
    done = ask("check")
    assert done.code == 1 and "only 1 MiB are free. Try: emsctl gc, or make room" in done.out


def test_settings_that_are_off(tmp_path: Path) -> None:
    (tmp_path / ".ems.yaml").write_text("jbos: 2\n")
    done = call(tmp_path, "check")
    assert done.code == 2 and ".ems.yaml:1: unknown key 'jbos' (did you mean 'jobs'?)" in done.err
