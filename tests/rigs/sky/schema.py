"""What the installed pulumi_aws package says of a resource type: inputs, their types, outputs.

Read from the package's source, class by class, since importing a whole service takes a second. The
real provider checks more (values, lengths, what excludes what); none of that is known here.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.rigs.sky.wire import DEFAULTS, UNKNOWN

_BASIC = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}


@dataclass(frozen=True)
class Property:
    """One input: its name on the wire and the type that the package gives it."""

    name: str
    required: bool
    type: ast.expr


@dataclass(frozen=True)
class Shape:
    """The inputs of a resource or of a nested block, and where its nested types stand."""

    inputs: Mapping[str, Property]
    outputs: frozenset[str]
    folder: Path


@dataclass(frozen=True)
class Failure:
    """Why inputs are refused: the property's path, and what is wrong with it."""

    path: str
    reason: str


def shape(token: str) -> Shape | None:
    """Return what the package says of a type; None where it has no such type."""
    place = _places().get(token)
    return _resource(*place) if place else None


def check(token: str, inputs: Mapping[str, Any]) -> list[Failure]:
    """Return what the package's types don't allow in `inputs`."""
    known = shape(token)
    if known is None:
        return [Failure("", f"pulumi_aws has no resource type {token}")]
    return list(_block(known, inputs, ""))


def leads_to(token: str, path: str) -> bool:
    """Return whether a dotted path of names (`*` for items and keys) leads to an input."""
    known = shape(token)
    steps = [step for step in path.split(".") if step != "*"]
    while known and steps:
        prop = known.inputs.get(steps.pop(0))
        if prop is None:
            return False
        nested = _below(prop.type)
        known = _nested(known.folder, nested) if nested else None
    return not steps


def _block(known: Shape, value: Mapping[str, Any], path: str) -> Iterator[Failure]:
    for name, item in value.items():
        if name == DEFAULTS:
            continue
        if name not in known.inputs:
            near = difflib.get_close_matches(name, known.inputs, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            yield Failure(f"{path}{name}", f"no such property{hint}")
        elif item is not None:
            yield from _value(known, known.inputs[name].type, item, f"{path}{name}")
    for name, prop in known.inputs.items():
        if prop.required and value.get(name) is None:
            yield Failure(f"{path}{name}", "missing required property")


def _value(known: Shape, kind: ast.expr, value: Any, path: str) -> Iterator[Failure]:
    if value is None or value == UNKNOWN:
        return
    if isinstance(kind, ast.Constant):
        yield from _named(known, str(kind.value), value, path)
    elif isinstance(kind, ast.Subscript):
        yield from _generic(known, kind, value, path)
    else:
        basic = _BASIC.get(_last(kind))
        if basic and (
            not isinstance(value, basic) or isinstance(value, bool) != (basic == (bool,))
        ):
            yield Failure(path, f"expected {_last(kind)}, got {_said(value)}")


def _generic(known: Shape, kind: ast.Subscript, value: Any, path: str) -> Iterator[Failure]:
    outer, inner = _last(kind.value), kind.slice
    if outer in ("Input", "Optional"):
        yield from _value(known, inner, value, path)
    elif outer == "Sequence":
        if not isinstance(value, list):
            yield Failure(path, f"expected a list, got {_said(value)}")
            return
        for index, item in enumerate(value):
            yield from _value(known, inner, item, f"{path}[{index}]")
    elif outer == "Mapping" and isinstance(inner, ast.Tuple):
        if not isinstance(value, dict):
            yield Failure(path, f"expected a map, got {_said(value)}")
            return
        for key, item in value.items():
            yield from _value(known, inner.elts[1], item, f'{path}["{key}"]')
    elif outer == "Union" and isinstance(inner, ast.Tuple):
        tried = [list(_value(known, option, value, path)) for option in inner.elts]
        if all(tried):
            yield from tried[0]


def _named(known: Shape, name: str, value: Any, path: str) -> Iterator[Failure]:
    """A type by name: a nested block, or an enumeration, which the wire carries as text."""
    nested = _nested(known.folder, name) if name.endswith("Args") else None
    if nested is None:
        return
    if isinstance(value, dict):
        yield from _block(nested, value, f"{path}.")
    else:
        yield Failure(path, f"expected a block, got {_said(value)}")


def _below(kind: ast.expr) -> str:
    """The name of the nested block that a type leads to, if it does."""
    names = [str(n.value) for n in ast.walk(kind) if isinstance(n, ast.Constant)]
    return next((name for name in names if name.endswith("Args")), "")


def _said(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 40 else text[:37] + '…'}"


def _last(kind: ast.expr) -> str:
    """The last name of `pulumi.Input` or `_builtins.str`."""
    return kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")


# --------------------------------------------------------------------------- the package's source


@functools.cache
def _root() -> Path:
    found = importlib.util.find_spec("pulumi_aws")
    if found is None or found.origin is None:
        raise RuntimeError("stand-in: pulumi_aws is not installed. Try: make test")
    return Path(found.origin).parent


@functools.cache
def _places() -> Mapping[str, tuple[Path, str]]:
    """Every token → the folder and class that it stands in."""
    text = (_root() / "__init__.py").read_text()
    found = re.search(r'resource_modules="""\n(.*?)"""', text, re.S)
    assert found, "pulumi_aws has no list of its resource modules"
    places: dict[str, tuple[Path, str]] = {}
    for module in json.loads(found[1]):
        folder = _root().joinpath(*module["fqn"].split(".")[1:])
        for token, name in module["classes"].items():
            places[token] = (folder, name)
    return places


@functools.cache
def _resource(folder: Path, name: str) -> Shape:
    words = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
    files = [folder / f"{words}.py", *sorted(folder.glob("*.py"))]
    text = next(
        text
        for text in (file.read_text() for file in files if file.exists())
        if re.search(rf"^class {name}\(pulumi", text, re.M)
    )
    # a nested block of the same name has taken `Args`
    inputs = _arguments(text, f"{name}InitArgs") or _arguments(text, f"{name}Args")
    outputs = _arguments(text, f"_{name}State")
    return Shape(inputs, frozenset(outputs), folder)


@functools.cache
def _nested(folder: Path, name: str) -> Shape | None:
    text = _inputs(folder)
    if not re.search(rf"^class {name}:", text, re.M):
        return None
    return Shape(_arguments(text, name), frozenset(), folder)


@functools.cache
def _inputs(folder: Path) -> str:
    return (folder / "_inputs.py").read_text()


def _arguments(text: str, name: str) -> dict[str, Property]:
    """The keyword arguments of a class of inputs, by their names on the wire."""
    found = re.search(rf"^class {name}:.*?(?=^\S|\Z)", text, re.S | re.M)
    if not found:
        return {}
    parsed = ast.parse(found[0]).body[0]
    assert isinstance(parsed, ast.ClassDef)
    wire: dict[str, str] = {}
    arguments: list[tuple[str, bool, ast.expr]] = []
    for method in parsed.body:
        if not isinstance(method, ast.FunctionDef):
            continue
        if method.name == "__init__":
            pairs = zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)
            arguments = [(a.arg, d is None, a.annotation) for a, d in pairs if a.annotation]
        for decorator in method.decorator_list:
            if isinstance(decorator, ast.Call) and _last(decorator.func) == "getter":
                given = decorator.keywords[0].value if decorator.keywords else None
                wire[method.name] = str(given.value) if isinstance(given, ast.Constant) else ""
    named = {python: wire.get(python) or python for python, _, _ in arguments}
    return {named[a]: Property(named[a], required, kind) for a, required, kind in arguments}
