"""A place's files in S3, where AWS Batch, SageMaker and EKS reach them with a role of their own.

    <root>/objects/<2 hex>/<digest>      as a store at the same root keeps them, each there once
    <root>/jobs/<id>/parcel.json  events/<offset>  output/<offset>  events.jsonl.cancel

Jobs' messages and output are parts that follow each other; the last one grows (see
`ems.worker.carrying`). Address, region and credentials come from where a store's do. Knows bytes
and keys.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ems.compute.remote.beside import S3Objects
from ems.compute.remote.order import PlaceError, Unreachable
from ems.compute.remote.site import Look, Seen
from ems.errors import UsageError
from ems.hashing import PART_BYTES, digest_file
from ems.store.s3 import endpoint, profile

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")
R = TypeVar("R")
_AT_ONCE = 16
_RANGES_AT_ONCE = 4
_RANGE_BYTES = 16 * 2**20
_MOST_BYTES = 4 * 2**20
"""What one look brings of one file at most: the next look brings the rest."""
_RETRY_S = 8
"""For how long a server that can't be reached is asked again; whoever asks comes back anyway."""
_YOUNG_S = 43200.0
"""An older object is renewed before a job relies on it: a bucket's rule may remove old ones."""
_SURE_S = 600.0
"""An object that was there is taken to be there for so long."""
_PAGE = 1000


class _Part(NamedTuple):
    key: str
    start: int
    end: int


class _Listed:
    """What there is of one job."""

    def __init__(self) -> None:
        self.there = False
        self.parts: dict[str, list[_Part]] = {"events": [], "output": []}

    def take(self, key: str, size: int) -> None:
        """Note an object of the job."""
        self.there = True
        _, _, kind, *offset = key.split("/")
        if kind in self.parts and offset:
            self.parts[kind].append(_Part(key, int(offset[0]), int(offset[0]) + size))


