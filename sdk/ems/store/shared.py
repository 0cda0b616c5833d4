"""The stores that one process has open, shared by all that ask for the same place.

Knows when an open store still stands. Does not know who asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from weakref import finalize

from ems.errors import StoreError
from ems.settings import cache_folder
from ems.store.store import Store

_MOST_OPEN = 4


class OpenStores:
    """The stores that sessions of this process share, one a place.

    A run's results are read from its store for as long as somebody holds the run, so no session can
    say when it is closed: that is when nobody holds it any more, or the process ends. The ones that
    were used last are held here.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._lock = Lock()
        self._stores: dict[tuple[int, str, Path], Store] = {}

    def get(self, url: str) -> Store:
        """Return the store at a place: the open one with what is new in it, or one just opened."""
        key = (os.getpid(), url, cache_folder())  # a forked child can't share its parent's
        with self._lock:
            store = self._stores.pop(key, None)
            if store is None or not _stands(store):
                store = Store.open(url, warn=self._warn)
                finalize(store, store.root.close)
            self._stores[key] = store
            if len(self._stores) > _MOST_OPEN:
                del self._stores[next(iter(self._stores))]
            return store


def _stands(store: Store) -> bool:
    """Whether an open store is still the one at its place, as writable as it was.

    If so, what is new in it is read.
    """
    from ems.store.format import identify
    from ems.store.root import open_root

    try:
        root = open_root(store.url, create=False)
        try:
            same = identify(root, create=False) == store.id and root.writable == store.writable
        finally:
            root.close()
        if same:
            store.refresh()
        return same
    except StoreError:
        return False
