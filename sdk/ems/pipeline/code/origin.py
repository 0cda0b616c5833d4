"""Where a function comes from: a file of the project, an installed package, or no file at all.

Knows functions as they are in this process. Reads no source.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, NamedTuple

from ems.errors import UsageError

from .finder import Finder, is_foreign


class Origin(NamedTuple):
    """A function and where to find it. `live`: only this process has it (a cell, a closure)."""

    kind: Literal["project", "installed", "live"]
    module: str
    qualname: str
    function: Any


def function_of(fn: Callable[..., object]) -> FunctionType:
    """Return the function inside tasks and well-made wrappers; raises UsageError where none is."""
    inner: Any = fn
    while not isinstance(inner, FunctionType) or hasattr(inner, "__wrapped__"):
        following = getattr(inner, "__wrapped__", None) or getattr(inner, "fn", None)
        if following is None:
            name = getattr(fn, "__name__", None) or repr(fn)
            raise UsageError(
                f"task {name}", f"is no plain function but {type(inner).__name__}", "a def"
            )
        inner = following
    return inner


def origin_of(finder: Finder, fn: Callable[..., object]) -> Origin:
    """Return where a function comes from."""
    function = function_of(fn)
    file, qualname = function.__code__.co_filename, function.__qualname__
    if file.startswith("<") or not os.path.isfile(file):
        return Origin("live", function.__module__, qualname, function)
    path = os.path.realpath(file)
    name = finder.name_of(path) if finder.owns(path) else None
    if name is not None:
        kind = "live" if "<" in qualname else "project"
        loaded = finder.find(function.__module__) if function.__module__ != "__main__" else None
        if loaded is not None and loaded.path == path:  # as its classes know it
            name = function.__module__
        return Origin(kind, name, qualname, function)
    if is_foreign(path.removeprefix(finder.root + os.sep)):
        return Origin("installed", function.__module__, qualname, function)
    if finder.owns(path):
        raise UsageError(
            f"task {function.__name__}",
            f"is defined in {finder.relative(path)}, which no other file could import "
            "(allowed in names of files and folders: letters, digits and _)",
            "another name for it",
        )
    raise UsageError(
        f"task {function.__name__}",
        f"is defined in {file}, outside the project {finder.root}",
        "an .ems.yaml in the folder that holds all of its code",
    )
