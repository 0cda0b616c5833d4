"""One top-level statement of a module: its normal form and what it defines, uses and changes.

Knows one statement at a time. How items make up the symbols of a module is in `facts`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .scope import MUTATORS, Scope
from .statements import function, is_main_only, is_typing_only, kept_decorators, statement
from .symbols import BASE, CALL
from .walk import Walk, chain_of, is_ems

_DISPLAYS = (
    ast.Constant, ast.Dict, ast.DictComp, ast.JoinedStr, ast.List, ast.ListComp, ast.Set,
    ast.SetComp, ast.Tuple, ast.UnaryOp, ast.BinOp,
)  # fmt: skip
_SIMPLE = (
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef,
    ast.Import, ast.ImportFrom, ast.Pass, ast.Global,
)  # fmt: skip


@dataclass(slots=True)
class Item:
    """A top-level statement. `roots` are chains that it changes in place, `writes` those it may."""

    text: str
    scope: Scope
    refs: set[str]
    loads: set[str]
    kind: str
    fresh: bool  # what it defines is nobody else's object
    effect: bool  # it does more than bind names
    roots: set[str] = field(default_factory=set[str])
    writes: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    collects: bool = False  # a class that hears of its subclasses

    def uses(self) -> dict[str, set[str]]:
        """Return the names it takes from the module: root to chains."""
        found = {root: set(chains) for root, chains in self.scope.used.items()}
        for root, chains in self.scope.later.items():
            found.setdefault(root, set()).update(chains)
        return found


@dataclass(slots=True)
class Reading:
    """What the statements of a module add up to while they are read."""

    package: str
    ems: dict[str, str]
    items: list[Item] = field(default_factory=list[Item])
    names: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    stars: list[str] = field(default_factory=list[str])
    loads: set[str] = field(default_factory=set[str])


def flat(nodes: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield top-level statements that an import runs, without what is for scripts or types only."""
    for node in nodes:
        if isinstance(node, ast.If) and (is_main_only(node) or is_typing_only(node)):
            yield from flat(node.orelse)
        else:
            yield node


def ems_names(tree: ast.Module) -> dict[str, str]:
    """Return the names that imports bind to EMS, or to something of it, at the top of a module."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "ems":
                    found[alias.asname or "ems"] = alias.name if alias.asname else "ems"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ems":
            for alias in [] if node.level else node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def read_item(reading: Reading, node: ast.stmt) -> None:
    """Read one top-level statement into `reading`."""
    walk = Walk(reading.package, reading.ems)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function(walk, node, "_")  # its name is that of the symbol
    else:
        statement(walk, node)
    for name, targets in walk.scope.imports.items():
        reading.names.setdefault(name, []).extend(targets)
    reading.stars += walk.stars
    reading.loads |= walk.top_loads
    if isinstance(node, ast.Import | ast.ImportFrom) or not walk.lines or _of_ems(walk, node):
        return
    kind = "class" if isinstance(node, ast.ClassDef) else "data"
    kind = "def" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else kind
    item = Item(
        "\n".join(walk.lines),
        walk.scope,
        walk.refs,
        walk.loads,
        kind,
        _is_fresh(node),
        has_effect(node),
    )
    item.roots = {chain for depth, chain in walk.scope.mutated if depth == 0}
    item.writes = _writes(walk, node)
    item.collects = isinstance(node, ast.ClassDef) and _collects(node)
    reading.items.append(item)


def _of_ems(walk: Walk, node: ast.stmt) -> bool:
    """Return whether a statement only calls EMS, as `ems.run(main)` does."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    chain = chain_of(node.value.func)
    return chain is not None and is_ems(walk, chain)


def _is_fresh(node: ast.stmt) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return True
        case ast.Assign(targets=[ast.Name()], value=value):
            return isinstance(value, _DISPLAYS)
        case ast.AnnAssign(target=ast.Name(), value=value):
            return isinstance(value, _DISPLAYS)
        case _:
            return False


def has_effect(node: ast.stmt) -> bool:
    """Return whether a statement does more at import than bind names (of its own module)."""
    match node:
        case ast.Expr(value=value):
            return not isinstance(value, ast.Constant) and not _changes_one(value)
        case ast.Assign(targets=targets):
            return any(isinstance(target, ast.Name) and target.id == "_" for target in targets)
        case ast.Delete(targets=targets):
            return not all(isinstance(target, ast.Name) for target in targets)
        case ast.If() | ast.For() | ast.AsyncFor() | ast.While():
            return any(_stirs(each) for each in [*node.body, *node.orelse])
        case ast.Try() | ast.TryStar():
            handled = [each for handler in node.handlers for each in handler.body]
            return any(
                _stirs(each) for each in [*node.body, *handled, *node.orelse, *node.finalbody]
            )
        case ast.Match(cases=cases):
            return any(_stirs(each) for case in cases for each in case.body)
        case _:
            return not isinstance(node, _SIMPLE)


def _stirs(node: ast.stmt) -> bool:
    """Return whether a statement inside a compound one has an effect, changes in place included."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return not all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
    if isinstance(node, ast.AugAssign):
        return not isinstance(node.target, ast.Name)
    if isinstance(node, ast.Raise):
        return False
    return has_effect(node)


def _changes_one(value: ast.expr) -> bool:
    """Return whether an expression is `NAME.append(…)` or the like, which changes one object."""
    match value:
        case ast.Call(func=ast.Attribute(value=target, attr=attribute)):
            return attribute in MUTATORS and chain_of(target) is not None
        case _:
            return False


def _writes(walk: Walk, node: ast.stmt) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for each in kept_decorators(walk, node):
            chain = chain_of(each.func if isinstance(each, ast.Call) else each)
            if chain is not None:
                found.append((chain, 1 if isinstance(each, ast.Call) else 0))
    if isinstance(node, ast.ClassDef):
        found += [(chain, BASE) for base in node.bases if (chain := chain_of(base)) is not None]
    else:
        found += [(chain, CALL) for chain in walk.calls]
    return found


def _collects(node: ast.ClassDef) -> bool:
    hears = any(
        isinstance(each, ast.FunctionDef) and each.name == "__init_subclass__" for each in node.body
    )
    return hears or any(
        each.arg == "metaclass" and chain_of(each.value) not in _PLAIN for each in node.keywords
    )


_PLAIN = ("ABCMeta", "abc.ABCMeta", "EnumMeta", "enum.EnumMeta", "type")
