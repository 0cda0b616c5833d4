from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call, call, version_of
from tests.e2e.lab import Lab


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_version_as_a_folder(ask: Call, tmp_path: Path) -> None:
    version = version_of(ask, "collect[1]")
    target = tmp_path / "out"
    done = ask("export", version[:10], str(target))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("wrote 10 files, ") and done.out.endswith(f", to {target}\n")
    assert files(target) == [
        "README.txt", "code/helper.py", "code/pipeline.py", "inputs/arguments.json",
        "inputs/data/data.txt", "log.txt", "manifest.json", "metrics.jsonl", "outputs/raw.txt",
        "outputs/result.json",
    ]  # fmt: skip
    assert (target / "outputs/raw.txt").read_text() == "1 some data"
    assert (target / "inputs/data/data.txt").read_text() == "some data"
    assert (target / "log.txt").read_text() == "collecting 1\n"
    rows = [json.loads(line) for line in (target / "metrics.jsonl").read_text().splitlines()]
    assert [row["metrics"]["reward"] for row in rows] == [0.5, 1.5]
    manifest = json.loads((target / "manifest.json").read_text())
    assert (manifest["version"], manifest["task"], manifest["schema"]) == (version, "collect", 1)
    readme = (target / "README.txt").read_text()
    assert "Function: collect of module pipeline, called with\n  seed = 1" in readme
    assert "Lost" not in readme and "outside" not in readme


