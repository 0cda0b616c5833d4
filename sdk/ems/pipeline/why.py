"""Why a task ran: what a version was made of, compared with what an earlier one was made of.

The answer comes from the parts that decided it, kept with each version: code, environment, command,
arguments. Knows spec documents and trees of arguments. Does not know where they are kept, nor how
answers are shown.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from ems.worker.values import canon_tree, pick

_DEEPEST = 20
_REST = {"kind": "kind", "template": "command", "outputs": "outputs", "params": "parameters"}


class _Absent:
    """Stands for a part that one of two versions does not have."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Made:
    """What a version was made of: the document of its spec, its sources, and trees of arguments."""

    version: str
    task: str
    spec: Mapping[str, Any]
    sources: Mapping[str, str]
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One part in which two versions differ; `before` or `after` is ABSENT where it was not there.

    `part` is code, environment, command, outputs, parameters, kind, argument or cache. Code has a
    unified `diff`; an argument that is (or, now ABSENT, was) another task's result has that task's
    name as `upstream` and, as `causes`, why the result is another one.
    """

    part: str
    name: str
    before: Any
    after: Any
    diff: tuple[str, ...] = ()
    upstream: str = ""
    causes: tuple[Change, ...] = ()


class Library(Protocol):
    """Where the comparison reads what is kept of versions."""

    def made(self, version: str) -> Made | None:
        """Return what a version was made of; None where nothing is kept of it."""
        ...

    def content(self, version: str, steps: Sequence[Sequence[Any]]) -> str:
        """Return the content of (a part of) a result; "" where it is not known."""
        ...


# -- comparing ------------------------------------------------------------------------------------


class Comparison:
    """Compares versions; what two specs differ in is worked out once."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._specs: dict[tuple[str, str], tuple[Change, ...]] = {}
        self._pairs: dict[tuple[str, str], tuple[Change, ...]] = {}

    def changes(self, old: Made, new: Made, depth: int = 0) -> tuple[Change, ...]:
        """Return every part in which two versions differ."""
        pair = (old.version, new.version)
        found = self._pairs.get(pair)
        if found is None:
            self._pairs[pair] = ()
            specs = self._spec_changes(old, new)
            found = specs + tuple(self._argument_changes(old, new, depth))
            if not found and old.spec.get("key") != new.spec.get("key") and old.spec and new.spec:
                found = (Change("cache", "", ABSENT, ABSENT),)
            self._pairs[pair] = found
        return found

    def _spec_changes(self, old: Made, new: Made) -> tuple[Change, ...]:
        pair = (str(old.spec.get("key")), str(new.spec.get("key")))
        if pair[0] == pair[1]:
            return ()
        found = self._specs.get(pair)
        if found is None:
            found = self._specs[pair] = tuple(spec_changes(old, new))
        return found

    def _argument_changes(self, old: Made, new: Made, depth: int) -> Iterator[Change]:
        for name in dict.fromkeys((*old.args, *new.args)):
            before, after = old.args.get(name, ABSENT), new.args.get(name, ABSENT)
            yield from self._tree_changes(name, _settled(before), _settled(after), depth)

    def _tree_changes(self, name: str, old: Any, new: Any, depth: int) -> Iterator[Change]:
        if old is ABSENT or new is ABSENT:
            yield self._leaf(name, old, new, depth)
            return
        if old == new and "$of" not in repr(old):
            return
        if self._resolved(old) == self._resolved(new):
            return
        parts = _parts(old, new)
        if parts is None:
            yield self._leaf(name, old, new, depth)
            return
        for key, before, after in parts:
            yield from self._tree_changes(f"{name}{key}", before, after, depth)

    def _leaf(self, name: str, old: Any, new: Any, depth: int) -> Change:
        mine, theirs = _reference(new), _reference(old)
        after = self._library.made(mine[0]) if mine is not None else None
        before = self._library.made(theirs[0]) if theirs is not None else None
        causes: tuple[Change, ...] = ()
        if before is not None and after is not None and depth < _DEEPEST:
            causes = self.changes(before, after, depth + 1)
        made = before if new is ABSENT else after
        return Change("argument", name, old, new, (), made.task if made else "", causes)

    def _resolved(self, tree: Any) -> Any:
        """Return a tree's canonical text with the contents of upstream results in it."""
        return canon_tree(self._contents(tree))

    def _contents(self, tree: Any) -> Any:
        if type(tree) is list:
            return [self._contents(item) for item in cast("list[Any]", tree)]
        if type(tree) is not dict:
            return tree
        rows = cast("dict[str, Any]", tree)
        reference = _reference(rows)
        if reference is not None:
            version, steps = reference
            found = self._library.content(version, steps)
            return {"$content": found or json.dumps([version, steps])}
        if "$of" in rows:
            return {"$content": canon_tree(self._contents(rows["$of"][2]))}
        return {key: self._contents(item) for key, item in rows.items()}


