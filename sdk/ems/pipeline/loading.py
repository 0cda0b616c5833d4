"""Loading parcels: what a worker is given for a version, and whether what it needs is there.

Knows specs, bundles, records and objects. Does not know the loop that decides when.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ems.compute.job import Job
from ems.errors import StoreError
from ems.pipeline.graph import Inputs, Kind, Node
from ems.pipeline.keys import filled, seed_of
from ems.pipeline.recording import Work
from ems.pipeline.unread import Unread
from ems.worker.protocol import SCHEMA
from ems.worker.values import files_of

if TYPE_CHECKING:
    from ems.pipeline.board import Board
    from ems.pipeline.bundle import Bundle
    from ems.pipeline.results import Results
    from ems.pipeline.specs import Specs
    from ems.store.store import Store

_serial = itertools.count(1)
_MISSING = re.compile(r"No module named '([\w.]+)'")


class Loading:
    """Makes jobs of versions. Outputs and attempts go to folders at this place."""

    def __init__(
        self,
        store: Store,
        specs: Specs,
        bundle: Bundle,
        results: Results,
        inputs: Inputs,
        run: str,
        near: Callable[[tuple[str, ...]], bool],
    ) -> None:
        self._store, self._specs, self._bundle, self._results = store, specs, bundle, results
        self._inputs, self._run = inputs, run
        self.near = near
        """Whether a job for these targets may run on this machine."""
        self._streams = True
        self.unread = Unread(specs)

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
        places = self._places(board, calls, near=self.near(options.on))
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
            name=f"{task.name}-{_mark(calls)}",
            payload=payload,
            resources=options.resources,
            code=self._bundle.name,
            environment=spec.environment,
            timeout_s=options.timeout_s,
            spot=options.spot,
            on=options.on,
            key=_mark(calls),
            image=spec.image,
            recipe=spec.recipe,
        )

    def on(self, task: Any) -> tuple[str, ...]:
        """Return the targets that a task names; none where it leaves that to the run."""
        return self._specs.options(task).on

    def _places(self, board: Board, calls: list[dict[str, Any]], *, near: bool) -> dict[str, Any]:
        """Return where the files among the arguments lie that are not in the store.

        What the store has is brought to this machine where a worker on it may need it (`near`).
        """
        known = board.graph.places
        found: dict[str, Any] = {}
        needed = [digest for call in calls for digest, _ in files_of(list(call["args"].values()))]
        for digest in dict.fromkeys(needed):
            if digest in known:
                found[digest] = self._place(os.path.abspath(known[digest]), digest)
            elif digest in board.graph.blobs:
                self._store.objects.put_bytes(board.graph.blobs.pop(digest))
            elif near:
                self._store.objects.local_path(digest)
        return found

    def _place(self, path: str, digest: str) -> Any:
        """Return a path with what tells whether it still holds what was hashed."""
        place = self._inputs.place(path, digest)
        listing = self._inputs.listings.get(digest)
        if listing is not None:
            self._store.objects.put_bytes(listing)
        return place

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
        if not self._streams:
            return
        try:
            folder = self._store.folder(f"attempts/{version}")
            if folder is not None:
                with open(folder / name, "a", encoding="utf-8") as stream:
                    stream.write(text)
        except (OSError, StoreError):  # what streams is in the record as well, at the end
            self._streams = False


def _mark(calls: list[dict[str, Any]]) -> str:
    """Return what tells a parcel from every other: of its versions, generations and attempts."""
    text = "\n".join(f"{call['v']} {call['gen']} {call['try']}" for call in calls)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


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
