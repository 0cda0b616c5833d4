"""A store in S3 beside a place in S3: what lies in one is had in the other, without this machine.

`InPlace`: jobs of the place read and write the store's objects themselves. `Copied`: they may not
(another bucket, often another region), so S3 itself copies from one to the other. An object counts
once S3 vouches for its content by the checksum that it made, and is young again for the store's gc.
Knows objects by digest. Does not know jobs.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from ems.compute.remote.order import PlaceError, Unreachable
from ems.compute.remote.site import Folders
from ems.errors import StoreError
from ems.store.s3 import profile
from ems.worker.answers import Away, Found, S3Error
from ems.worker.credentials import NoCredentials
from ems.worker.fetching import key_of
from ems.worker.s3 import S3

T = TypeVar("T")
_AT_ONCE = 16
_PATIENCE_S = 8.0
"""For how long a server that can't be reached is asked again; whoever asks comes back anyway."""
_SURE_S = 600.0
"""An object that was there is taken to be there for so long."""
_YOUNG_S = 1200.0
"""An older object is renewed before it is relied on, so that gc sees that it is of use."""


class Stored(Protocol):
    """The store's objects, as this machine has them."""

    url: str
    """Where the store is: `s3://bucket/prefix`."""

    def sync(self) -> None:
        """Return when all that was put here is there."""
        ...

    def local_path(self, digest: str) -> Path:
        """Return a file that holds the object, fetched and checked; raises StoreError."""
        ...


class Beside(Protocol):
    """What a store and a place have in common. Methods raise Unreachable or PlaceError."""

    in_place: bool
    """Jobs there see the whole store."""

    def folders(self, root: str) -> Folders:
        """Return what a parcel names."""
        ...

    def lacking(self, digests: Sequence[str]) -> set[str]:
        """See to it that jobs find these objects of the store; return those that they won't."""
        ...

    def holds(self, digest: str, size: int) -> bool:
        """See to it that the store has what a job there made; False: it is not to be had so."""
        ...


class InPlace:
    """A store whose objects jobs of the place use where they lie."""

    in_place = True

    def __init__(self, store: Stored, root: str) -> None:
        self._store = store
        self._objects, self._own = S3Objects(store.url), S3Objects(root)

    def folders(self, root: str) -> Folders:
        """Return the store's, and the place's own for what is not in the store."""
        own, url = Folders.below(root), self._store.url
        return Folders((f"{url}/objects", *own.objects), f"{url}/objects", f"{url}/attempts")

    def lacking(self, digests: Sequence[str]) -> set[str]:
        """Return those that the store does not have, once it has all that was put here."""
        self._store.sync()
        return self._objects.missing(digests)

    def holds(self, digest: str, size: int) -> bool:
        """Whether the store has it, or gets it from the place's own objects.

        Where S3 does not vouch for what the store has, it is read here once.
        """
        found = self._objects.found(digest)
        if found is None:
            return self._objects.take(digest, self._own, vouched=True)
        if not found.is_content(digest, size):
            try:
                self._store.local_path(digest)
            except StoreError as error:
                raise PlaceError(error.subject, error.problem, error.next_step) from None
        self._objects.renew(digest, found)
        return True


class Copied:
    """A store in another bucket; `warn` hears, once, where S3 does not copy."""

    in_place = False

    def __init__(self, store: Stored, root: str, warn: Callable[[str], None]) -> None:
        self._store, self._warn = store, warn
        self._objects, self._there = S3Objects(store.url), S3Objects(root)
        self._told = False

    def folders(self, root: str) -> Folders:
        """Return the place's own."""
        return Folders.below(root)

    def lacking(self, digests: Sequence[str]) -> set[str]:
        """Copy those that the place lacks; return those that could not be."""
        self._store.sync()
        wanted = self._there.missing(digests)
        copied = self._there.each(lambda digest: self._copied(digest, self._objects), wanted)
        return {digest for digest, done in copied if not done}

    def holds(self, digest: str, size: int) -> bool:
        """Copy it into the store, unless something is there that S3 does not vouch for.

        That may well be right (no checksum came with it when the store was moved), and records need
        it: it is left alone, and whoever asks fetches the place's own and reads it.
        """
        found = self._objects.found(digest)
        if found is None:
            return self._copied(digest, self._there, back=True)
        if not found.is_content(digest, size):
            return False
        self._objects.renew(digest, found)
        return True

    def _copied(self, digest: str, source: S3Objects, *, back: bool = False) -> bool:
        target = self._objects if back else self._there
        try:
            return target.take(digest, source, vouched=back)
        except PlaceError as error:
            if not self._told:
                self._told = True
                self._warn(f"{error.subject}: {error.problem}; objects go by way of this machine")
            return False


