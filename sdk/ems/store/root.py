"""Where a store lies: a handful of operations on keys, the same for a folder and for S3.

Knows bytes by key and the time of the place itself. Does not know what the keys mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ems.errors import UsageError


class Stat(NamedTuple):
    """What a key holds; `mtime` by the clock of the place it lies at."""

    key: str
    size: int
    mtime: float


class Root(Protocol):
    """Every method raises StoreError where the place can't be read or written."""

    url: str
    identity: str
    """What tells this place from every other one, a copy of it included."""
    probes: bool
    """A look for a key that isn't there costs microseconds: ask for the next instead of listing."""
    writable: bool

    def put_new(self, key: str, data: bytes, *, durable: bool = True) -> bool:
        """Create a key with all its bytes at once; False if it was there before."""
        ...

    def harden(self, keys: Sequence[str]) -> None:
        """Return when keys of one folder, put as not durable, would survive a power cut."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Create or replace a key at once."""
        ...

    def get(self, key: str) -> bytes | None: ...

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return bytes of a key that must be there; fewer where it ends."""
        ...

    def look(self, key: str) -> tuple[bytes, Stat] | None:
        """Return a key's bytes and stat, of one moment."""
        ...

    def stat(self, key: str) -> Stat | None: ...

    def list(self, prefix: str, after: str = "") -> Iterator[Stat]:
        """Yield what lies under `prefix` (ends with a slash), sorted, from behind key `after`."""
        ...

    def freshen(self, key: str) -> bool:
        """Make a key young again, if that is cheap here; False: put it again."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete keys; those that aren't there are no error."""
        ...

    def prune(self, folders: Sequence[str]) -> None:
        """Delete folders with all that is in them, where there are such things."""
        ...

    def close(self) -> None: ...


def open_root(url: str, *, create: bool) -> Root:
    """Return the root at a folder or an `s3://bucket/prefix`."""
    if url.startswith("s3://"):
        from ems.store.s3 import S3Root

        return S3Root.open(url)
    scheme, colon, _ = url.partition("://")
    if colon and scheme != "file":
        raise UsageError("store", f"{url!r} is neither a folder nor s3://bucket/prefix")
    from ems.store.folder import FolderRoot

    return FolderRoot.open(Path(url.removeprefix("file://")), create=create)
