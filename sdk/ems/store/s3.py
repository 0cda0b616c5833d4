"""A root at `s3://bucket/prefix`: Amazon S3, or a server that speaks its protocol.

Needs conditional puts (`If-None-Match: *`), which S3 has since 2024, and MinIO and others, too.
Address, region and credentials come from the standard AWS_* variables, from `~/.aws` or from the
machine's role. Heavy imports happen when such a root is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ems.errors import StoreError, UsageError
from ems.hashing import PART_BYTES
from ems.store.root import Stat

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store

T = TypeVar("T")
_PARALLEL = 16
_YOUNG_S = 1200.0
"""An object is put again when it is older than this, so that gc sees that it is of use."""
_RETRY_S = {"first": 5, "later": 60}
"""For how long a server that can't be reached is asked again; little where nothing began yet."""
_GONE = "NoSuchBucket"
_ROLES = "169.254.169.254"
"""Where a machine in the cloud asks for its role: the last place to look for credentials."""


class S3Root:
    """The `Root` of a bucket and a prefix."""

    probes = False
    writable = True

    def __init__(self, url: str, store: S3Store) -> None:
        self.url = url
        self.identity = f"{endpoint()}\n{url}"
        self._store = store

    @classmethod
    def open(cls, url: str) -> S3Root:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise UsageError("store", f"{url!r} names no bucket: s3://bucket/prefix")
        from datetime import timedelta

        from obstore.store import S3Store

        def store(retry_s: int) -> S3Store:
            return S3Store(
                bucket,
                prefix=prefix.strip("/") or None,
                client_options={"allow_http": endpoint().startswith("http://"), "timeout": "60s"},
                retry_config={
                    "max_retries": 100,
                    "backoff": {"max_backoff": timedelta(seconds=2)},
                    "retry_timeout": timedelta(seconds=retry_s),
                },
                **profile(os.environ, Path.home() / ".aws"),  # pyright: ignore[reportArgumentType]
            )

        cls(url.rstrip("/"), store(_RETRY_S["first"])).stat("format.json")
        return cls(url.rstrip("/"), store(_RETRY_S["later"]))

    def close(self) -> None:
        pass

    # reading

    def get(self, key: str) -> bytes | None:
        found = self.look(key)
        return None if found is None else found[0]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return in_parallel(self.get, keys)

    def look(self, key: str) -> tuple[bytes, Stat] | None:
        import obstore

        def ask() -> tuple[bytes, Stat]:
            found = obstore.get(self._store, key)
            return bytes(found.bytes()), _stat(found.meta)

        return self._or_none(key, ask)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        import obstore

        data = self._or_none(
            key, lambda: bytes(obstore.get_range(self._store, key, start=start, length=length))
        )
        if data is None:
            raise StoreError(self.url, f"{key} is missing", "emsctl check")
        return data

    def stat(self, key: str) -> Stat | None:
        import obstore

        return self._or_none(key, lambda: _stat(obstore.head(self._store, key)))

    def sizes(self, keys: Sequence[str]) -> list[int | None]:
        """Return the size of each key, None for one that isn't there."""
        return [None if s is None else s.size for s in in_parallel(self.stat, keys)]

    def list(self, prefix: str, after: str = "") -> Iterator[Stat]:
        import obstore

        try:
            pages = obstore.list(  # pyright: ignore[reportUnknownMemberType]
                self._store, prefix, offset=after or None, chunk_size=1000
            )
            for page in pages:
                for meta in page:
                    yield _stat(meta)
        except Exception as e:
            raise self._explain(prefix, e) from None

    def fetch(self, key: str, target: Path) -> bool:
        """Copy a key into a file; False if it isn't there."""
        import obstore

        def pull() -> bool:
            with target.open("wb") as out:
                for chunk in obstore.get(self._store, key).stream(min_chunk_size=8 << 20):
                    out.write(chunk)
            return True

        return self._or_none(key, pull) is not None

    # writing

    def put_new(self, key: str, data: bytes, *, durable: bool = True) -> bool:
        import time

        import obstore
        from obstore.exceptions import AlreadyExistsError, GenericError

        # the library does not try conditional puts again: a lost answer may mean that it was made,
        # which the log finds out by itself
        until = time.monotonic() + _RETRY_S["later"]
        while True:
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            except GenericError as e:
                if time.monotonic() >= until:
                    raise self._explain(key, e) from None
                time.sleep(0.5)
            except Exception as e:
                raise self._explain(key, e) from None
            else:
                return True

    def harden(self, keys: Sequence[str]) -> None:
        pass  # S3 answers a put when it is durable

    def put(self, key: str, data: bytes) -> None:
        import obstore

        self._doing(key, lambda: obstore.put(self._store, key, data, use_multipart=False))

    def freshen(self, key: str) -> bool:
        import time

        seen = self.stat(key)
        return seen is not None and time.time() - seen.mtime < _YOUNG_S

    def delete(self, keys: Sequence[str]) -> None:
        import obstore

        if keys:
            self._doing(keys[0], lambda: obstore.delete(self._store, list(keys)))

    def prune(self, folders: Sequence[str]) -> None:
        pass  # nothing but keys here

    def put_file(self, key: str, path: Path) -> None:
        """Create or replace a key with a file's bytes, in parallel parts if it is large."""
        import obstore

        self._doing(
            key,
            lambda: obstore.put(
                self._store, key, path, chunk_size=PART_BYTES, max_concurrency=_PARALLEL
            ),
        )

    # how

    def _or_none(self, key: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except FileNotFoundError as e:
            if _GONE in str(e):
                raise self._explain(key, e) from None
            return None
        except Exception as e:
            raise self._explain(key, e) from None

    def _doing(self, key: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as e:
            raise self._explain(key, e) from None

    def _explain(self, key: str, e: Exception) -> StoreError:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        text = str(e)
        if _GONE in text:
            return StoreError(self.url, "there is no such bucket", "aws s3 ls")
        if isinstance(e, (PermissionDeniedError, UnauthenticatedError)):
            return StoreError(
                self.url,
                f"{key}: access denied (reading takes s3:GetObject and s3:ListBucket, writing"
                " s3:PutObject)",
                "aws sts get-caller-identity",
            )
        if isinstance(e, StoreError):
            return e
        if _ROLES in text:
            return StoreError(
                self.url,
                "no credentials: none in AWS_* variables or ~/.aws, and this machine has no role",
                "aws configure",
            )
        return StoreError(self.url, f"{key}: {_short(text)}", "emsctl check")


def endpoint() -> str:
    """Return the address of the S3 server, or nothing for Amazon's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def profile(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the settings that AWS_* variables leave open and `~/.aws` has.

    Static keys and the region of $AWS_PROFILE or `default`. Roles and single sign-on come as
    variables (`aws configure export-credentials --format env`) or from the machine.
    """
    found: dict[str, str] = {}
    if url := environ.get("AWS_ENDPOINT_URL_S3"):
        found["endpoint"] = url
    name = environ.get("AWS_PROFILE", "default")
    if "AWS_ACCESS_KEY_ID" not in environ:
        keys = _section(folder / "credentials", name)
        for key in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
            if key in keys:
                found[key.removeprefix("aws_")] = keys[key]
    if "AWS_REGION" not in environ and "AWS_DEFAULT_REGION" not in environ:
        section = "default" if name == "default" else f"profile {name}"
        if region := _section(folder / "config", section).get("region"):
            found["region"] = region
    return found


def _section(path: Path, name: str) -> Mapping[str, str]:
    from configparser import ConfigParser, Error

    parser = ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (Error, UnicodeDecodeError) as e:
        raise UsageError(str(path), f"can't be read: {_short(str(e))}") from None
    return dict(parser[name]) if parser.has_section(name) else {}


def _stat(meta: ObjectMeta) -> Stat:
    return Stat(meta["path"], meta["size"], meta["last_modified"].timestamp())


def _short(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:300] if lines else "no reason given"


def in_parallel(act: Callable[[str], T], keys: Sequence[str]) -> list[T]:
    """Do what waits for the network for many keys at once."""
    if len(keys) < 2:
        return [act(key) for key in keys]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_PARALLEL, len(keys))) as pool:
        return list(pool.map(act, keys))
