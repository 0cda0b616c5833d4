"""A store in S3 beside a place in S3: nothing large passes through this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ems.compute.job import JobState, Reason
from ems.compute.remote import beside as module
from ems.compute.remote.beside import Copied, InPlace, S3Objects, beside
from ems.compute.remote.order import Order, PlaceError, Refused, Unreachable
from ems.compute.remote.s3 import S3Site
from ems.compute.remote.spool import SpoolBackend
from ems.hashing import digest_bytes
from ems.store.store import Store
from tests.compute.remote.containers import Containers
from tests.contract.place import Place
from tests.rigs.s3 import BUCKET, KEYS, REGION, Link, client, served

MIB = 2**20
SOURCE = """
    import os
    import time
    from pathlib import Path

    import ems

    def turned(given):
        Path("out").write_bytes(given.read_bytes()[::-1])
        return ems.File("out")

    def several(given):
        Path("out/in").mkdir(parents=True)
        for each in Path(given).iterdir():
            (Path("out/in") / each.name).write_text(each.read_text() * 2)
        return ems.Dir("out")

    def step():
        kept = ems.context().checkpoint / "step"
        found = kept.read_text() if kept.exists() else "nothing"
        kept.with_name("new").write_text("halfway")
        os.replace(kept.with_name("new"), kept)
        print("found", found, flush=True)
        while found == "nothing":
            time.sleep(0.1)
        return found
"""


class Lab:
    """A store in S3, and places in S3 whose jobs have a link to it of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.broker, self.workers = folder, Link(*served()), Link(*served())
        self.prefix = uuid4().hex[:12]
        self.url = f"s3://{BUCKET}/{self.prefix}/store"
        self.opened: list[SpoolBackend] = []
        self.warned: list[str] = []
        self.store: Store

    def open(self) -> None:
        self.store = Store.open(self.url, cache=self.folder)

    def place(self, name: str = "there", writable: Sequence[str] = ()) -> Place:
        """Return a place with its own root; where jobs may write the store they use it."""
        root = f"s3://{BUCKET}/{self.prefix}/{name}"
        scheduler = Towards(self.workers.address, root, self.folder / name)
        backend = SpoolBackend(
            name, S3Site(root), scheduler, self.store.objects, self.folder / f"{name}-cache",
            beside=beside(self.store.objects, root, writable, self.warned.append), poll_s=0.2,
        )  # fmt: skip
        self.opened.append(backend)
        return Place(backend, self.folder)

    def put(self, data: bytes) -> str:
        """Keep an object in the store, past this machine's cache."""
        digest = digest_bytes(data)
        self.write(self.url, digest, data, ChecksumAlgorithm="SHA256")
        return digest

    def write(self, url: str, digest: str, data: bytes, **more: str) -> None:
        self._client.put_object(Bucket=BUCKET, Key=self._key(url, digest), Body=data, **more)

    def read(self, url: str, digest: str) -> bytes:
        key = self._key(url, digest)
        return self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def names(self, folder: str) -> dict[str, int]:
        pages = self._client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/{folder}")
        return {
            each["Key"].rpartition("/")[2]: each["Size"]
            for page in found
            for each in page.get("Contents", ())
        }

    def young(self, digest: str) -> Any:
        key = self._key(self.url, digest)
        return self._client.head_object(Bucket=BUCKET, Key=key)["LastModified"]

    @property
    def _client(self) -> Any:
        return client(self.broker.beyond)

    def _key(self, url: str, digest: str) -> str:
        return f"{url.removeprefix(f's3://{BUCKET}/')}/objects/{digest[:2]}/{digest}"

    def close(self) -> None:
        for each in self.opened:
            each.close()
        self.store.close()
        for each in (self.broker, self.workers):
            each.cut()


class Towards(Containers):
    """Containers that have their own way to S3."""

    def __init__(self, address: str, root: str, folder: Path) -> None:
        super().__init__(root, folder)
        self._more = {"AWS_ENDPOINT_URL": address, "EMS_SCRATCH": str(folder)}

    def _start(self, order: Order) -> Refused | None:
        return super()._start(order._replace(variables={**order.variables, **self._more}))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    made = Lab(tmp_path)
    more = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": made.broker.address, "HOME": str(tmp_path)}
    for name, value in {**KEYS, **more}.items():
        monkeypatch.setenv(name, value)
    made.open()
    yield made
    made.close()


