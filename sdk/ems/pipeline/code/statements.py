"""Statements in normal form: no comments, docstrings, layout, EMS decorators, idle annotations.

Annotations stay where they can change a result: in class bodies, and in functions under a decorator
that might read them. Knows statements; expressions are in `expressions`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from .calls import keyword
from .expressions import operator
from .imports import import_from, import_plain
from .parameters import arguments, bind_arguments
from .patterns import pattern
from .scope import Scope
from .walk import Walk, chain_of, is_ems

# Decorators that never look at annotations, by the last part of their name.
_BLIND = frozenset(
    (
        "abstractmethod", "asynccontextmanager", "cache", "cached_property", "classmethod",
        "contextmanager", "deleter", "final", "getter", "inference_mode", "jit", "lru_cache",
        "njit", "no_grad", "override", "property", "setter", "staticmethod", "vmap", "wraps",
    )
)  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef


def statement(walk: Walk, node: ast.stmt) -> None:
    """Append the normal form of a statement to the lines of `walk`."""
    write = STATEMENTS.get(type(node))
    if write is not None:
        write(walk, node)
    else:
        walk.line(walk.other(node))


def _body(walk: Walk, nodes: Sequence[ast.stmt]) -> None:
    pad, count = walk.pad, len(walk.lines)
    walk.pad = pad + "    "
    for node in nodes:
        statement(walk, node)
    if len(walk.lines) == count:
        walk.line("pass")
    walk.pad = pad


def _block(walk: Walk, head: str, nodes: Sequence[ast.stmt]) -> None:
    walk.line(head)
    _body(walk, nodes)


def kept_decorators(walk: Walk, node: Function | ast.ClassDef) -> list[ast.expr]:
    """Return the decorators that are code: all but EMS's own."""
    kept: list[ast.expr] = []
    for each in node.decorator_list:
        chain = chain_of(each.func if isinstance(each, ast.Call) else each)
        if chain is None or not is_ems(walk, chain):
            kept.append(each)
    return kept


def function(walk: Walk, node: Function, name: str) -> None:
    """Append a function under the given name."""
    decorators = kept_decorators(walk, node)
    for each in decorators:
        walk.line(f"@{walk.expr(each)}")
    annotated = not all(_blind(each) for each in decorators)
    head = f"{name}{_type_parameters(walk, node) if annotated else ''}"
    head += f"({arguments(walk, node.args, annotated=annotated)})"
    if annotated and node.returns is not None:
        head += f" -> {walk.expr(node.returns)}"
    start = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    walk.scope.bound.add(node.name)
    scope = walk.enter("function")
    bind_arguments(scope, node.args)
    _bind_type_parameters(scope, node)
    _block(walk, f"{start} {head}:", node.body)
    walk.leave()


def _blind(decorator: ast.expr) -> bool:
    chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return chain is not None and chain.rpartition(".")[2] in _BLIND


def _type_parameters(walk: Walk, node: ast.AST) -> str:
    parameters: list[Any] = getattr(node, "type_params", [])
    return f"[{walk.listed(parameters)}]" if parameters else ""


def _bind_type_parameters(scope: Scope, node: ast.AST) -> None:
    parameters: list[Any] = getattr(node, "type_params", [])
    scope.bound.update([each.name for each in parameters])


def _function(walk: Walk, node: Function) -> None:
    function(walk, node, node.name)


def _class(walk: Walk, node: ast.ClassDef) -> None:
    for each in kept_decorators(walk, node):
        walk.line(f"@{walk.expr(each)}")
    bases = [walk.expr(base) for base in node.bases]
    bases += [keyword(walk, each) for each in node.keywords]
    parameters = _type_parameters(walk, node)
    walk.scope.bound.add(node.name)
    _bind_type_parameters(walk.enter("class"), node)
    _block(walk, f"class {node.name}{parameters}({', '.join(bases)}):", node.body)
    walk.leave()


def _assign(walk: Walk, node: ast.Assign) -> None:
    value = walk.expr(node.value)
    targets = [walk.expr(target) for target in node.targets]
    walk.line(f"{' = '.join(targets)} = {value}")


def _annotated(walk: Walk, node: ast.AnnAssign) -> None:
    kept = walk.scope.kind == "class"
    if not kept and node.value is None:
        if isinstance(node.target, ast.Name):
            walk.scope.bound.add(node.target.id)
        return
    annotation = f": {walk.expr(node.annotation)}" if kept else ""
    value = f" = {walk.expr(node.value)}" if node.value is not None else ""
    walk.line(f"{walk.expr(node.target)}{annotation}{value}")


def _augmented(walk: Walk, node: ast.AugAssign) -> None:
    value = walk.expr(node.value)
    if isinstance(node.target, ast.Name):
        walk.scope.use(node.target.id, node.target.id)
    walk.line(f"{walk.expr(node.target)} {operator(node.op)}= {value}")


