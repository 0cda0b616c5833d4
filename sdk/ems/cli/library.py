"""Reading what a store keeps of versions: records, attempts, spec documents, long trees and logs.

Knows which parts of an entry may lie in objects. Loads no values: trees stay trees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ems.errors import StoreError
from ems.pipeline.why import Made
from ems.store.answers import as_hex
from ems.worker.values import brief, canon_tree, pick

if TYPE_CHECKING:
    from ems.store.entries import Failed, Record
    from ems.store.store import Store


class Library:
    """Reads, once each, records, spec documents and long trees of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._documents: dict[str, dict[str, Any]] = {}
        self._entries: dict[str, Record | Failed | None] = {}

    def fetch(self, versions: Sequence[str]) -> None:
        """Read many records at once."""
        missing = [version for version in versions if version not in self._entries]
        for key, record in self._store.records(missing).items():
            self._entries[as_hex(key)] = record

    def entry(self, version: str) -> Record | Failed | None:
        """Return a version's record, or its last attempt where there is none."""
        if version not in self._entries:
            attempts = self._store.attempts(version)
            record = self._store.record(version)
            self._entries[version] = record or (attempts[-1] if attempts else None)
        return self._entries[version]

    def made(self, version: str) -> Made | None:
        """Return what a version was made of; None where nothing is kept of it."""
        entry = self.entry(version)
        if entry is None:
            return None
        spec = self.document(entry.spec)
        sources = self.document(str(spec.get("sources", "")))
        return Made(version, entry.task, spec, sources, self.whole(entry.args))

    def document(self, digest: str) -> dict[str, Any]:
        """Return a JSON object of the store; empty where it is gone."""
        found = self._documents.get(digest)
        if found is None:
            found = self._documents[digest] = self._document(digest)
        return found

    def _document(self, digest: str) -> dict[str, Any]:
        try:
            found: object = json.loads(self._store.objects.read(digest)) if digest else None
        except (StoreError, OSError, ValueError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def whole(self, tree: Any) -> Any:
        """Return a recorded tree, from its object where it is too long to travel in the log."""
        row = _object_of(tree)
        return tree if row is None else json.loads(self._store.objects.read(row[0]))

    def content(self, version: str, steps: Sequence[Sequence[Any]]) -> str:
        """Return the content of (a part of) a result; "" where it is not known."""
        entry = self.entry(version)
        content = getattr(entry, "content", "")
        if not steps or not content:
            return content
        try:
            tree = pick(self.whole(getattr(entry, "out")), [(s[0], s[1]) for s in steps])  # noqa: B009
        except (LookupError, StoreError, OSError):
            return ""
        return brief(canon_tree(tree))

    def shown(self, tree: Any) -> Any:
        """Return a recorded tree as `whole` does, or the reference where its object is gone."""
        try:
            return self.whole(tree)
        except (StoreError, OSError, ValueError):
            return tree

    def rows(self, metrics: Any) -> list[dict[str, Any]]:
        """Return recorded metrics; none where they are gone."""
        found: object = self.shown(metrics)
        return cast("list[dict[str, Any]]", found) if isinstance(found, list) else []

    def text(self, log: Any) -> str:
        """Return a recorded log, from its object where it is long."""
        row = _object_of(log)
        if row is None:
            return str(log or "")
        try:
            return self._store.objects.read(row[0]).decode("utf-8", "replace")
        except (StoreError, OSError):
            return f"[{row[1]} bytes of output are gone from the store: object {row[0]}]\n"


def _object_of(tree: Any) -> Sequence[Any] | None:
    """Return digest and size where a recorded tree is the reference to an object."""
    rows = mapping(tree)
    return rows["$object"] if len(rows) == 1 and "$object" in rows else None


def mapping(found: Any) -> Mapping[str, Any]:
    """Return what was found if it is a JSON object, else an empty one."""
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
