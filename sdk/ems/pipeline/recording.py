"""Turning what a worker says of a version into entries of the store's log.

Knows end messages and entries. Does not know how they are written, nor who waits for them.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ems.hashing import digest_bytes
from ems.pipeline.observer import Failure
from ems.store.entries import Failed, Record

if TYPE_CHECKING:
    from ems.compute.job import Resources
    from ems.store.objects import Objects

INLINE_OUT_CHARACTERS = 4096
INLINE_TEXT_CHARACTERS = 2048
TAIL_LINES = 20

Message = Mapping[str, Any]


class Author(NamedTuple):
    """Who writes a run's entries, and where its work happens."""

    runner: str
    run: str
    who: str
    place: str


class Work(NamedTuple):
    """What was handed to a worker: one version of one task."""

    version: str
    task: str
    label: str
    spec: str
    args: Mapping[str, Any]
    resources: Resources
    attempts: int
    values: Mapping[str, Any]
    """The arguments as the worker got them, for whoever is told of a failure."""


class Recorder:
    """Makes entries; what is too long to travel in the log goes to objects first."""

    def __init__(self, author: Author, objects: Objects) -> None:
        self._author = author
        self._objects = objects

    def record(self, work: Work, end: Message, log: str, place: str = "") -> Record:
        """Return the entry of a version that ended well; `place` where that is not this machine."""
        files: list[Any] = list(end.get("files") or ())
        out = self._short(end["out"], INLINE_OUT_CHARACTERS, files)
        asked = work.resources
        return Record(
            v=work.version,
            gen=end["gen"],
            runner=self._author.runner,
            run=self._author.run,
            task=work.task,
            spec=work.spec,
            args=self._args(work, files),
            out=out,
            content=end["content"],
            t0=end["t0"],
            t1=end["t1"],
            files=files,
            cpu_s=end["cpu_s"],
            rss_mib=end["rss_mib"],
            place=place or self._author.place,
            who=self._author.who,
            log=self._text(log, files),
            metrics=self._short(end.get("metrics") or [], INLINE_TEXT_CHARACTERS, files),
            asked={"cpus": asked.cpus, "memory_gib": asked.memory_gib, "gpus": asked.gpus},
        )

    def failed(self, work: Work, end: Message, log: str, place: str = "") -> Failed:
        """Return the entry of an attempt that failed; `place` where that is not this machine."""
        files: list[Any] = []
        return Failed(
            v=work.version,
            gen=end["gen"],
            attempt=end["try"],
            runner=self._author.runner,
            run=self._author.run,
            task=work.task,
            spec=work.spec,
            args=self._args(work, files),
            reason=end["reason"],
            t0=end["t0"],
            t1=end["t1"],
            exit=end.get("exit"),
            signal=end.get("signal"),
            error=end.get("error"),
            cpu_s=end.get("cpu_s", 0.0),
            rss_mib=end.get("rss_mib", 0.0),
            log=self._text(log, files),
            metrics=self._short(end.get("metrics") or [], INLINE_TEXT_CHARACTERS, files),
            place=place or self._author.place,
            who=self._author.who,
        )

    def _args(self, work: Work, files: list[Any]) -> Mapping[str, Any]:
        return self._short(dict(work.args), INLINE_OUT_CHARACTERS, files)

    def _short(self, tree: Any, limit: int, files: list[Any]) -> Any:
        if type(tree) is int or type(tree) is float or tree is None or tree == []:
            return tree
        text = json.dumps(tree, separators=(",", ":"))
        if len(text) <= limit:
            return tree
        return self._object(text.encode("ascii"), files)

    def _text(self, text: str, files: list[Any]) -> Any:
        if len(text) <= INLINE_TEXT_CHARACTERS:
            return text
        return self._object(text.encode("utf-8", "surrogateescape"), files)

    def _object(self, data: bytes, files: list[Any]) -> dict[str, Any]:
        self._objects.put_bytes(data)
        row = [digest_bytes(data), len(data)]
        files.append(row)
        return {"$object": row}


def failure_of(work: Work, end: Message, log: str, labels: Mapping[str, str]) -> Failure:
    """Return what a person is told of a failed attempt; `labels` name upstream versions."""
    error: Mapping[str, Any] = end.get("error") or {}
    return Failure(
        label=work.label,
        task=work.task,
        version=work.version,
        args={name: _labelled(tree, labels) for name, tree in work.args.items()},
        values=work.values,
        reason=end["reason"],
        attempt=end["try"],
        attempts=work.attempts,
        message=str(error.get("message", "")),
        kind=str(error.get("type", "")),
        traceback=_lines(error.get("traceback")),
        exit_code=end.get("exit"),
        signal=end.get("signal"),
        log_tail=log.splitlines()[-TAIL_LINES:],
        seconds=max(0.0, end["t1"] - end["t0"]),
    )


def _labelled(tree: Any, labels: Mapping[str, str]) -> Any:
    """Return a recorded argument with the labels of upstream calls in place of their versions."""
    if type(tree) is list:
        return [_labelled(item, labels) for item in tree]
    if type(tree) is not dict:
        return tree
    if "$of" in tree and tree["$of"][0] in labels:
        return {"$of": [labels[tree["$of"][0]], *tree["$of"][1:]]}
    return {key: _labelled(item, labels) for key, item in tree.items()}


def _lines(found: Any) -> Sequence[str]:
    if isinstance(found, str):
        return found.splitlines()
    return [str(line) for line in found] if isinstance(found, list) else ()
