"""Objects: named by content, read-only, whole or not there, found out when damaged."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from ems.errors import EmsError, StoreError
from ems.hashing import digest_bytes, tree_bytes
from ems.store.seen import RACY_NS
from ems.store.store import Store
from tests.store.making import opened

DATA = b"some content"
DIGEST = "290f493c44f5d63d06b374d0a5abd292fae38b92cab2fae5efefe1b0e9347f56"


def stored(store: Store, digest: str) -> Path:
    return store.objects.local_path(digest)


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_bytes_are_named_by_their_sha256(any_store: Store) -> None:
    objects = any_store.objects
    assert objects.put_bytes(DATA) == (DIGEST, len(DATA))
    assert objects.put_bytes(DATA) == (DIGEST, len(DATA))
    assert objects.read(DIGEST) == DATA
    with objects.open(DIGEST) as stream:
        assert stream.read(4) == b"some"
    assert stored(any_store, DIGEST).stat().st_mode & 0o777 == 0o444


def test_a_file_is_copied_or_moved(any_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(DATA)
    assert any_store.objects.put_path(path).digest == DIGEST
    assert path.read_bytes() == DATA
    assert any_store.objects.put_path(path, move=True) == (DIGEST, len(DATA))
    assert not path.exists()
    assert any_store.objects.read(DIGEST) == DATA


def test_a_moved_file_is_young_however_old_it_was(any_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(DATA)
    os.utime(path, (1000, 1000))
    any_store.objects.put_path(path, move=True)
    any_store.objects.sync()
    (stat,) = any_store.root.list("objects/")
    assert stat.mtime > 1_000_000


def test_a_file_in_parts_has_the_digest_of_its_parts(
    any_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ems.hashing.PART_BYTES", 1000)
    path = tmp_path / "a"
    path.write_bytes(bytes(range(250)) * 10)
    found = any_store.objects.put_path(path)
    assert found.digest.endswith("-3")
    assert found == any_store.objects.put_bytes(path.read_bytes())
    any_store.objects.sync()
    assert any_store.objects.verify(found.digest)


def test_a_folder_is_its_listing(any_store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    (folder / "sub").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "b.txt").write_bytes(DATA)
    (folder / "sub" / "run.sh").write_bytes(b"x")
    (folder / "sub" / "run.sh").chmod(0o755)
    (folder / "a").symlink_to("b.txt")
    rows = [
        ("a", "", DIGEST, 12),
        ("b.txt", "", DIGEST, 12),
        ("sub/run.sh", "x", digest_bytes(b"x"), 1),
    ]
    found = any_store.objects.put_dir(folder)
    assert found == (digest_bytes(tree_bytes(rows)), 25)
    assert any_store.objects.read(found.digest) == tree_bytes(rows)
    assert any_store.objects.exists([DIGEST, digest_bytes(b"x")]) == {DIGEST, digest_bytes(b"x")}


def test_a_link_to_a_folder_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "up").symlink_to(tmp_path)
    with pytest.raises(EmsError, match="link to a folder"):
        store.objects.put_dir(tmp_path / "d")


def test_existence_by_name_and_by_size(any_store: Store) -> None:
    objects = any_store.objects
    objects.put_bytes(DATA)
    for _ in range(2):
        assert objects.exists([DIGEST, "ff" * 32]) == {DIGEST}
        objects.sync()
    assert objects.exists({DIGEST: 12}) == {DIGEST}
    if any_store.root.probes:
        assert objects.exists({DIGEST: 13}) == set()


def test_an_object_that_is_not_there(any_store: Store) -> None:
    with pytest.raises(StoreError, match="there is no object ffff"):
        any_store.objects.read("ff" * 32)
    assert not any_store.objects.verify("ff" * 32)
    assert any_store.objects.sound(["ff" * 32]) == frozenset()


def test_a_damaged_object_is_found_and_put_again(store: Store) -> None:
    objects = store.objects
    objects.put_bytes(DATA)
    objects.sync()
    assert objects.sound([DIGEST]) == {DIGEST}
    overwrite(stored(store, DIGEST), b"some c0ntent")
    assert not objects.verify(DIGEST)
    assert objects.sound([DIGEST]) == frozenset()
    objects.put_bytes(DATA)
    assert objects.sound([DIGEST]) == {DIGEST}
    assert objects.verify(DIGEST)


def test_a_truncated_object_is_replaced_when_put(store: Store) -> None:
    store.objects.put_bytes(DATA)
    overwrite(stored(store, DIGEST), b"")
    store.objects.put_bytes(DATA)
    assert store.objects.read(DIGEST) == DATA


def test_what_is_sound_is_hashed_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.objects.put_bytes(DATA)
    time.sleep(2 * RACY_NS / 1e9)  # one this young is not remembered yet
    assert store.objects.sound([DIGEST]) == {DIGEST}
    monkeypatch.setattr("ems.store.seen.digest_file", lambda _: pytest.fail("hashed again"))
    assert store.objects.sound([DIGEST]) == {DIGEST}


def test_what_a_worker_put_is_found(any_store: Store) -> None:
    place = Path(any_store.objects.outbox, DIGEST[:2], DIGEST)
    place.parent.mkdir(parents=True)
    place.write_bytes(DATA)
    any_store.objects.publish([DIGEST])
    any_store.objects.sync()
    assert any_store.objects.sound([DIGEST]) == {DIGEST}
    assert any_store.objects.verify(DIGEST)
    (stat,) = any_store.root.list("objects/")
    assert stat.key.endswith(DIGEST)


def test_a_removed_store_is_told(tmp_path: Path, cache: Path) -> None:
    store, _ = opened(tmp_path / "root", cache)
    shutil.rmtree(tmp_path / "root")
    with pytest.raises(StoreError, match="vanished"):
        store.objects.put_bytes(DATA)
    with pytest.raises(StoreError, match="vanished"):
        store.objects.read(DIGEST)
    assert not (tmp_path / "root").exists()


def test_far_objects_come_to_another_machine_checked(s3_url: str, tmp_path: Path) -> None:
    here, _ = opened(s3_url, tmp_path / "here")
    there, _ = opened(s3_url, tmp_path / "there")
    here.objects.put_bytes(DATA)
    assert there.objects.exists([DIGEST]) == set()
    here.objects.sync()
    assert there.objects.sound([DIGEST]) == {DIGEST}
    assert there.objects.read(DIGEST) == DATA
    overwrite(stored(there, DIGEST), b"bad")
    assert there.objects.sound([DIGEST]) == {DIGEST}
    assert there.objects.read(DIGEST) == DATA
    here.root.put(f"objects/{DIGEST[:2]}/{DIGEST}", b"damaged")
    assert not here.objects.verify(DIGEST)
    third, _ = opened(s3_url, tmp_path / "third")
    with pytest.raises(StoreError, match="is damaged"):
        third.objects.read(DIGEST)
