"""The names around a live function or class: its cells, its globals, what they mean now."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

from .finder import Finder


class Surroundings:
    """Where a live function or class takes its names from."""

    def __init__(self, function: FunctionType | None, names: dict[str, Any] | None = None) -> None:
        self._function = function
        self._globals = names if names is not None else getattr(function, "__globals__", {})
        self._cells = dict(_cells(function)) if function is not None else {}

    @classmethod
    def of_class(cls, value: type) -> Surroundings:
        """Return the names around a class."""
        module = sys.modules.get(value.__module__)
        return cls(None, vars(module) if module is not None else {})

    def has(self, name: str) -> bool:
        """Return whether a name is known here and is not Python's own."""
        return name in self._cells or name in self._globals

    def get(self, name: str) -> Any:
        """Return what a name stands for now."""
        if name in self._cells:
            return self._cells[name]
        return self._globals.get(name, getattr(builtins, name, None))

    def home(self, finder: Finder, name: str) -> str | None:
        """Return the module of the project that has a name, where the function lies in a file."""
        if self._function is None or name in self._cells:
            return None
        file = self._function.__code__.co_filename
        return finder.name_of(file) if not file.startswith("<") and finder.owns(file) else None


def _cells(function: FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue


def is_of_ems(decorator: ast.expr, function: FunctionType) -> bool:
    """Return whether a decorator of a live function is one of EMS's."""
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    while isinstance(node, ast.Attribute):
        node = node.value
    value = Surroundings(function).get(node.id) if isinstance(node, ast.Name) else None
    module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return str(module).partition(".")[0] == "ems"