class S3Site:
    """The files below `s3://bucket/prefix`, which is what jobs see, too."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        bucket, _, self._prefix = self.root.removeprefix("s3://").partition("/")
        if not self.root.startswith("s3://") or not bucket:
            raise UsageError("root", f"{root!r} is no s3://bucket/prefix")
        self._bucket = bucket
        self._opened: S3Store | None = None
        self._objects = S3Objects(self.root)
        self._sure: dict[str, float] = {}
        self._partial: dict[str, tuple[Path, set[int]]] = {}
        self._pages = 1
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ems-s3")

    def _store(self) -> S3Store:
        """Return the library's store, opened when it is first used: its import takes a while."""
        with self._lock:
            if self._opened is None:
                from datetime import timedelta

                from obstore.store import S3Store

                http = endpoint().startswith("http://")
                self._opened = S3Store(
                    self._bucket,
                    prefix=self._prefix or None,
                    checksum_algorithm="SHA256",
                    client_options={"allow_http": http, "timeout": "60s", "connect_timeout": "5s"},
                    retry_config={
                        "max_retries": 20,
                        "backoff": {"max_backoff": timedelta(seconds=2)},
                        "retry_timeout": timedelta(seconds=_RETRY_S),
                    },
                    **profile(os.environ, Path.home() / ".aws"),  # pyright: ignore[reportArgumentType]
                )
            return self._opened

    # -- objects ----------------------------------------------------------------------------------

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Return those of the objects that are not there; old ones are renewed, so as to stay."""
        fresh = time.monotonic() - _SURE_S
        asked = [each for each in digests if self._sure.get(each, fresh) <= fresh]
        there = dict(zip(asked, self._each(self._stays, asked), strict=True))
        self._sure |= {digest: time.monotonic() for digest, stays in there.items() if stays}
        return {digest for digest, stays in there.items() if not stays}

    def _stays(self, digest: str) -> bool:
        import obstore

        key = _key(digest)
        found = self._or_none(key, lambda: obstore.head(self._store(), key))
        if found is not None and time.time() - found["last_modified"].timestamp() > _YOUNG_S:
            self._objects.renew(digest)
        return found is not None

    def _size(self, key: str) -> int | None:
        import obstore

        return self._or_none(key, lambda: obstore.head(self._store(), key)["size"])

    def put(self, objects: Mapping[str, Path]) -> None:
        """Bring objects there; S3 verifies what arrives."""
        self._each(lambda digest: self._put(digest, objects[digest]), list(objects))

    def _put(self, digest: str, source: Path) -> None:
        import obstore

        try:
            found = digest_file(source)
        except OSError as error:
            raise PlaceError(str(source), f"can't be read: {error.strerror}") from None
        if found != digest:
            raise PlaceError(str(source), f"is no longer the object {digest[:16]}")
        self._asking(
            _key(digest),
            lambda: obstore.put(
                self._store(), _key(digest), source, chunk_size=PART_BYTES, max_concurrency=4
            ),
        )
        self._sure[digest] = time.monotonic()

    def fetch(self, digest: str, size: int, target: Path) -> None:
        """Bring an object here; one that was broken off is gone on with by the next call."""
        with self._lock:
            name = f"tmp-{os.getpid()}-{os.urandom(4).hex()}"
            made, done = self._partial.setdefault(digest, (target.with_name(name), set()))
        if self._size(_key(digest)) is None:
            raise PlaceError(f"object {digest[:16]}", f"is not at {self.root}/{_key(digest)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(made, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._pull(digest, size, fd, done)
            finally:
                os.close(fd)
            found = digest_file(made)
            if found != digest:
                made.unlink()
                where = f"{self.root}/{_key(digest)}"
                raise PlaceError(where, f"is damaged: its content has the digest {found[:16]}")
            made.chmod(0o444)
            made.rename(target)
        except OSError as error:
            made.unlink(missing_ok=True)
            self._partial.pop(digest, None)
            raise PlaceError(str(target), f"can't be written: {error.strerror}") from None
        except PlaceError:
            self._partial.pop(digest, None)
            raise
        self._partial.pop(digest, None)

    def _pull(self, digest: str, size: int, fd: int, done: set[int]) -> None:
        starts = [at for at in range(0, size, _RANGE_BYTES) if at not in done]

        def one(start: int) -> None:
            data = self._range(_key(digest), start, min(_RANGE_BYTES, size - start))
            os.pwrite(fd, data, start)
            done.add(start)

        if len(starts) == 1:
            one(starts[0])
            return
        with ThreadPoolExecutor(_RANGES_AT_ONCE) as pool:
            for each in [pool.submit(one, start) for start in starts]:
                each.result()

    def _range(self, key: str, start: int, length: int) -> bytes:
        import obstore

        return self._asking(
            key, lambda: bytes(obstore.get_range(self._store(), key, start=start, length=length))
        )

    # -- files of jobs ----------------------------------------------------------------------------

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole at once."""
        import obstore

        def one(path: str) -> None:
            self._asking(
                path, lambda: obstore.put(self._store(), path, files[path], use_multipart=False)
            )

        self._each(one, list(files))

    def read(self, path: str) -> bytes | None:
        """Return a file; None where there is none."""
        import obstore

        return self._or_none(path, lambda: bytes(obstore.get(self._store(), path).bytes()))

    def look(self, asked: Sequence[Look]) -> list[Seen]:
        """Return what jobs wrote; where nothing is new, listing is all that is asked."""
        listed = self._listed([each.job for each in asked])
        return self._each(lambda each: self._seen(each, listed[each.job]), asked)

    def _listed(self, jobs: Sequence[str]) -> Mapping[str, _Listed]:
        """List all jobs at once where that takes fewer requests than one each."""
        found = {job: _Listed() for job in jobs}
        if len(jobs) > self._pages:
            count = 0
            count = 0
            for count, (key, size) in enumerate(self._list("jobs"), 1):
                job = key.split("/", 2)[1]
                if job in found:
                    found[job].take(key, size)
                if count > _PAGE * len(jobs):
                    break  # others' jobs are many here
            else:
                self._pages = -(-count // _PAGE) or 1
                return found
            self._pages = len(jobs) + 1
            found = {job: _Listed() for job in jobs}

        def one(job: str) -> None:
            for key, size in self._list(f"jobs/{job}"):
                found[job].take(key, size)

        self._each(one, jobs)
        return found

    def _list(self, prefix: str) -> Iterable[tuple[str, int]]:
        import obstore

        pages = obstore.list(self._store(), prefix, chunk_size=_PAGE)  # pyright: ignore[reportUnknownMemberType]
        while page := self._asking(prefix, lambda: next(iter(pages), None)):
            for each in page:
                yield each["path"], each["size"]

    def _seen(self, asked: Look, listed: _Listed) -> Seen:
        events, more = self._since(listed.parts["events"], asked.events)
        output, even_more = self._since(listed.parts["output"], asked.output)
        return Seen(events, output, listed.there, not (more or even_more))

    def _since(self, parts: Sequence[_Part], since: int) -> tuple[bytes, bool]:
        """Return what parts hold from an offset on, and whether there is more."""
        made, at, most = bytearray(), since, since + _MOST_BYTES
        for part in sorted(parts, key=lambda each: each.start):
            if part.start <= at < part.end and at < most:
                length = min(part.end, most) - at
                data = self._or_none(
                    part.key,
                    lambda key=part.key, start=at - part.start, n=length: self._range(
                        key, start, n
                    ),
                )
                if data is None:
                    break  # the job is being removed
                made += data
                at += len(data)
        return bytes(made), at == most and any(part.end > at for part in parts)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files and all below them, in requests of many keys."""
        import obstore

        inner = self._each(lambda path: [key for key, _ in self._list(path)], paths)
        keys = sorted({*paths, *(key for each in inner for key in each)})
        if keys:
            self._asking(keys[0], lambda: obstore.delete(self._store(), keys))

    def close(self) -> None:
        """Let go of threads, and of what was fetched in part."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for made, _ in self._partial.values():
            made.unlink(missing_ok=True)

    # -- asking -----------------------------------------------------------------------------------

    def _each(self, act: Callable[[T], R], given: Sequence[T]) -> list[R]:
        """Do what waits for the network for many at once."""
        if len(given) < 2:
            return [act(each) for each in given]
        return list(self._pool.map(act, given))

    def _or_none(self, key: str, ask: Callable[[], T]) -> T | None:
        try:
            return self._asking(key, ask)
        except _Missing:
            return None

    def _asking(self, key: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (PlaceError, Unreachable):
            raise
        except Exception as error:
            raise self._explained(key, error) from None

    def _explained(self, key: str, error: Exception) -> PlaceError | Unreachable:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        text = str(error).strip()
        if "NoSuchBucket" in text:
            return PlaceError(self.root, "there is no such bucket", "aws s3 ls")
        if isinstance(error, FileNotFoundError):
            return _Missing(self.root, f"{key} is not there")
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            rights = "s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket"
            return PlaceError(
                self.root, f"{key}: access denied ({rights})", "aws sts get-caller-identity"
            )
        if "169.254.169.254" in text:
            nowhere = "no credentials: none in AWS_* variables or ~/.aws, and no role here"
            return PlaceError(self.root, nowhere, "aws configure")
        first = text.splitlines()[0][:300] if text else type(error).__name__
        return Unreachable(self.root, f"{key}: {first}")


class _Missing(PlaceError):
    """There is no such key."""


def _key(digest: str) -> str:
    return f"objects/{digest[:2]}/{digest}"
