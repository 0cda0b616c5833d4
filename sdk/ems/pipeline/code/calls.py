"""Calls and look-ups in normal form, and which of them can't be followed.

`getattr` with a computed name, `exec`, an import by a variable and the like are marked; with
literals they count as what they stand for. Knows expressions; see `walk`.
"""

from __future__ import annotations

import ast

from .scope import MUTATORS
from .walk import EXPRESSIONS, Walk, absolute, chain_of, is_ems

_COMPUTED = frozenset(["exec", "eval", "globals"])


def _call(walk: Walk, node: ast.Call) -> str:
    function = node.func
    if type(function) is ast.Attribute:
        if function.attr in MUTATORS:
            walk.changes(function.value)
        elif function.attr == "import_module":
            _import_call(walk, node)
    elif type(function) is ast.Name:
        _named_call(walk, node, function.id)
    chain = chain_of(function)
    if walk.scope.kind == "module" and chain is not None:
        walk.calls.append(chain)
    text = walk.expr(function)
    keywords = node.keywords
    if keywords and chain is not None and is_ems(walk, chain, ("task", "pipeline")):
        keywords = []
    if text in ("getattr", "hasattr") and (given := _literal_attribute(node)) is not None:
        chain, attribute = given
        walk.scope.use(chain.partition(".")[0], f"{chain}.{attribute}")
        arguments = [chain, *[walk.expr(argument) for argument in node.args[1:]]]
    else:
        arguments = [walk.expr(argument) for argument in node.args]
    arguments += [keyword(walk, each) for each in keywords]
    return f"{text}({', '.join(arguments)})"


def _named_call(walk: Walk, node: ast.Call, name: str) -> None:
    if name in ("import_module", "__import__"):
        _import_call(walk, node)
    elif name == "setattr" and node.args:
        walk.changes(node.args[0])
    elif name == "getattr" and len(node.args) >= 2 and _literal_attribute(node) is None:
        if (chain := chain_of(node.args[0])) is not None:
            _mark(walk, node, "getattr", chain)
    elif name in _COMPUTED:
        _mark(walk, node, name, name)


def _literal_attribute(node: ast.Call) -> tuple[str, str] | None:
    """Return `a.b` and `c` for `getattr(a.b, "c")`, None for anything less plain."""
    match node.args:
        case [ast.Name() | ast.Attribute() as target, ast.Constant(value=str() as attribute), *_]:
            chain = ast.unparse(target)  # items and calls on the way have no chain
            return (chain, attribute) if chain == chain_of(target) else None
        case _:
            return None


def _mark(walk: Walk, node: ast.expr, kind: str, chain: str) -> None:
    shown = ast.unparse(node)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    walk.scope.marks.append((kind, node.lineno, shown, chain))


def _import_call(walk: Walk, node: ast.Call) -> None:
    first = node.args[0] if node.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        module = first.value
        level = len(module) - len(module.lstrip("."))
        target = absolute(walk.package, module.lstrip("."), level)
        walk.refs.add(target)
        (walk.loads if walk.scope.deferred() else walk.top_loads).add(target)
    else:
        _mark(walk, node, "import", chain_of(node.func) or "")


def keyword(walk: Walk, node: ast.keyword) -> str:
    """Return a keyword argument of a call or a class."""
    value = walk.expr(node.value)
    return f"**{value}" if node.arg is None else f"{node.arg}={value}"


def _subscript(walk: Walk, node: ast.Subscript) -> str:
    value = node.value
    if type(node.ctx) is not ast.Load:
        walk.changes(value)
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id == "globals"
    ):
        index = node.slice
        if isinstance(index, ast.Constant) and isinstance(index.value, str):
            walk.scope.use(index.value, index.value)
            return f"globals()[{index.value!a}]"
    elif isinstance(value, ast.Attribute) and chain_of(value) == "sys.modules":
        own = isinstance(node.slice, ast.Name) and node.slice.id == "__name__"
        if own:
            walk.scope.use("__name__", "__name__.*")
        elif type(node.ctx) is ast.Load:
            _mark(walk, node, "import", "sys.modules")
    index = walk.expr(node.slice)
    if isinstance(node.slice, ast.Tuple) and node.slice.elts:
        index = index[1:-1] if len(node.slice.elts) == 1 else index[1:-2]
    return f"{walk.expr(value)}[{index}]"


EXPRESSIONS.update({ast.Call: _call, ast.Subscript: _subscript})
