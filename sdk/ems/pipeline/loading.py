"""Loading parcels: what a worker is given for a version, and whether what it needs is there.

Knows specs, bundles, records and objects. Does not know the loop that decides when.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ems.compute.job import Job
from ems.pipeline.graph import Inputs, Kind, Node
from ems.pipeline.keys import filled, pendings_of, seed_of
from ems.pipeline.recording import Work
from ems.pipeline.unread import Unread
from ems.worker.protocol import SCHEMA
from ems.worker.values import files_of, pick

if TYPE_CHECKING:
    from ems.pipeline.board import Board
    from ems.pipeline.bundle import Bundle
    from ems.pipeline.results import Results
    from ems.pipeline.specs import Specs
    from ems.store.store import Store

_serial = itertools.count(1)
_MISSING = re.compile(r"No module named '([\w.]+)'")
_CHANGED = (-1, 0, 0)
"""Size, time and inode that no file has: the worker says that the input changed."""


class Loading:
    """Makes jobs of versions. Outputs and attempts go to folders at this place."""

    def __init__(
        self, store: Store, specs: Specs, bundle: Bundle, results: Results, inputs: Inputs, run: str
    ) -> None:
        self._store, self._specs, self._bundle, self._results = store, specs, bundle, results
        self._inputs, self._run = inputs, run
        self._checked: set[str] = set()
        self.unread = Unread(specs)

    # -- what is there --------------------------------------------------------------------------

    def lost_inputs(self, board: Board, node: Node) -> list[int]:
        """Return the upstream calls whose stored files this node needs and that are not sound."""
        if not node.needs:
            return []
        return list(dict.fromkeys(self._lost(board, list(node.trees))))

    def lost_of(self, board: Board, tree: Any) -> list[int]:
        """Return the done calls whose stored files a tree needs and that are not sound."""
        return list(dict.fromkeys(self._lost(board, tree)))

    def _lost(self, board: Board, tree: Any) -> Iterator[int]:
        from ems.pipeline.board import DONE
        from ems.pipeline.results import Unrecorded

        parts = [
            part
            for index, steps in pendings_of(tree)
            if board.states[index] in DONE
            for part in self._owners(board, index, steps)
        ]
        self._fetch(board, [index for index, _ in parts])
        wanted: dict[str, list[int]] = {}
        for index, steps in parts:
            if board.states[index] not in DONE:
                continue
            try:
                files = self._files_at(board, index, steps)
            except Unrecorded:
                yield index
                continue
            for digest, _ in files:
                if digest not in self._checked:
                    wanted.setdefault(digest, []).append(index)
        sound = self._store.objects.sound(list(wanted)) if wanted else frozenset[str]()
        self._checked |= sound
        for digest, indices in wanted.items():
            if digest not in sound:
                yield from indices

    def _files_at(self, board: Board, index: int, steps: Sequence[Any]) -> list[tuple[str, int]]:
        version = board.versions[index]
        assert version is not None
        out = self._results.out(version)
        if not (type(out) is dict and "$object" in out):
            return files_of(pick(out, [tuple(step) for step in steps]))
        digest, size = out["$object"]
        if digest not in self._store.objects.sound([digest]):
            return [(digest, size)]
        tree = pick(self._results.whole(out), [tuple(step) for step in steps])
        return [(digest, size), *files_of(tree)]

    def _owners(
        self, board: Board, index: int, steps: Sequence[Any]
    ) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield the calls that made a node's result; shapes pass on what others made."""
        index = board.target_of(index)
        node = board.graph.nodes[index]
        if node.kind is Kind.CALL:
            yield index, steps
            return
        tree = node.trees[0]
        if steps and type(tree) is list and type(steps[0][1]) is int:
            tree = pick(tree, [tuple(steps[0])])
        for upstream, rest in pendings_of(tree):
            yield from self._owners(board, upstream, rest)

    def _fetch(self, board: Board, indices: list[int]) -> None:
        versions = [board.versions[index] for index in indices]
        self._results.fetch([version for version in versions if version is not None])

    # -- what a worker gets ---------------------------------------------------------------------

    def work(self, board: Board, node: Node, version: bytes, values: Mapping[str, Any]) -> Work:
        """Return what is remembered of a version until its end comes."""
        options = self._specs.options(node.task)
        return Work(
            version=version.hex(),
            task=node.task.name,
            label=node.label,
            spec=self._specs.of(node.task).digest,
            args=recorded_args(board, node, self._specs.names(node.task)),
            resources=options.resources,
            attempts=options.retries + 1,
            values=values,
        )

    def call(
        self, board: Board, node: Node, version: bytes, gen: int, tries: int
    ) -> dict[str, Any]:
        """Return a version as it stands in a parcel: arguments resolved to trees."""
        names = self._specs.names(node.task)
        trees = [board.resolved(node, tree) if node.needs else tree for tree in node.trees]
        return {
            "v": version.hex(),
            "gen": gen,
            "try": tries,
            "task": 0,
            "args": dict(zip(names, trees, strict=True)),
            "seed": seed_of(board.lines(node)),
        }

    def job(self, board: Board, task: Any, calls: list[dict[str, Any]]) -> Job:
        """Return a parcel of versions of one task as a plain job."""
        spec, options = self._specs.of(task), self._specs.options(task)
        self._bundle.add(self._specs.all)
        objects = self._store.objects
        places = self._places(board, calls)
        payload = {
            "schema": SCHEMA,
            "parcel": f"{self._run}-{next(_serial)}",
            "code": self._bundle.code(),
            "env": spec.verify,
            "tasks": [self._specs.entry(task)],
            "places": places,
            "objects": [objects.folder],
            "outbox": objects.outbox,
            "scratch": self._store.scratch,
            "attempts": self._store.attempts_folder,
            "versions": calls,
        }
        return Job(
            name=f"ems-{calls[0]['v'][:12]}-{calls[0]['gen']}",
            payload=payload,
            resources=options.resources,
            code=self._bundle.name,
            environment=spec.environment,
            timeout_s=options.timeout_s,
            spot=options.spot,
            on=options.on,
        )

    def _places(self, board: Board, calls: list[dict[str, Any]]) -> dict[str, Any]:
        """Return where the files among the arguments lie that are not in the store."""
        known = board.graph.places
        found: dict[str, Any] = {}
        needed = [digest for call in calls for digest, _ in files_of(list(call["args"].values()))]
        for digest in needed:
            if digest in known:
                found[digest] = self._place(os.path.abspath(known[digest]), digest)
            elif digest in board.graph.blobs:
                self._store.objects.put_bytes(board.graph.blobs.pop(digest))
            else:
                self._store.objects.local_path(digest)
        return found

    def _place(self, path: str, digest: str) -> Any:
        """Return a path with what tells whether it still holds what was hashed."""
        try:
            if os.path.isdir(path):
                if self._inputs.folder(path)[0] != digest:
                    return [path, *_CHANGED]
                self._store.objects.put_bytes(self._inputs.listings[digest])
                return path
            stamp = os.stat(path)
            if self._inputs.file(path)[0] == digest:
                return [path, stamp.st_size, stamp.st_mtime_ns, stamp.st_ino]
        except OSError:
            return path
        return [path, *_CHANGED]

    # -- what a worker says ---------------------------------------------------------------------

    def explained(self, end: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an end that says more: of a module not to be found, that it is the project's."""
        error: Mapping[str, Any] = end.get("error") or {}
        missing = _MISSING.fullmatch(str(error.get("message", "")))
        if error.get("type") != "ModuleNotFoundError" or missing is None:
            return end
        name = missing[1]
        if not self._specs.owns(name):
            return end
        more = (
            f", which is the project's, but not part of the task's code as EMS read it; "
            f"declare it: @ems.task(uses=['{name}'])"
        )
        return {**end, "reason": "import", "error": {**error, "message": error["message"] + more}}

    def publish(self, end: Mapping[str, Any]) -> None:
        """Make a version's files durable in the store, where they are only at this place."""
        digests = [row[0] for row in end.get("files") or ()]
        if digests:
            self._store.objects.publish(digests)

    def reported(self, label: str, message: Mapping[str, Any]) -> None:
        """Append a metric to the attempt's stream, where others can read it as it comes."""
        known = {"step": message["step"], "t": message["t"], "metrics": message["metrics"]}
        row = {"task": label, **known}
        self._append(message["v"], "metrics.jsonl", json.dumps(row, separators=(",", ":")) + "\n")

    def wrote(self, version: str, text: str) -> None:
        """Append what a running version wrote to the attempt's stream."""
        self._append(version, "log", text)

    def _append(self, version: str, name: str, text: str) -> None:
        folder = self._store.folder(f"attempts/{version}")
        if folder is not None:
            with open(folder / name, "a", encoding="utf-8") as stream:
                stream.write(text)


def recorded_args(board: Board, node: Node, names: Sequence[str]) -> dict[str, Any]:
    """Return a call's arguments as a record keeps them.

    What is the result of another call stands as `{"$of": [version, steps]}`; a part of a list of
    results as `{"$of": [null, steps, list]}`.
    """

    def reference(index: int, steps: Any) -> Any:
        index = board.target_of(index)
        upstream = board.graph.nodes[index]
        if upstream.kind is not Kind.CALL:
            tree = filled(upstream.trees[0], reference)
            return {"$of": [None, [list(s) for s in steps], tree]} if steps else tree
        version = board.versions[index]
        return {"$of": [version.hex() if version else None, [list(s) for s in steps]]}

    return {
        name: filled(tree, reference) if node.needs else tree
        for name, tree in zip(names, node.trees, strict=True)
    }