def _expression(walk: Walk, node: ast.Expr) -> None:
    if not isinstance(node.value, ast.Constant):
        walk.line(walk.expr(node.value))


def _if(walk: Walk, node: ast.If) -> None:
    if is_typing_only(node):
        for each in node.orelse:
            statement(walk, each)
        return
    _block(walk, f"if {walk.expr(node.test)}:", node.body)
    rest = node.orelse
    while len(rest) == 1 and isinstance(rest[0], ast.If) and not is_typing_only(rest[0]):
        _block(walk, f"elif {walk.expr(rest[0].test)}:", rest[0].body)
        rest = rest[0].orelse
    _else(walk, rest)


def _else(walk: Walk, nodes: Sequence[ast.stmt], head: str = "else:") -> None:
    if nodes:
        _block(walk, head, nodes)


def is_typing_only(node: ast.stmt) -> bool:
    """Return whether the statement is `if TYPE_CHECKING:`, whose body never runs."""
    return isinstance(node, ast.If) and chain_of(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def is_main_only(node: ast.stmt) -> bool:
    """Return whether the statement is `if __name__ == "__main__":`."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = [node.test.left, *node.test.comparators]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    values = [side.value for side in sides if isinstance(side, ast.Constant)]
    return names == ["__name__"] and values == ["__main__"] and isinstance(node.test.ops[0], ast.Eq)


def _for(walk: Walk, node: ast.For | ast.AsyncFor) -> None:
    start = "async for" if isinstance(node, ast.AsyncFor) else "for"
    iterated = walk.expr(node.iter)
    _block(walk, f"{start} {walk.expr(node.target)} in {iterated}:", node.body)
    _else(walk, node.orelse)


def _while(walk: Walk, node: ast.While) -> None:
    _block(walk, f"while {walk.expr(node.test)}:", node.body)
    _else(walk, node.orelse)


def _with(walk: Walk, node: ast.With | ast.AsyncWith) -> None:
    items: list[str] = []
    for item in node.items:
        text = walk.expr(item.context_expr)
        items.append(f"{text} as {walk.expr(item.optional_vars)}" if item.optional_vars else text)
    start = "async with" if isinstance(node, ast.AsyncWith) else "with"
    _block(walk, f"{start} {', '.join(items)}:", node.body)


def _try(walk: Walk, node: ast.Try | ast.TryStar) -> None:
    star = "*" if isinstance(node, ast.TryStar) else ""
    _block(walk, "try:", node.body)
    for handler in node.handlers:
        kind = f" {walk.expr(handler.type)}" if handler.type is not None else ""
        name = f" as {handler.name}" if handler.name else ""
        if handler.name:
            walk.scope.bound.add(handler.name)
        _block(walk, f"except{star}{kind}{name}:", handler.body)
    _else(walk, node.orelse)
    _else(walk, node.finalbody, "finally:")


def _match(walk: Walk, node: ast.Match) -> None:
    walk.line(f"match {walk.expr(node.subject)}:")
    pad, walk.pad = walk.pad, walk.pad + "    "
    for case in node.cases:
        guard = f" if {walk.expr(case.guard)}" if case.guard is not None else ""
        _block(walk, f"case {pattern(walk, case.pattern)}{guard}:", case.body)
    walk.pad = pad


def _global(walk: Walk, node: ast.Global) -> None:
    walk.scope.outer.update(node.names)
    walk.line(f"global {', '.join(sorted(node.names))}")


def _nonlocal(walk: Walk, node: ast.Nonlocal) -> None:
    walk.scope.outside.update(node.names)
    walk.line(f"nonlocal {', '.join(sorted(node.names))}")


def _delete(walk: Walk, node: ast.Delete) -> None:
    walk.line(f"del {walk.listed(node.targets)}")


def _return(walk: Walk, node: ast.Return) -> None:
    walk.line(f"return {walk.expr(node.value)}" if node.value is not None else "return")


def _raise(walk: Walk, node: ast.Raise) -> None:
    cause = f" from {walk.expr(node.cause)}" if node.cause is not None else ""
    walk.line(f"raise {walk.expr(node.exc)}{cause}" if node.exc is not None else "raise")


def _assert(walk: Walk, node: ast.Assert) -> None:
    said = f", {walk.expr(node.msg)}" if node.msg is not None else ""
    walk.line(f"assert {walk.expr(node.test)}{said}")


STATEMENTS: dict[type[ast.AST], Callable[[Walk, Any], None]] = {
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.ClassDef: _class,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Expr: _expression,
    ast.If: _if,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: _while,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Try: _try,
    ast.TryStar: _try,
    ast.Match: _match,
    ast.Import: import_plain,
    ast.ImportFrom: import_from,
    ast.Global: _global,
    ast.Nonlocal: _nonlocal,
    ast.Delete: _delete,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Assert: _assert,
    ast.Pass: lambda walk, node: None,
    ast.Break: lambda walk, node: walk.line("break"),
    ast.Continue: lambda walk, node: walk.line("continue"),
}
