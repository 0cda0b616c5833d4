"""Expressions in normal form: text that is equal for equal code on every Python from 3.11 on.

Every compound operand stands in parentheses, constants are ASCII, nothing depends on how the source
was laid out. Knows expressions and the scopes they open; statements are in `statements`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

from .parameters import arguments, bind_arguments
from .walk import EXPRESSIONS, Walk

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def _name(walk: Walk, node: ast.Name) -> str:
    name = node.id
    if type(node.ctx) is ast.Load:
        walk.scope.use(name, name)
    else:
        walk.scope.bound.add(name)
        if name in walk.scope.outer:
            walk.scope.mutated.append((0, name))
    return name


def _attribute(walk: Walk, node: ast.Attribute) -> str:
    if type(node.ctx) is not ast.Load:
        walk.changes(node.value)
    attributes = [node.attr]
    value = node.value
    while type(value) is ast.Attribute:
        attributes.append(value.attr)
        value = value.value
    if type(value) is ast.Name:
        attributes.append(value.id)
        attributes.reverse()
        chain = ".".join(attributes)
        walk.scope.use(value.id, chain)
        return chain
    attributes.reverse()
    text = walk.expr(value)
    text = f"({text})" if type(value) is ast.Constant else text
    return f"{text}.{'.'.join(attributes)}"


def _constant(walk: Walk, node: ast.Constant) -> str:
    value: Any = node.value
    if type(value) is str:
        if ("." in value or ":" in value) and len(value) < 200 and _DOTTED.fullmatch(value):
            walk.refs.add("~" + value.replace(":", "."))
        return ascii(value)
    if type(value) is int:
        return repr(value) if -(2**63) < value < 2**63 else hex(value)
    if type(value) in (float, complex):
        return repr(value).replace("inf", "1e309")
    return repr(value)


def _format(walk: Walk, node: ast.JoinedStr) -> str:
    return f'f"{_pieces(walk, node)}"'


def _pieces(walk: Walk, node: ast.JoinedStr) -> str:
    pieces: list[str] = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            text = str(value.value).encode("unicode_escape").decode("ascii")
            pieces.append(text.replace('"', '\\"').replace("{", "{{").replace("}", "}}"))
        else:
            pieces.append(walk.expr(value))
    return "".join(pieces)


def _formatted(walk: Walk, node: ast.FormattedValue) -> str:
    convert = f"!{chr(node.conversion)}" if node.conversion >= 0 else ""
    spec = ""
    if isinstance(node.format_spec, ast.JoinedStr):
        spec = _pieces(walk, node.format_spec)
    elif node.format_spec is not None:
        spec = walk.expr(node.format_spec)
    return f"{{{walk.expr(node.value)}{convert}{':' + spec if spec else ''}}}"


_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.MatMult: "@", ast.Div: "/", ast.Mod: "%",
    ast.LShift: "<<", ast.RShift: ">>", ast.BitOr: "|", ast.BitXor: "^", ast.BitAnd: "&",
    ast.FloorDiv: "//", ast.Pow: "**", ast.Invert: "~", ast.Not: "not ", ast.UAdd: "+",
    ast.USub: "-", ast.And: " and ", ast.Or: " or ", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<",
    ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Is: "is", ast.IsNot: "is not", ast.In: "in",
    ast.NotIn: "not in",
}  # fmt: skip


def operator(node: ast.AST) -> str:
    """Return the sign of an operator."""
    return _OPERATORS[type(node)]


def _binary(walk: Walk, node: ast.BinOp) -> str:
    rights: list[ast.BinOp] = [node]
    left = node.left
    while isinstance(left, ast.BinOp):  # long sums nest to the left
        rights.append(left)
        left = left.left
    text = "(" * len(rights) + walk.expr(left)
    for each in reversed(rights):
        text += f" {_OPERATORS[type(each.op)]} {walk.expr(each.right)})"
    return text


def _unary(walk: Walk, node: ast.UnaryOp) -> str:
    return f"({_OPERATORS[type(node.op)]}{walk.expr(node.operand)})"


def _boolean(walk: Walk, node: ast.BoolOp) -> str:
    return f"({_OPERATORS[type(node.op)].join([walk.expr(value) for value in node.values])})"


def _compare(walk: Walk, node: ast.Compare) -> str:
    text = walk.expr(node.left)
    for op, right in zip(node.ops, node.comparators, strict=True):
        text += f" {_OPERATORS[type(op)]} {walk.expr(right)}"
    return f"({text})"


def _slice(walk: Walk, node: ast.Slice) -> str:
    parts = [walk.expr(part) if part else "" for part in (node.lower, node.upper, node.step)]
    return ":".join(parts)


def _tuple(walk: Walk, node: ast.Tuple) -> str:
    return f"({walk.listed(node.elts)}{',' if node.elts else ''})"


def _dict(walk: Walk, node: ast.Dict) -> str:
    items = [
        f"**{walk.expr(value)}" if key is None else f"{walk.expr(key)}: {walk.expr(value)}"
        for key, value in zip(node.keys, node.values, strict=True)
    ]
    return f"{{{', '.join(items)}}}"


def _comprehension(walk: Walk, generators: Sequence[ast.comprehension], *parts: ast.expr) -> str:
    first = walk.expr(generators[0].iter)  # runs in the scope around it
    walk.enter("comprehension")
    text = ""
    for number, each in enumerate(generators):
        iterated = walk.expr(each.iter) if number else first
        start = " async for " if each.is_async else " for "
        text += f"{start}{walk.expr(each.target)} in {iterated}"
        text += "".join([f" if {walk.expr(test)}" for test in each.ifs])
    shown = ": ".join([walk.expr(part) for part in parts])
    walk.leave()
    return shown + text


def _lambda(walk: Walk, node: ast.Lambda) -> str:
    given = arguments(walk, node.args, annotated=False)
    bind_arguments(walk.enter("function"), node.args)
    body = walk.expr(node.body)
    walk.leave()
    return f"(lambda {given}: {body})"


def _walrus(walk: Walk, node: ast.NamedExpr) -> str:
    walk.scope.binder().bound.add(node.target.id)
    return f"({node.target.id} := {walk.expr(node.value)})"


def _yield(walk: Walk, node: ast.Yield) -> str:
    return f"(yield {walk.expr(node.value)})" if node.value else "(yield)"


_KINDS: dict[type[ast.AST], Callable[[Walk, Any], str]] = {
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Constant: _constant,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.Slice: _slice,
    ast.Tuple: _tuple,
    ast.Dict: _dict,
    ast.JoinedStr: _format,
    ast.FormattedValue: _formatted,
    ast.Lambda: _lambda,
    ast.NamedExpr: _walrus,
    ast.Yield: _yield,
    ast.List: lambda walk, node: f"[{walk.listed(node.elts)}]",
    ast.Set: lambda walk, node: f"{{{walk.listed(node.elts)}}}",
    ast.Starred: lambda walk, node: f"*{walk.expr(node.value)}",
    ast.Await: lambda walk, node: f"(await {walk.expr(node.value)})",
    ast.YieldFrom: lambda walk, node: f"(yield from {walk.expr(node.value)})",
    ast.IfExp: lambda walk, node: (
        f"({walk.expr(node.body)} if {walk.expr(node.test)} else {walk.expr(node.orelse)})"
    ),
    ast.ListComp: lambda walk, node: f"[{_comprehension(walk, node.generators, node.elt)}]",
    ast.SetComp: lambda walk, node: f"{{{_comprehension(walk, node.generators, node.elt)}}}",
    ast.GeneratorExp: lambda walk, node: f"({_comprehension(walk, node.generators, node.elt)})",
    ast.DictComp: lambda walk, node: (
        f"{{{_comprehension(walk, node.generators, node.key, node.value)}}}"
    ),
}
EXPRESSIONS.update(_KINDS)