def spec_changes(old: Made, new: Made) -> Iterator[Change]:
    """Yield what differs in code, environment and shape."""
    for part, before, after in _differing(old.spec.get("code"), new.spec.get("code")):
        texts = old.sources.get(part, ""), new.sources.get(part, "")
        yield Change("code", part, before, after, tuple(_diff(*texts)))
    for name, before, after in _differing(old.spec.get("env"), new.spec.get("env")):
        yield Change("environment", name, before, after)
    for key, shown in _REST.items():
        before, after = old.spec.get(key), new.spec.get(key)
        if before != after:
            diff = _diff(str(before or ""), str(after or "")) if key == "template" else ()
            yield Change(shown, "", before, after, tuple(diff))


def _differing(old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    before: Mapping[str, Any] = old or {}
    after: Mapping[str, Any] = new or {}
    for name in sorted({*before, *after}):
        if before.get(name, ABSENT) != after.get(name, ABSENT):
            yield name, before.get(name, ABSENT), after.get(name, ABSENT)


def _diff(old: str, new: str) -> Iterator[str]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "before", "now", lineterm="")
    return iter([*lines][2:])


def _reference(tree: Any) -> tuple[str, Sequence[Sequence[Any]]] | None:
    """Return version and steps of an argument that is (a part of) another task's result."""
    if type(tree) is dict:
        rows = cast("dict[str, Any]", tree)
        if "$of" in rows and rows["$of"][0]:
            return str(rows["$of"][0]), rows["$of"][1]
    return None


def _settled(tree: Any) -> Any:
    """Return a tree in which a part of a gathered value is that part."""
    if tree is ABSENT or "$of" not in repr(tree):
        return tree
    if type(tree) is list:
        return [_settled(item) for item in cast("list[Any]", tree)]
    if type(tree) is not dict:
        return tree
    rows = cast("dict[str, Any]", tree)
    if len(rows) == 1 and "$of" in rows and not rows["$of"][0] and len(rows["$of"]) == 3:
        return _picked(rows["$of"][2], list(rows["$of"][1]))
    return {key: item if key == "$of" else _settled(item) for key, item in rows.items()}


def _picked(tree: Any, steps: list[Any]) -> Any:
    tree = _settled(tree)
    while steps:
        reference = _reference(tree)
        if reference is not None:
            return {"$of": [reference[0], [*reference[1], *steps]]}
        try:
            tree = _settled(pick(tree, [(steps[0][0], steps[0][1])]))
        except LookupError:
            return {"$of": [None, steps, tree]}
        steps = steps[1:]
    return tree


def _parts(old: Any, new: Any) -> list[tuple[str, Any, Any]] | None:
    """Return the parts of two containers of one kind, by name; None where they are no such pair."""
    if type(old) is not type(new):
        return None
    if type(old) is list:
        return _items(cast("list[Any]", old), cast("list[Any]", new))
    if type(old) is not dict:
        return None
    before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    tags = before.keys() & after.keys() & {"$tuple", "$data", "$named"}
    if not any(key[:1] == "$" for key in (*before, *after)):
        keys = dict.fromkeys((*before, *after))
        return [(f"[{k!r}]", before.get(k, ABSENT), after.get(k, ABSENT)) for k in keys]
    if tags == {"$tuple"}:
        return _items(before["$tuple"], after["$tuple"])
    for tag in ("$data", "$named"):
        if tags == {tag} and before[tag][0] == after[tag][0]:
            mine, theirs = after[tag][1]["$fields"], before[tag][1]["$fields"]
            keys = dict.fromkeys((*theirs, *mine))
            return [(f".{k}", theirs.get(k, ABSENT), mine.get(k, ABSENT)) for k in keys]
    return None


def _items(old: Sequence[Any], new: Sequence[Any]) -> list[tuple[str, Any, Any]]:
    count = max(len(old), len(new))
    return [
        (f"[{at}]", old[at] if at < len(old) else ABSENT, new[at] if at < len(new) else ABSENT)
        for at in range(count)
    ]
