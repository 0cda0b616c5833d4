"""Patterns of `match` in normal form, and the names that they bind."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from .walk import Walk


def pattern(walk: Walk, node: ast.pattern | None) -> str:
    """Return a pattern of `match` in normal form."""
    bound = walk.scope.bound
    match node:
        case ast.MatchValue():
            return walk.expr(node.value)
        case ast.MatchSingleton():
            return repr(node.value)
        case ast.MatchSequence():
            return f"[{_patterns(walk, node.patterns)}]"
        case ast.MatchStar():
            bound.update([node.name] if node.name else [])
            return f"*{node.name or '_'}"
        case ast.MatchOr():
            return f"({' | '.join([pattern(walk, each) for each in node.patterns])})"
        case ast.MatchAs():
            bound.update([node.name] if node.name else [])
            inner = f"{pattern(walk, node.pattern)} as " if node.pattern is not None else ""
            return f"({inner}{node.name or '_'})"
        case ast.MatchMapping():
            bound.update([node.rest] if node.rest else [])
            pairs = zip(node.keys, node.patterns, strict=True)
            items = [f"{walk.expr(key)}: {pattern(walk, value)}" for key, value in pairs]
            return f"{{{', '.join(items + ([f'**{node.rest}'] if node.rest else []))}}}"
        case ast.MatchClass():
            named = zip(node.kwd_attrs, node.kwd_patterns, strict=True)
            items = [pattern(walk, each) for each in node.patterns]
            items += [f"{name}={pattern(walk, each)}" for name, each in named]
            return f"{walk.expr(node.cls)}({', '.join(items)})"
        case _:
            return "" if node is None else walk.other(node)


def _patterns(walk: Walk, nodes: Sequence[ast.pattern]) -> str:
    return ", ".join([pattern(walk, node) for node in nodes])