def test_results_of_other_tasks_are_put_in_place(ask: Call, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert ask("export", version_of(ask, "train", "last~1"), str(target)).code == 0
    found = json.loads((target / "inputs/arguments.json").read_text())
    assert [each["$file"][2] for each in found["values"]["parts"]] == ["raw.txt", "raw.txt"]
    assert sorted(found["files"]) == ["inputs/parts/0/raw.txt", "inputs/parts/1/raw.txt"]
    assert (target / "inputs/parts/1/raw.txt").read_text() == "1 some data"
    assert "FACTOR = 4" in (target / "code/helper.py").read_text()
    result = json.loads((target / "outputs/result.json").read_text())
    assert result == {"value": {"weight": 88, "rate": 0.1}, "files": {}}


def test_the_code_of_a_version_runs(ask: Call, tmp_path: Path) -> None:
    target = tmp_path / "out"
    ask("export", version_of(ask, "train", "last~1"), str(target))
    program = "import pipeline, pathlib; print(pipeline.train([pathlib.Path('../log.txt')], 2.0))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=target / "code",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{'weight': 0, 'rate': 2.0}\n"


def test_a_version_that_failed(ask: Call, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert ask("export", version_of(ask, "evaluate"), str(target)).code == 0
    assert not (target / "outputs").exists()
    assert "State: failed (exception)" in (target / "README.txt").read_text()


def test_refusals(ask: Call, tmp_path: Path) -> None:
    version = version_of(ask, "train")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    full = ask("export", version, str(tmp_path / "full"))
    assert full.code == 2 and "full: is not empty. Try: emsctl export" in full.err
    assert ask("export", version, str(tmp_path / "full" / "x")).code == 2
    assert ask("export", "abcdef", str(tmp_path / "new")).err.startswith(
        "emsctl: abcdef: no such version"
    )
    assert ask("export", "last", str(tmp_path / "new")).code == 2
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    assert ask("export", version, str(tmp_path / "empty")).code == 0


def test_a_folder_that_may_not_be_written(ask: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = ask("export", version_of(ask, "train"), str(tmp_path / "file" / "out"))
    assert done.code == 1 and "Not a directory" in done.err and done.err.count("\n") == 1


def test_data_outside_that_is_gone_or_changed_is_named(
    lab: Lab, tell: Call, tmp_path: Path
) -> None:
    version = version_of(tell, "collect[0]")
    lab.write("data.txt", "changed")
    done = tell("export", version, str(tmp_path / "changed"))
    assert done.code == 0
    where = lab.root / "data.txt"
    assert f"lay outside the store, at {where}, which has changed since" in done.err
    assert not (tmp_path / "changed/inputs/data/data.txt").exists()
    assert (
        "Not here, since it lay outside the store:" in (tmp_path / "changed/README.txt").read_text()
    )
    where.unlink()
    assert f"at {where}, which is gone" in tell("export", version, str(tmp_path / "gone")).err


def test_objects_that_are_lost_or_damaged_are_named(lab: Lab, tell: Call, tmp_path: Path) -> None:
    version = version_of(tell, "collect[0]")
    ((digest, _),) = tell("show", version, "-o", "json").json["files"]
    stored = lab.root / ".ems" / "objects" / digest[:2] / digest
    content = stored.read_bytes()
    stored.unlink()
    stored.write_bytes(content[::-1])
    done = tell("export", version, str(tmp_path / "damaged"))
    assert done.code == 1 and f"raw.txt: object {digest[:12]} is damaged" in done.err
    assert not (tmp_path / "damaged/outputs/raw.txt").exists()
    stored.unlink()
    done = tell("export", version, str(tmp_path / "lost"))
    assert done.code == 1 and f"raw.txt: object {digest[:12]} is gone from the store" in done.err
    assert "Lost:" in (tmp_path / "lost/README.txt").read_text()


def test_names_lead_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ems.store.entries import Record
    from ems.store.store import Store

    monkeypatch.setenv("EMS_CACHE", str(tmp_path / "cache"))
    version = "ab" * 32
    with Store.open(tmp_path / "home" / ".ems") as store, store.session("r") as writer:
        digest, size = store.objects.put_bytes(b"evil")
        rows = [["../../up.txt", "", digest, size], ["/abs.txt", "", digest, size]]
        folder = store.objects.put_bytes(json.dumps(rows).encode())
        spec = {"bundle": {"../../code.py": digest}, "entry": ["m", "f"], "env": {}, "code": {}}
        named = store.objects.put_bytes(json.dumps({**spec, "kind": "python"}).encode())
        out = [{"$file": [digest, size, "../../x"]}, {"$dir": [*folder, ".."]}]
        writer.record(
            Record(
                version, 1, writer.runner_id, "r", "t", named.digest, {"a": 1}, out, "", 1.0, 2.0
            )
        )
    target = tmp_path / "home" / "deep" / "out"
    assert call(tmp_path / "home", "export", version, str(target)).code == 0
    assert [name for name in files(target) if "/" in name] == [
        "code/code.py", "inputs/arguments.json", "outputs/.._.._x", "outputs/_../abs.txt",
        "outputs/_../up.txt", "outputs/result.json",
    ]  # fmt: skip
    assert files(tmp_path / "home" / "deep") == [f"out/{name}" for name in files(target)]


KINDS = """
    import os
    from dataclasses import dataclass

    import numpy as np

    import ems

    @dataclass
    class Model:
        weights: np.ndarray
        notes: ems.File

    @ems.task
    def make(n: int) -> tuple[Model, ems.Dir, dict[str, ems.File]]:
        os.makedirs("d/deep")
        for name in ("d/run.sh", "d/deep/x.txt", "same", "notes.md"):
            with open(name, "w") as out:
                out.write(name)
        os.chmod("d/run.sh", 0o755)
        files = {"a": ems.File("same"), "b": ems.File("same")}
        return Model(np.arange(n), ems.File("notes.md")), ems.Dir("d"), files

    count = ems.command("cat {f} > {out.n}", outputs={"n": "n.txt"}, name="count")

    @ems.pipeline
    def main(n: int = 3):
        model, folder, _ = made = make(n)[0], make(n)[1], make(n)[2]
        return count(f=model.notes)["n"], folder
    """


def test_folders_arrays_and_equal_names(lab: Lab, tell: Call, tmp_path: Path) -> None:
    lab.write("kinds.py", KINDS)
    lab.emsctl("run", "kinds.py", "-q")
    target = tmp_path / "out"
    assert tell("export", version_of(tell, "make[0]"), str(target)).code == 0
    made = [name for name in files(target) if name.startswith("outputs/")]
    assert made == [
        "outputs/0-weights.npy", "outputs/2/a/same", "outputs/2/b/same", "outputs/d/deep/x.txt",
        "outputs/d/run.sh", "outputs/notes.md", "outputs/result.json",
    ]  # fmt: skip
    assert os.access(target / "outputs/d/run.sh", os.X_OK)
    assert (target / "outputs/d/deep/x.txt").read_text() == "d/deep/x.txt"
    command = tmp_path / "command"
    assert tell("export", version_of(tell, "count"), str(command)).code == 0
    assert (command / "inputs/f/notes.md").read_text() == "notes.md"
    assert "Command: cat {f} > {out.n}" in (command / "README.txt").read_text()
