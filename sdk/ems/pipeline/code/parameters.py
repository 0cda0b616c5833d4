"""Parameters of functions in normal form, and the names that they bind."""

from __future__ import annotations

import ast

from .scope import Scope
from .walk import Walk


def arguments(walk: Walk, node: ast.arguments, *, annotated: bool) -> str:
    """Return a function's parameters; annotations only where they can matter."""

    def shown(arg: ast.arg, default: ast.expr | None = None) -> str:
        text = arg.arg
        if annotated and arg.annotation is not None:
            text += f": {walk.expr(arg.annotation)}"
        return text if default is None else f"{text}={walk.expr(default)}"

    plain = [*node.posonlyargs, *node.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(node.defaults))
    parts = [shown(a, d) for a, d in zip(plain, defaults + node.defaults, strict=True)]
    if node.posonlyargs:
        parts.insert(len(node.posonlyargs), "/")
    if node.vararg is not None or node.kwonlyargs:
        parts.append("*" if node.vararg is None else f"*{shown(node.vararg)}")
    parts += [shown(a, d) for a, d in zip(node.kwonlyargs, node.kw_defaults, strict=True)]
    if node.kwarg is not None:
        parts.append(f"**{shown(node.kwarg)}")
    return ", ".join(parts)


def bind_arguments(scope: Scope, node: ast.arguments) -> None:
    """Bind a function's parameters in its scope."""
    for arg in (*node.posonlyargs, *node.args, *node.kwonlyargs):
        scope.bound.add(arg.arg)
    for extra in (node.vararg, node.kwarg):
        if extra is not None:
            scope.bound.add(extra.arg)
