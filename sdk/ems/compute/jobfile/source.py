"""Read a job's file: its values, and the line of each key.

Knows YAML and JSON. Does not know which keys there are. YAML is read as its version 1.2 says: `on`
is a key like any other, `yes` and dates are text.
"""

# PyYAML's nodes are untyped
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ems.compute.jobfile.fault import Fault, JobFileError, Steps

_DEEPEST = 20
_C_OR_PYTHON: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_C_OR_PYTHON):
    """YAML 1.2's booleans, and no dates."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in found
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


@dataclass(frozen=True)
class Source:
    """What a file says; `folder` is where its relative paths start."""

    file: str
    value: object
    folder: Path
    lines: Callable[[], Mapping[Steps, int]] = dict


def load(path: Path) -> Source:
    """Return what a file says; JobFileError where it can't be read, or a key stands twice."""
    shown = _shown(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise _off(shown, "there is no such file", "emsctl job submit --help") from None
    except OSError as error:
        raise _off(shown, f"can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _off(shown, f"is not UTF-8 text (byte {error.start})") from None
    folder = path.absolute().parent
    if path.suffix == ".json":
        value = _json(text, shown)
        return Source(shown, value, folder, lambda: _lines_of_json(text))
    node, value = _yaml(text, shown)
    return Source(shown, value, folder, lambda: dict(_lines(node, ())))


def located(faults: list[Fault], lines: Mapping[Steps, int]) -> list[Fault]:
    """Return the faults with the line of their key, in the order of the file."""
    found: list[Fault] = []
    for fault in faults:
        steps = fault.steps
        while steps and steps not in lines:
            steps = steps[:-1]
        found.append(replace(fault, line=fault.line or lines.get(steps, 0)))
    return sorted(found, key=lambda fault: fault.line)


def parsed(text: str) -> object:
    """Return one value as it would stand in a file; the text itself where that is no YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return text


def _json(text: str, shown: str) -> object:
    twice: list[str] = []

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice.extend(name for name in made if names.count(name) > 1)
        return made

    try:
        value: object = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise _off(shown, f"is no JSON: {error.msg.lower()}", line=error.lineno) from None
    except RecursionError:
        raise _off(shown, "is nested too deep") from None
    if twice:
        raise _off(shown, f"key {twice[0]!r} stands twice in one mapping")
    return value


def _lines_of_json(text: str) -> dict[Steps, int]:
    """JSON is YAML but for tabs between values, and its strings hold no tabs."""
    try:
        node: Any = yaml.compose(text.replace("\t", " "), Loader=_Loader)
    except (yaml.YAMLError, ValueError):
        return {}
    return dict(_lines(node, ()))


def _yaml(text: str, shown: str) -> tuple[Any, object]:
    loader: Any = _Loader(text)
    try:
        node: Any = loader.get_single_node()
        _refuse_twice(node, shown, 0)
        return node, loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        line = mark.line + 1 if mark is not None else 0
        raise _off(shown, f"is no YAML: {problem}", line=line) from None
    except (RecursionError, ValueError, TypeError, OverflowError) as error:
        # PyYAML lets these through for odd scalars, unhashable keys and thousands of levels
        raise _off(shown, f"is no YAML that can be read: {error}") from None
    finally:
        loader.dispose()


def _refuse_twice(node: Any, shown: str, depth: int) -> None:
    if depth > _DEEPEST:
        return
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise _off(shown, f"{name!r} stands in line {seen[name]} already", line=line)
            seen[name] = line
            _refuse_twice(value, shown, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _refuse_twice(each, shown, depth + 1)


def _lines(node: Any, steps: Steps) -> Iterator[tuple[Steps, int]]:
    if len(steps) > _DEEPEST or node is None:  # an alias may hold itself
        return
    yield steps, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = (*steps, str(key.value))
            yield from _lines(value, inside)
            yield inside, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield from _lines(value, (*steps, place))


def _off(shown: str, what: str, next_step: str = "", line: int = 0) -> JobFileError:
    return JobFileError(shown, [Fault((), what, next_step, line)])


def _shown(path: Path) -> str:
    near = os.path.relpath(path)
    return str(path) if near.startswith(os.path.join("..", "..")) else near