def given(digest: str, size: int, tag: str = "$file") -> dict[str, Any]:
    return {"given": {tag: [digest, size, "given"]}}


@pytest.mark.parametrize(("in_place", "size"), [(True, 65 * MIB), (False, 12 * MIB)])
def test_what_is_large_does_not_pass_through_here(lab: Lab, in_place: bool, size: int) -> None:
    data = os.urandom(size)
    digest, made = lab.put(data), digest_bytes(data[::-1])
    place = lab.place(writable=[f"s3://{BUCKET}/{lab.prefix}"] if in_place else [])
    before = lab.broker.passed
    handle = place.submit(place.parcel(SOURCE, [("turned", given(digest, size))]))
    status = place.finish(handle, 90)
    (end,) = place.ends(handle)
    assert (status.state, end["files"]) == (JobState.SUCCEEDED, [[made, size]])
    assert lab.names("store/objects").items() >= {digest: size, made: size}.items()
    assert (size in lab.names("there/objects").values()) is not in_place
    lab.store.objects.publish([made])
    lab.store.objects.sync()
    assert lab.store.objects.present([made, digest]) == {made, digest}
    assert lab.broker.passed - before < MIB, "the worker, a parcel, a few lines"
    assert lab.workers.passed > 2 * size
    assert not list(lab.folder.glob(f"objects/*/{made}"))
    assert lab.store.objects.local_path(made).read_bytes() == data[::-1]
    assert lab.warned == []


@pytest.mark.parametrize("in_place", [True, False])
def test_folders_of_the_store_and_files_from_here(lab: Lab, *, in_place: bool) -> None:
    there = Path(lab.folder / "dir")
    there.mkdir()
    for name in ("a", "b"):
        (there / name).write_text(name)
    kept = lab.store.objects.put_dir(there)
    own = lab.folder / "own"
    own.write_text("of this machine")
    mine = digest_bytes(b"of this machine")
    place = lab.place(writable=[f"s3://{BUCKET}/{lab.prefix}"] if in_place else [])
    calls = [("several", given(kept.digest, kept.size, "$dir")), ("turned", given(mine, 15))]
    parcel = place.parcel(SOURCE, calls, places={mine: str(own)})
    handle = place.submit(parcel)
    place.finish(handle, 60)
    first, second = place.ends(handle)
    assert [each.get("error") for each in (first, second)] == [None, None]
    (turned,) = second["files"]
    assert lab.read(lab.url, turned[0]) == b"enihcam siht fo"
    assert mine in lab.names("there/objects"), "what the store does not have lies at the place"
    assert mine not in lab.names("store/objects")
    assert sorted(lab.read(lab.url, row[0]) for row in first["files"])[1:] == [b"aa", b"bb"]


def test_an_input_that_is_nowhere_or_damaged(lab: Lab) -> None:
    lost, wrong = "ab" * 32, lab.put(b"right")
    lab.write(lab.url, wrong, b"wrong")
    for name, writable in (("near", [lab.url]), ("far", [])):
        place = lab.place(name, writable)
        handles = [
            place.submit(place.parcel(SOURCE, [("turned", given(digest, 5))]))
            for digest in (lost, wrong)
        ]
        status = place.finish(handles[0], 30)
        assert (status.state, status.reason) == (JobState.FAILED, Reason.INPUT_MISSING)
        assert f"there is no object {lost}" in status.detail
        assert place.finish(handles[1], 60).state is JobState.FAILED
        (end,) = place.ends(handles[1])
        assert end["reason"] == "input_missing"
        assert "is damaged" in end["error"]["message"]
    (told,) = lab.warned
    assert "is not what its digest says" in told
    assert wrong not in lab.names("far/objects")


