"""A folder that both sides share: objects of any size arrive whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ems.compute.remote.folder import FolderSite
from ems.compute.remote.order import PlaceError
from ems.compute.remote.site import Look
from ems.hashing import PART_BYTES, digest_file
from ems.worker.places import object_path


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1])
def test_an_object_goes_there_and_comes_back(tmp_path: Path, size: int) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    with source.open("wb") as stream:
        stream.truncate(size)
        stream.seek(max(0, size - 1))
        stream.write(b"x" * min(1, size))
    digest, site = digest_file(source), FolderSite(tmp_path / "there")
    assert site.missing([digest]) == {digest}
    site.put({digest: source})
    assert site.missing([digest]) == set()
    site.fetch(digest, size, back)
    assert digest_file(back) == digest


def test_a_file_that_changed_is_not_taken(tmp_path: Path) -> None:
    source, site = tmp_path / "source", FolderSite(tmp_path / "there")
    source.write_bytes(b"one")
    digest = digest_file(source)
    source.write_bytes(b"two")
    with pytest.raises(PlaceError, match="is no longer the object"):
        site.put({digest: source})
    final = Path(object_path(str(tmp_path / "there" / "objects"), digest))
    assert list(final.parent.iterdir()) == []


def test_only_what_is_new_is_seen(tmp_path: Path) -> None:
    site = FolderSite(tmp_path)
    site.write({"jobs/a/events.jsonl": b"one\n", "jobs/a/output": b"said"})
    first, gone = site.look([Look("a", 0, 0), Look("b", 0, 0)])
    assert (first.events, first.output, first.there, first.complete) == (
        b"one\n",
        b"said",
        True,
        True,
    )
    assert (gone.events, gone.there) == (b"", False)
    (again,) = site.look([Look("a", 4, 2)])
    assert (again.events, again.output, again.there) == (b"", b"id", True)
