"""Objects between the store, this machine and a place: what jobs need there, what they made there.

What a job reads is moved once, and only if it is not to be had there already; what it made counts
as had once it is here, or in a store beside the place. Knows objects by digest. Does not know jobs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from ems.compute.remote.beside import Beside
from ems.compute.remote.order import PlaceError, Unreachable
from ems.compute.remote.shipping import needs
from ems.compute.remote.site import Folders, Site
from ems.errors import StoreError
from ems.worker.places import object_path

_HELD_S = 600.0
"""What the store held a moment ago is not asked for again."""


class Objects(Protocol):
    """What a place needs of the store: files by digest, and where new ones go."""

    outbox: str

    def local_path(self, digest: str) -> Path:
        """Return a file that holds the object; raises StoreError."""
        ...


class Moving:
    """Moves objects for the jobs of one place; `woken` is called when one has come."""

    def __init__(
        self,
        site: Site,
        objects: Objects,
        beside: Beside | None,
        pool: ThreadPoolExecutor,
        woken: Callable[[], None],
    ) -> None:
        self._site, self._objects, self._beside = site, objects, beside
        self._pool, self._woken = pool, woken
        self._fetching: dict[str, Future[None]] = {}
        self._held: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether something is on its way here."""
        return bool(self._fetching)

    def folders(self) -> Folders:
        """Return what parcels name at the place."""
        root = self._site.root
        return self._beside.folders(root) if self._beside is not None else Folders.below(root)

    # -- to the place -----------------------------------------------------------------------------

    def needs(self, parcel: Mapping[str, Any]) -> dict[str, Path | None]:
        """Return what a parcel needs there, with its file here; None for what the store has.

        Raises StoreError or OSError where a folder's listing can't be had.
        """
        within = self._beside is None or not self._beside.in_place
        return needs(parcel, self._objects.local_path, within=within)

    def bring(self, needed: Mapping[str, Path | None]) -> dict[str, str]:
        """Have objects at the place; return what is wrong with those that can't be had."""
        ours = [digest for digest, path in needed.items() if path is not None]
        kept = [digest for digest, path in needed.items() if path is None]
        if self._beside is not None:
            kept = sorted(self._beside.lacking(kept)) if kept else []
        problems: dict[str, str] = {}
        files: dict[str, Path] = {}
        for digest in self._site.missing([*ours, *kept]):
            try:
                files[digest] = needed[digest] or self._objects.local_path(digest)
            except (StoreError, OSError) as error:
                problems[digest] = str(error)
        if files:
            self._site.put(files)
        return problems

    # -- from the place ---------------------------------------------------------------------------

    def arrived(self, objects: Mapping[str, int]) -> str | None:
        """Return nothing once all are had, what is wrong with one, or None: not yet."""
        states = [self._arrived(digest, size) for digest, size in objects.items()]
        return None if None in states else next(filter(None, states), "")

    def _arrived(self, digest: str, size: int) -> str | None:
        target = Path(object_path(self._objects.outbox, digest))
        fetching = self._fetching.get(digest)
        if fetching is None:
            if time.monotonic() - self._held.get(digest, -_HELD_S) < _HELD_S or target.exists():
                return ""
            fetching = self._fetching[digest] = self._pool.submit(self._take, digest, size, target)
            fetching.add_done_callback(lambda _: self._woken())
        if not fetching.done():
            return None
        del self._fetching[digest]
        error = fetching.exception()
        if error is None:
            return ""
        if isinstance(error, PlaceError):
            return f"object {digest[:16]} did not come: {error}"
        if isinstance(error, Unreachable):
            return None  # asked for again in the next round
        raise error

    def _take(self, digest: str, size: int, target: Path) -> None:
        if self._beside is not None and self._beside.holds(digest, size):
            self._held[digest] = time.monotonic()
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            self._site.fetch(digest, size, target)
