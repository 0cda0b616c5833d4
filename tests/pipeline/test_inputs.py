"""Inputs: each content is asked for once, and what changed is never taken for what it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ems.pipeline.inputs import StoreInputs
from ems.pipeline.results import Results
from ems.store.store import Store
from ems.worker.inputs import rows_of, stamp_of

OLD = 1_600_000_000


class Asked:
    """Counts what the store's memory of digests is asked."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.questions: list[int] = []
        many = store.seen.digest_many

        def digest_many(paths: Iterable[Any]) -> Any:
            listed = list(paths)
            self.questions.append(len(listed))
            return many(listed)

        monkeypatch.setattr(store.seen, "digest_many", digest_many)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", cache=tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "d"
    for name in ("a", "sub/b", "sub/c"):
        _write(made / name, name)
    return made


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (OLD, OLD))


def _inputs(store: Store) -> StoreInputs:
    return StoreInputs(store, Results(store), writes=True)


def test_a_folder_is_one_question_and_then_none(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, inputs = Asked(store, monkeypatch), _inputs(store)
    first = inputs.folder(str(folder))
    assert inputs.folder(str(folder)) == first
    assert inputs.place(str(folder), first[0]) == [str(folder), rows_of(str(folder))]
    assert asked.questions == [3]
    (folder / "sub/c").write_text("new")
    assert inputs.folder(str(folder))[0] != first[0]
    assert inputs.place(str(folder), first[0]) == [str(folder), -1, 0, 0]


def test_a_young_folder_is_asked_about_again(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, inputs = Asked(store, monkeypatch), _inputs(store)
    monkeypatch.setattr("ems.store.seen.RACY_NS", 3600 * 10**9)
    (folder / "a").write_text("now")
    inputs.folder(str(folder))
    inputs.folder(str(folder))
    assert asked.questions == [3, 3]


def test_files_are_hashed_at_once(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, inputs = Asked(store, monkeypatch), _inputs(store)
    paths = [str(folder / name) for name in ("a", "sub/b", "sub/c")]
    inputs.prefetch([*paths, str(folder / "none")])
    found = [inputs.file(path) for path in paths]
    assert asked.questions == [3]
    assert len(set(found)) == 3 and [size for _, size in found] == [1, 5, 5]
    (folder / "a").write_text("other")
    assert inputs.file(paths[0]) != found[0]
    with pytest.raises(FileNotFoundError):
        inputs.file(str(folder / "none"))


def test_where_a_file_lies(store: Store, folder: Path) -> None:
    inputs, path = _inputs(store), str(folder / "a")
    digest, _ = inputs.file(path)
    assert inputs.place(path, digest) == [path, *stamp_of(path)]
    assert inputs.place(path, "b" * 64) == [path, -1, 0, 0]
    os.unlink(path)
    assert inputs.place(path, digest) == [path, -1, 0, 0]