def beside(
    store: Stored | None, root: str, writable: Sequence[str], warn: Callable[[str], None]
) -> Beside | None:
    """Return what a place at `root` in S3 has in common with the store; None where it has nothing.

    `writable` are the folders in S3 that its jobs may write, as `s3://bucket/prefix`.
    """
    if store is None:
        return None
    if any(f"{store.url}/".startswith(f"{each.rstrip('/')}/") for each in (*writable, root)):
        return InPlace(store, root)
    return Copied(store, root, warn)


class S3Objects:
    """Objects below one root in S3, asked for and moved by requests alone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: S3 | None = None
        self._sure: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def client(self) -> S3:
        """The client, which finds address and keys where the store's does."""
        with self._lock:
            if self._opened is None:
                environ = dict(os.environ)
                for name, value in profile(os.environ, Path.home() / ".aws").items():
                    environ["AWS_REGION" if name == "region" else _variable(name)] = value
                self._opened = S3(self.url, _PATIENCE_S, environ=environ)
            return self._opened

    def found(self, digest: str) -> Found | None:
        """Return what S3 tells of an object; None if there is none."""
        return self._asking(lambda: self.client.stat(key_of(digest)))

    def missing(self, digests: Iterable[str]) -> set[str]:
        """Return those that are not there, asking for none that was there a moment ago."""
        now = time.monotonic()
        asked = {each for each in digests if self._sure.get(each, -_SURE_S) <= now - _SURE_S}
        lacking: set[str] = set()
        for digest, found in self.each(self.found, asked):
            if found is None:
                lacking.add(digest)
            else:
                self._sure[digest] = now
        return lacking

    def renew(self, digest: str, found: Found | None = None) -> None:
        """Make an object young again, if it is not."""
        known = found or self.found(digest)
        if known is not None and known.age_s > _YOUNG_S:
            self._asking(lambda: self.client.copy(key_of(digest), self.client, known.size))

    def take(self, digest: str, source: S3Objects, *, vouched: bool = False) -> bool:
        """Copy an object that is not here from another root; False if it is not there either.

        PlaceError: it is damaged; with `vouched`, S3 has to vouch for it before it is copied.
        """
        given = source.found(digest)
        if given is None:
            return False
        if vouched and not given.is_content(digest, given.size):
            raise PlaceError(f"{source.url}/{key_of(digest)}", "is not vouched for by S3")
        self._asking(lambda: self.client.copy(key_of(digest), source.client, given.size))
        made = self.found(digest)
        if made is None or not made.is_content(digest, given.size):
            self._asking(lambda: self.client.delete(key_of(digest)))
            raise PlaceError(f"{source.url}/{key_of(digest)}", "is not what its digest says")
        self._sure[digest] = time.monotonic()
        return True

    def each(self, act: Callable[[str], T], digests: Iterable[str]) -> list[tuple[str, T]]:
        """Do something for many objects at once; return what came of it, by digest."""
        listed = sorted(digests)
        if len(listed) < 2:
            return [(digest, act(digest)) for digest in listed]
        with ThreadPoolExecutor(min(_AT_ONCE, len(listed))) as pool:
            return list(zip(listed, pool.map(act, listed), strict=True))

    def _asking(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (Away, NoCredentials) as error:  # keys may come back, too: a login that ran out
            raise Unreachable(self.url, str(error)) from None
        except S3Error as error:
            raise PlaceError(self.url, str(error), "aws sts get-caller-identity") from None


def _variable(name: str) -> str:
    """Return the variable for a setting of obstore's: `aws_access_key_id`, `access_key_id`."""
    if name == "endpoint":
        return "AWS_ENDPOINT_URL_S3"
    return f"AWS_{name.removeprefix('aws_').upper()}"
