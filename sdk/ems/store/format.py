"""What marks a folder or a prefix as a store, and of which schema.

Knows `format.json` alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import cast

from ems.errors import StoreError
from ems.store.layout import FORMAT
from ems.store.root import Root
from ems.store.segment import newer

SCHEMA = 1


def identify(root: Root, *, create: bool) -> str:
    """Return the id of the store at a root; `create`: mark a new one.

    StoreError: there is none, or it is of a newer release.
    """
    data = root.get(FORMAT)
    if data is None:
        if not create:
            raise StoreError(root.url, "there is no store here", "emsctl run, or check `store:`")
        root.put_new(FORMAT, new_format())
        data = root.get(FORMAT)
    try:
        said = cast("dict[str, object]", json.loads(data or b""))
        name, schema, id = said["format"], said["schema"], said["id"]
    except (ValueError, KeyError, TypeError):
        name, schema, id = None, 0, ""
    if name != "ems-store" or not isinstance(schema, int):
        raise StoreError(root.url, f"{FORMAT} can't be read as a store's", "emsctl check")
    if schema > SCHEMA:
        raise newer(root.url, "the store", schema)
    return str(id)


def place_of(root: Root) -> str:
    """Return a short name for where a store lies: copies have the same id, but not the same place.

    What is cached of a store is kept under both.
    """
    return hashlib.sha256(os.fsencode(root.identity)).hexdigest()[:12]


def new_format() -> bytes:
    """Return what marks a folder or a prefix as a store of this schema."""
    digits = os.urandom(16).hex()  # a uuid without importing it
    id = "-".join((digits[:8], digits[8:12], f"4{digits[13:16]}", f"8{digits[17:20]}", digits[20:]))
    values = {"format": "ems-store", "schema": SCHEMA, "id": id}
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"
