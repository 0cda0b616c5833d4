"""Expressions in normal form: text that is equal for equal code on every Python from 3.11 on.

Every compound operand stands in parentheses, constants are ASCII, nothing depends on how the source
was laid out. Knows expressions and the scopes they open; statements are in `statements`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

from .scope import MUTATORS, Kind, Scope

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_COMPUTED = frozenset(["exec", "eval", "globals"])


class Walk:
    """One reading of a piece of code: its text and, by scope, the names in it.

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

    def listed(self, nodes: Sequence[ast.AST]) -> str:
        """Return expressions in normal form, with commas between them."""
        return ", ".join([self.expr(node) for node in nodes])

    def other(self, node: ast.AST) -> str:
        """Return a node of a kind that this module doesn't know, by its fields that hold anything."""
        shown: list[str] = []
        for field in node._fields:
            value = getattr(node, field, None)
            if value is None or value == [] or field in ("ctx", "type_comment"):
                continue
            items: list[Any] = value if isinstance(value, list) else [value]
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
    arguments = [walk.expr(argument) for argument in node.args]
    arguments += [keyword(walk, each) for each in keywords]
    return f"{text}({', '.join(arguments)})"


def is_ems(walk: Walk, chain: str, words: Sequence[str] = ()) -> bool:
    """Return whether a chain stands for something of EMS, or for one of `words` in it."""
    root = chain.partition(".")[0]
    if root not in walk.ems:
        return False
    return not words or (walk.ems[root] + chain[len(root) :]).rpartition(".")[2] in words


def _named_call(walk: Walk, node: ast.Call, name: str) -> None:
    if name in ("import_module", "__import__"):
        _import_call(walk, node)
    elif name == "setattr" and node.args:
        walk.changes(node.args[0])
    elif name in ("getattr", "hasattr") and len(node.args) >= 2:
        _getattr_call(walk, node, name)
    elif name in _COMPUTED:
        _mark(walk, node, name, name)


def _getattr_call(walk: Walk, node: ast.Call, name: str) -> None:
    target, attribute = node.args[0], node.args[1]
    chain = chain_of(target)
    if isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
        if chain is not None and not isinstance(target, ast.Subscript):
            walk.scope.use(chain.partition(".")[0], f"{chain}.{attribute.value}")
    elif name == "getattr" and chain is not None:
        _mark(walk, node, "getattr", chain)


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


def absolute(package: str, module: str, level: int) -> str:
    """Return the absolute name of a module imported with `level` leading dots in `package`."""
    if not level:
        return module
    parents = package.split(".") if package else []
    kept = parents[: len(parents) - level + 1]
    return ".".join([*kept, *([module] if module else [])])


def keyword(walk: Walk, node: ast.keyword) -> str:
    """Return a keyword argument of a call or a class."""
    value = walk.expr(node.value)
    return f"**{value}" if node.arg is None else f"{node.arg}={value}"


def _subscript(walk: Walk, node: ast.Subscript) -> str:
    value = node.value
    if type(node.ctx) is not ast.Load:
        walk.changes(value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "globals":
        index = node.slice
        if isinstance(index, ast.Constant) and isinstance(index.value, str):
            walk.scope.use(index.value, index.value)
            return f"globals()[{ascii(index.value)}]"
    elif isinstance(value, ast.Attribute) and chain_of(value) == "sys.modules":
        own = isinstance(node.slice, ast.Name) and node.slice.id == "__name__"
        if own:
            walk.scope.use("__name__", "__name__.*")
        elif type(node.ctx) is ast.Load:
            _mark(walk, node, "import", "sys.modules")
    return f"{walk.expr(value)}[{walk.expr(node.slice)}]"


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


def _walrus(walk: Walk, node: ast.NamedExpr) -> str:
    walk.scope.binder().bound.add(node.target.id)
    return f"({node.target.id} := {walk.expr(node.value)})"


def _yield(walk: Walk, node: ast.Yield) -> str:
    return f"(yield {walk.expr(node.value)})" if node.value else "(yield)"


EXPRESSIONS: dict[type[ast.AST], Callable[[Walk, Any], str]] = {
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Constant: _constant,
    ast.Call: _call,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.Subscript: _subscript,
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
