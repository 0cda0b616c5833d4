"""The memo of facts: never stale, never needed, safe with others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ems.pipeline.code import library, memo
from tests.pipeline.code.lab import LAB, TASKS
from tests.pipeline.code.sandbox import Sandbox
from tests.pipeline.code.test_changes import digests


@pytest.fixture
def lab(sandbox: Sandbox) -> Sandbox:
    sandbox.write(LAB)
    return sandbox


def memo_file(sandbox: Sandbox) -> Path:
    (path,) = [each for each in (sandbox.cache / "facts").iterdir() if "." not in each.name[-5:-4]]
    return path


def test_an_unchanged_project_is_not_parsed_again(
    lab: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(lab)

    def never(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr(library.Files, "_parse", never)
    assert digests(lab) == before
    os.utime(lab.root / "lib/models.py")
    assert digests(lab) == before


def test_only_what_changed_is_parsed_again(lab: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    digests(lab)
    parsed: list[str] = []
    parse = library.Files._parse

    def noted(self: library.Files, source: bytes, path: str, module: str, package: bool) -> object:
        parsed.append(module)
        return parse(self, source, path, module, package)

    monkeypatch.setattr(library.Files, "_parse", noted)
    lab.edit("lib/constants.py", "REWARD = 1", "REWARD = 2")
    digests(lab)
    assert parsed == ["lib.constants"]


def test_a_quick_edit_of_equal_size_and_time_is_seen(lab: Sandbox) -> None:
    path = lab.root / "lib/constants.py"
    before = digests(lab)
    stat = path.stat()
    lab.edit("lib/constants.py", "REWARD = 1", "REWARD = 3")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digests(lab)["collect"] != before["collect"]


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "folder", "other"])
def test_a_broken_memo_is_made_again(lab: Sandbox, damage: str) -> None:
    before = digests(lab)
    path = memo_file(lab)
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        changed = bytearray(data)
        changed[len(data) // 4] ^= 0xFF
        noise = bytes(changed)
        path.write_bytes(
            {"cut": data[: len(data) // 3], "noise": noise, "empty": b"", "other": b"x" * 99}[
                damage
            ]
        )
    assert digests(lab) == before
    assert digests(lab) == before


def test_texts_survive_the_process_and_the_memo(lab: Sandbox) -> None:
    first = lab.code("collect")
    texts = {part: first.source(part) for part in first.parts}
    assert all(texts.values())
    again = lab.code("collect")
    lab.edit("lib/constants.py", "REWARD = 1", "REWARD = 5")
    lab.code("collect")  # replaces the memo's file meanwhile
    assert {part: again.source(part) for part in again.parts} == texts
    memo_file(lab).unlink()
    assert all(lab.code("collect").source(part) for part in first.parts)


def test_a_cache_that_cannot_be_written_costs_only_time(lab: Sandbox, tmp_path: Path) -> None:
    before = digests(lab)
    lab.cache = tmp_path / "file"
    lab.cache.write_text("in the way")
    assert digests(lab) == before


def test_many_processes_share_a_memo(lab: Sandbox) -> None:
    script = (
        "import sys; from pathlib import Path; from ems.pipeline.code import Project\n"
        "for task in sys.argv[3:]:\n"
        "    p = Project.of(Path(sys.argv[1]) / 'pipeline.py', Path(sys.argv[2]))\n"
        "    print(task, sorted(p.code_of_symbol('pipeline', task).parts.items()))\n"
    )

    def one(number: int) -> str:
        tasks = [*TASKS[number % 4 :], *TASKS[: number % 4]]
        command = [sys.executable, "-c", script, str(lab.root), str(lab.cache), *tasks]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return "\n".join(sorted(done.stdout.splitlines()))

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(one, range(4)))) == 1
    assert not list((lab.cache / "facts").glob("*.*.*.*"))


def test_when_a_time_can_tell() -> None:
    now = 1_700_000_000_123_456_789
    assert not memo.is_settled((1, now - 1_000_000, 1), now)
    assert memo.is_settled((1, now - 100_000_000, 1), now)
    whole = now - now % 1_000_000_000
    assert not memo.is_settled((1, whole - 1_000_000_000, 1), whole)
    assert memo.is_settled((1, whole - 3_000_000_000, 1), whole)


def test_a_warm_pipeline_costs_milliseconds(lab: Sandbox) -> None:
    digests(lab)
    time.sleep(0.06)
    digests(lab)
    best = min(_timed(lab) for _ in range(20))
    assert best < 0.015  # four tasks over nine files; under 1 ms on an idle machine


def _timed(lab: Sandbox) -> float:
    start = time.perf_counter()
    digests(lab)
    return time.perf_counter() - start
