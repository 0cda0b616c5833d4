"""Writing a version's folder: copies of its objects under names that people know.

Knows manifests, trees and objects. What can't be written is named, never left out in silence. Names
that come from the store are not trusted: nothing is written outside the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from ems.cli.library import Library
from ems.cli.manifest import manifest
from ems.cli.readme import readme
from ems.errors import StoreError
from ems.hashing import digest_file
from ems.worker.values import pick

if TYPE_CHECKING:
    from ems.store.store import Store

_ENDINGS = {"$npy": ".npy", "$torch": ".npy", "$arrow": ".arrow", "$pickle": ".pickle"}


@dataclass(frozen=True, slots=True)
class Done:
    """What was written, and what was not: from outside the store, and lost from it."""

    count: int
    bytes: int
    outside: Sequence[str]
    lost: Sequence[str]


@dataclass(frozen=True, slots=True)
class Part:
    """A file or folder in a tree: where in the tree, its tag, digest, name and path outside."""

    position: tuple[str, ...]
    tag: str
    digest: str
    name: str
    outside: str = ""


class Exporting:
    """Writes one version into an empty folder."""

    def __init__(self, store: Store, version: str, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._library = Library(store)
        self._manifest = manifest(store, version)
        self._outside: list[str] = []
        self._lost: list[str] = []
        self._places: dict[str, str] = {}
        self._known: dict[str, list[str]] | None = None
        self._count = self._bytes = 0

    def write(self) -> Done:
        """Write everything; manifest.json comes last, so a folder that has it is whole."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found = self._manifest
        for path, digest in found["spec"].get("bundle", {}).items():
            self._object(digest, self._folder / "code" / _inside(path), f"code {path}")
        self._arguments(found["args"])
        if found["state"] == "recorded":
            self._tree("outputs", "result.json", found["out"], "result")
        self._text("log.txt", found["log"])
        self._text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in found["metrics"]))
        self._text("README.txt", readme(found, self._outside, self._lost))
        self._text("manifest.json", json.dumps(found, indent=2) + "\n")
        return Done(self._count, self._bytes, self._outside, self._lost)

    # -- data -----------------------------------------------------------------------------------

    def _arguments(self, args: Any) -> None:
        resolved = {name: self._resolved(tree) for name, tree in args.items()}
        files: dict[str, str] = {}
        for name, tree in resolved.items():
            files |= self._parts(f"inputs/{_safe(name.lstrip('*'))}", tree, name)
        self._json("inputs/arguments.json", {"values": resolved, "files": files})

    def _tree(self, folder: str, name: str, tree: Any, what: str) -> None:
        files = self._parts(folder, tree, what)
        self._json(f"{folder}/{name}", {"value": tree, "files": files})

    def _parts(self, folder: str, tree: Any, what: str) -> dict[str, str]:
        """Write a tree's files under their own names; return path → digest."""
        parts = list(_parts_of(tree, ()))
        names = [part.name for part in parts]
        files: dict[str, str] = {}
        for part in parts:
            inner = (part.name,) if names.count(part.name) == 1 else (*part.position, part.name)
            path = "/".join((folder, *(_safe(each) for each in inner)))
            target = self._folder / path
            said = what + "".join(f"[{each}]" for each in part.position)
            if part.outside:
                self._places[part.digest] = part.outside
            done = (
                self._listing(part, target, said)
                if part.tag == "$dir"
                else self._object(part.digest, target, f"{said} {part.name}", outside=True)
            )
            if done:
                files[path] = part.digest
        return files

    def _resolved(self, tree: Any) -> Any:
        """Return an argument with the results of other tasks in place."""
        if isinstance(tree, list):
            return [self._resolved(item) for item in cast("list[Any]", tree)]
        if not isinstance(tree, dict):
            return tree
        rows = cast("dict[str, Any]", tree)
        if "$of" not in rows:
            return {key: self._resolved(item) for key, item in rows.items()}
        version, steps, *rest = rows["$of"]
        try:
            whole = self._upstream(version) if version else self._resolved(rest[0])
            return pick(whole, [(step[0], step[1]) for step in steps])
        except (LookupError, StoreError) as error:
            self._lost.append(f"input from version {str(version)[:12]}: {error}")
            return rows

    def _upstream(self, version: str) -> Any:
        record = self._store.record(version)
        if record is None:
            raise LookupError("it is not recorded any more")
        return self._library.whole(record.out)

    # -- files ----------------------------------------------------------------------------------

    def _listing(self, part: Part, target: Path, what: str) -> bool:
        try:
            rows = json.loads(self._store.objects.read(part.digest))
        except (StoreError, ValueError):
            text = f"{what} {part.name}/: lies outside the store, which keeps no list of its files"
            self._outside.append(text)
            return False
        target.mkdir(parents=True, exist_ok=True)
        for path, mode, digest, _ in rows:
            place = target / _inside(path)
            if part.outside:
                self._places[digest] = os.path.join(part.outside, path)
            if self._object(digest, place, f"{what} {part.name}/{path}", outside=True) and mode:
                place.chmod(0o755)
        return True

    def _object(self, digest: str, target: Path, what: str, *, outside: bool = False) -> bool:
        """Copy an object; name it where it is gone or damaged."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source: Path | None = self._store.objects.local_path(digest)
        except StoreError:
            source = self._from_outside(digest, what) if outside else None
            if source is None:
                if not outside:
                    self._lost.append(f"{what}: object {digest[:12]} is gone from the store")
                return False
        shutil.copyfile(source, target)
        if digest_file(target) != digest:
            target.unlink()
            self._lost.append(f"{what}: object {digest[:12]} is damaged. Try: emsctl check --all")
            return False
        self._note(target)
        return True

    def _from_outside(self, digest: str, what: str) -> Path | None:
        """Return a file of this machine that has the content, by what was hashed here before."""
        if digest in {row[0] for row in self._manifest["files"]}:
            self._lost.append(f"{what}: object {digest[:12]} is gone from the store")
            return None
        if self._known is None:
            self._known = {}
            for row in self._store.index.dump("seen"):
                self._known.setdefault(str(row[-1]), []).append(str(row[0]))
        recorded = self._places.get(digest)
        paths = [*([recorded] if recorded else ()), *self._known.get(digest, ())]
        for path in paths:
            if os.path.isfile(path) and digest_file(path) == digest:
                return Path(path)
        where = paths[0] if paths else ""
        fate = "has changed since" if where and os.path.exists(where) else "is gone"
        place = f"{where}, which {fate}" if where else "a place that is not known here"
        self._outside.append(f"{what} ({digest[:12]}): lay outside the store, at {place}")
        return None

    def _json(self, path: str, document: Any) -> None:
        self._text(path, json.dumps(document, indent=2) + "\n")

    def _text(self, path: str, text: str) -> None:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", errors="replace")
        self._note(target)

    def _note(self, target: Path) -> None:
        self._count += 1
        self._bytes += target.stat().st_size


def _parts_of(tree: Any, position: tuple[str, ...]) -> Iterator[Part]:
    if isinstance(tree, list):
        for at, item in enumerate(cast("list[Any]", tree)):
            yield from _parts_of(item, (*position, str(at)))
    elif isinstance(tree, dict):
        for key, item in cast("dict[str, Any]", tree).items():
            if key in ("$file", "$dir"):
                yield Part(position, key, item[0], item[2], item[3] if len(item) > 3 else "")
            elif key in _ENDINGS:
                name = "-".join(position) or "value"
                yield Part(position, key, item[0], name + _ENDINGS[key])
            elif key == "$dict":
                yield from _parts_of([row[1] for row in item], position)
            elif key in ("$data", "$named"):
                yield from _parts_of(item[1], position)
            else:
                yield from _parts_of(item, position if key[:1] == "$" else (*position, key))


def _safe(name: str) -> str:
    """Return a name that is one part of a path, whatever it was."""
    text = name.replace("/", "_").replace("\0", "_")
    return f"_{text}" if text in ("", ".", "..") else text


def _inside(path: str) -> PurePosixPath:
    """Return a relative path of the store that leads nowhere else."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..", ".")]
    return PurePosixPath(*parts)
