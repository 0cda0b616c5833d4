"""What differs between two sets of inputs, and whether the difference needs a new resource.

Sets are compared without their order and JSON documents by meaning. Knows no wire and no cloud.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.rigs.sky.kind import Kind
from tests.rigs.sky.wire import DEFAULTS, has_unknown

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Change:
    """One place where new inputs differ from old ones."""

    path: Path
    what: str
    """ADD, DELETE or UPDATE."""
    replaces: bool

    @property
    def dotted(self) -> str:
        """The path as the engine writes it: `rules[0].port`, `tags["a b"]`."""
        text = ""
        for step in self.path:
            if isinstance(step, int):
                text += f"[{step}]"
            elif step.isidentifier():
                text += f".{step}" if text else step
            else:
                text += f'["{step}"]'
        return text


def changes(kind: Kind, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return where `new` inputs differ from `old`, in the order of the inputs' names."""
    rules = [tuple(path.split(".")) for path in (*kind.replaces, "region")]
    found: list[Change] = []
    for key in sorted({*old, *new} - {DEFAULTS}):
        before = canonical(kind, old.get(key), (key,))
        after = canonical(kind, new.get(key), (key,))
        for path, what, a, b in _walk(before, after, (key,)):
            fixed = kind.update is None and key not in ("tags", "tagsAll")
            touched = [*_leaves(a, path), *_leaves(b, path)]
            replaces = fixed or any(_matches(rule, leaf) for rule in rules for leaf in touched)
            found.append(Change(path, what, replaces))
    return found


def same(kind: Kind, key: str, a: Any, b: Any) -> bool:
    """Return whether two values of one input mean the same."""
    if has_unknown(a) or has_unknown(b):
        return False
    return canonical(kind, a, (key,)) == canonical(kind, b, (key,))


def canonical(kind: Kind, value: Any, path: tuple[str, ...]) -> Any:
    """Return a value in the form in which equal meanings are equal."""
    if _named(kind.documents, path) and isinstance(value, str):
        return _document(value)
    if isinstance(value, dict):
        return {k: canonical(kind, v, (*path, k)) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        items = [canonical(kind, item, (*path, "*")) for item in value]
        return sorted(items, key=_order) if _named(kind.sets, path) else items
    return value


def _named(patterns: Iterable[str], path: Sequence[str]) -> bool:
    """Whether a pattern names the path; items of lists (`*`) may be left out of a pattern."""
    if path[-1] == "*":
        return False
    bare = _bare(path)
    return any(_bare(pattern.split(".")) == bare for pattern in patterns)


def _bare(steps: Iterable[str]) -> tuple[str, ...]:
    return tuple(step for step in steps if step != "*")


def _document(text: str) -> Any:
    try:
        return _Meaning(_plain(json.loads(text)))
    except ValueError:
        return text


class _Meaning(str):
    """A JSON document as one text: it changes as a whole."""

    __slots__ = ()

    def __new__(cls, value: Any) -> _Meaning:
        return super().__new__(cls, json.dumps(value, sort_keys=True))


def _plain(value: Any) -> Any:
    """Policies say one action as text or as a list of one, and several in any order."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        if any(isinstance(item, dict | list) for item in items):
            return items
        return items[0] if len(items) == 1 else sorted(items, key=_order)
    return value


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _walk(a: Any, b: Any, path: Path) -> Iterator[tuple[Path, str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from _walk(a.get(key), b.get(key), (*path, key))
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            left = a[index] if index < len(a) else None
            right = b[index] if index < len(b) else None
            yield from _walk(left, right, (*path, index))
    elif a != b:
        yield path, "ADD" if a is None else "DELETE" if b is None else "UPDATE", a, b


def _leaves(value: Any, path: Path) -> Iterator[tuple[str, ...]]:
    """The paths below a changed value, without indices: what a replace rule may name."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for item in value:
            yield from _leaves(item, path)
    else:
        yield tuple(str(step) for step in path if not isinstance(step, int))


def _matches(rule: tuple[str, ...], leaf: tuple[str, ...]) -> bool:
    steps = _bare(rule)
    return leaf[: len(steps)] == steps