def test_what_s3_does_not_vouch_for_is_read_once(lab: Lab) -> None:
    place = InPlace(lab.store.objects, f"{lab.url}-not")
    assert not place.holds(digest_bytes(b"nowhere"), 7)
    bare = digest_bytes(b"without a checksum")
    lab.write(lab.url, bare, b"without a checksum")
    assert place.holds(bare, 18)
    assert list(lab.folder.glob(f"objects/*/{bare}"))
    wrong = digest_bytes(b"right")
    lab.write(lab.url, wrong, b"wrong", ChecksumAlgorithm="SHA256")
    with pytest.raises(PlaceError, match="is damaged"):
        place.holds(wrong, 5)


def test_what_the_store_has_is_never_replaced_by_a_damaged_copy(lab: Lab) -> None:
    root = f"s3://{BUCKET}/{lab.prefix}/far"
    place = Copied(lab.store.objects, root, lab.warned.append)
    digest = digest_bytes(b"moved here without a checksum")
    lab.write(lab.url, digest, b"moved here without a checksum")
    lab.write(root, digest, b"damaged")
    assert not place.holds(digest, 29), "it is fetched and read instead"
    assert lab.read(lab.url, digest) == b"moved here without a checksum"
    only = digest_bytes(b"only there")
    lab.write(root, only, b"only there")
    assert not place.holds(only, 10)
    assert only not in lab.names("store/objects"), "S3 vouches for it or it is read first"
    with pytest.raises(PlaceError, match="is not vouched for"):
        InPlace(lab.store.objects, root).holds(only, 10)
    lab.write(root, only, b"only there", ChecksumAlgorithm="SHA256")
    assert place.holds(only, 10)
    assert lab.read(lab.url, only) == b"only there"


def test_keys_that_are_gone_may_come_back(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Unreachable, match="no AWS credentials here"):
        S3Objects(lab.url).found("ab" * 32)


def test_what_is_old_is_renewed_before_it_counts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = lab.put(b"old by now")
    place, before = InPlace(lab.store.objects, f"{lab.url}-not"), lab.young(digest)
    assert place.holds(digest, 10)
    assert lab.young(digest) == before
    monkeypatch.setattr(module, "_YOUNG_S", 0.5)
    time.sleep(2)  # S3 tells whole seconds
    assert place.holds(digest, 10)
    assert lab.young(digest) > before
    found = S3Objects(lab.url).found(digest)
    assert found is not None
    assert found.is_content(digest, 10)


def test_a_takeover_at_another_place_finds_the_checkpoint(lab: Lab) -> None:
    one, two = (lab.place(name, [lab.url]) for name in ("one", "two"))
    parcel = one.parcel(SOURCE, [("step", {})])
    handle = one.submit(parcel)
    one.until(lambda: one.log(handle) == b"found nothing\n", 60)
    one.backend.cancel([handle], 20)
    assert one.finish(handle, 60).state is JobState.CANCELED
    assert "checkpoint.json" in lab.names("store/attempts")
    handle = two.submit({**parcel, "parcel": "again"})
    two.finish(handle, 60)
    assert two.ends(handle)[0]["out"] == "halfway"
    two.until(lambda: not lab.names("store/attempts"), 30)


def test_a_plain_jobs_output_is_copied_into_the_store(lab: Lab) -> None:
    place = lab.place(writable=[lab.url])
    make = ("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x > out")
    before = lab.broker.passed
    (handle,) = place.backend.submit([place.job(make, outputs={"out": "out"})])
    assert place.finish(handle, 60).state is JobState.SUCCEEDED
    made = digest_bytes(b"x" * 3_000_000)
    assert made in lab.names("there/objects"), "no log speaks of it, so gc must not find it"
    assert lab.names("store/objects")[made] == 3_000_000
    assert lab.broker.passed - before < MIB


def test_where_a_store_is_used_in_place(lab: Lab) -> None:
    kept, warn = lab.store.objects, print
    assert beside(None, "s3://lab/x", [], warn) is None
    inside = beside(kept, "s3://other/x", ["s3://other/scratch", f"s3://lab/{lab.prefix}/"], warn)
    assert isinstance(inside, InPlace)
    assert isinstance(beside(kept, lab.url, [], warn), InPlace)
    outside = beside(kept, "s3://other/x", [f"s3://lab/{lab.prefix[:-1]}"], warn)
    assert isinstance(outside, Copied)
