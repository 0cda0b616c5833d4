"""One reading of a piece of code: its normal form and, by scope, the names in it.

Knows how text and names are gathered. What each kind of node looks like is registered by
`expressions` and `calls`; statements are in `statements`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, cast

from .scope import Kind, Scope

EXPRESSIONS: dict[type[ast.AST], Callable[[Walk, Any], str]] = {}


class Walk:
    """The state of one reading: lines so far, present scope, what was seen.

    `package` is what relative imports start from; `ems` maps the names that stand for EMS, or for
    something of it, to what they stand for.
    """

    def __init__(self, package: str, ems: dict[str, str]) -> None:
        self.package = package
        self.ems = ems
        self.scope = Scope("module")
        self.lines: list[str] = []
        self.pad = ""
        self.refs: set[str] = set()
        self.loads: set[str] = set()  # when a function runs
        self.top_loads: set[str] = set()  # when the module is imported
        self.stars: list[str] = []
        self.calls: list[str] = []

    def expr(self, node: ast.AST) -> str:
        """Return the normal form of an expression."""
        write = EXPRESSIONS.get(type(node))
        return write(self, node) if write is not None else self.other(node)

    def line(self, text: str) -> None:
        """Append a line at the present depth."""
        self.lines.append(self.pad + text)

    def listed(self, nodes: Sequence[ast.AST]) -> str:
        """Return expressions in normal form, with commas between them."""
        return ", ".join([self.expr(node) for node in nodes])

    def other(self, node: ast.AST) -> str:
        """Return a node of an unknown kind: its name and the fields that hold anything."""
        shown: list[str] = []
        for field in node._fields:
            value = getattr(node, field, None)
            if value is None or value == [] or field in ("ctx", "type_comment"):
                continue
            items = cast(list[Any], value) if isinstance(value, list) else [value]
            texts = [self.expr(v) if isinstance(v, ast.AST) else ascii(v) for v in items]
            shown.append(f"{field}=[{', '.join(texts)}]")
        return f"{type(node).__name__}({', '.join(shown)})"

    def enter(self, kind: Kind) -> Scope:
        """Open a scope inside the present one."""
        self.scope = Scope(kind, self.scope)
        return self.scope

    def leave(self) -> None:
        """Close the present scope."""
        self.scope = self.scope.leave(self.refs)

    def changes(self, node: ast.AST) -> None:
        """Note that what `node` stands for is changed in place."""
        if (chain := chain_of(node)) is not None:
            self.scope.mutated.append((0, chain))


def chain_of(node: ast.AST) -> str | None:
    """Return `a.b.c` for a name with attributes (items are looked through), else None."""
    attributes: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
        elif isinstance(node, ast.Subscript):
            attributes.clear()
        elif isinstance(node, ast.Name):
            attributes.append(node.id)
            return ".".join(reversed(attributes))
        else:
            return None
        node = node.value


def is_ems(walk: Walk, chain: str, words: Sequence[str] = ()) -> bool:
    """Return whether a chain stands for something of EMS, or for one of `words` in it."""
    root = chain.partition(".")[0]
    if root not in walk.ems:
        return False
    return not words or (walk.ems[root] + chain[len(root) :]).rpartition(".")[2] in words


def absolute(package: str, module: str, level: int) -> str:
    """Return the absolute name of a module imported with `level` leading dots in `package`."""
    if not level:
        return module
    parents = package.split(".") if package else []
    kept = parents[: len(parents) - level + 1]
    return ".".join([*kept, *([module] if module else [])])
