"""The syntax trees of live functions and classes, from the lines that Python keeps for tracebacks.

Knows `linecache`: what notebooks and consoles put there, and files. Does not judge what it finds.
"""

from __future__ import annotations

import ast
import linecache
import os
from collections.abc import Iterator
from types import FunctionType
from typing import TypeVar

Definition = ast.FunctionDef | ast.AsyncFunctionDef
_Node = TypeVar("_Node", bound=ast.AST)


def function_source(function: FunctionType) -> Definition | ast.Lambda | None:
    """Return the tree of a function's definition; None where its source is gone or ambiguous."""
    code = function.__code__
    tree = _tree(code.co_filename)
    if tree is None:
        return None
    if code.co_name == "<lambda>":
        lambdas = [each for each in _all(tree, ast.Lambda) if each.lineno == code.co_firstlineno]
        return lambdas[0] if len(lambdas) == 1 else None
    for node in (*_all(tree, ast.FunctionDef), *_all(tree, ast.AsyncFunctionDef)):
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        if node.name == code.co_name and code.co_firstlineno in (first, node.lineno):
            return node
    return None


def without_annotations(node: Definition) -> None:
    """Take the annotations off a function: what they name need not travel."""
    node.returns = None
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    for arg in [*every, *filter(None, (node.args.vararg, node.args.kwarg))]:
        arg.annotation = None


def class_source(value: type) -> ast.ClassDef | None:
    """Return the tree of a class's definition: where its methods are, else the latest cell's."""
    names = [*dict.fromkeys(_method_files(value)), *reversed(_cells())]
    for name in names:
        tree = _tree(name)
        found = (
            [node for node in _all(tree, ast.ClassDef) if node.name == value.__name__]
            if tree
            else []
        )
        if found:
            return found[-1]
    return None


def _all(tree: ast.AST, kind: type[_Node]) -> Iterator[_Node]:
    return (node for node in ast.walk(tree) if isinstance(node, kind))


def _tree(filename: str) -> ast.Module | None:
    if os.path.isfile(filename):
        linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    try:
        return ast.parse("".join(lines)) if lines else None
    except SyntaxError:  # a cell with commands of the notebook among its lines
        return None


def _method_files(value: type) -> Iterator[str]:
    for member in vars(value).values():
        inner = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        if isinstance(inner, FunctionType) and inner.__qualname__.startswith(value.__qualname__):
            yield inner.__code__.co_filename


def _cells() -> list[str]:
    return [name for name in list(linecache.cache) if not os.path.isfile(name)]
