"""The classes that a task's parameters are annotated with: arguments bring code along.

A task that gets a `Row` may call its methods without ever naming them, so the class counts as
reached. Knows functions as they are in this process. Reads no source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import FunctionType
from typing import Any, ForwardRef, get_args

_WORD = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def classes_of(function: FunctionType, module: str) -> list[str]:
    """Return the absolute dotted names of the classes that annotate a function's parameters.

    `module` is what the function's own module is called, whatever it is loaded as here. Python's
    own classes and those of EMS are left out.
    """
    found: dict[str, None] = {}
    for parameter, annotation in function.__annotations__.items():
        if parameter != "return":
            for kind in kinds_of(annotation, function.__globals__):
                home = module if kind.__module__ == function.__module__ else kind.__module__
                if home.partition(".")[0] not in ("builtins", "ems", "typing"):
                    found[f"{home}.{kind.__qualname__}"] = None
    return list(found)


def kinds_of(annotation: Any, names: dict[str, Any]) -> Iterator[type]:
    """Yield the classes in an annotation; `names` are those that quoted ones may use."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        for word in _WORD.findall(annotation):
            value = _value(word, names)
            if isinstance(value, type):
                yield value
    elif isinstance(annotation, type):
        yield annotation
    for inner in get_args(annotation):
        yield from kinds_of(inner, names)


def _value(word: str, names: dict[str, Any]) -> Any:
    first, *rest = word.split(".")
    value = names.get(first)
    for each in rest:
        value = getattr(value, each, None)
    return value
