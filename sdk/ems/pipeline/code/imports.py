"""Imports in normal form, and what they bind and load."""

from __future__ import annotations

import ast

from .walk import Walk, absolute


def import_plain(walk: Walk, node: ast.Import) -> None:
    """Append `import a.b as c`, one name a line."""
    for alias in node.names:
        root = alias.name.partition(".")[0]
        parent, _, last = alias.name.rpartition(".")
        target = root  # `import a.b as c` looks b up in a, as `from a import b` does
        if alias.asname:
            target = f"{parent}:{last}" if parent else last
        _bind_import(walk, alias.asname or root, target, alias.name)
        walk.line(f"import {alias.name}{f' as {alias.asname}' if alias.asname else ''}")


def import_from(walk: Walk, node: ast.ImportFrom) -> None:
    """Append `from a import b as c`, one name a line, relative modules made absolute."""
    module = absolute(walk.package, node.module or "", node.level)
    for alias in node.names:
        if alias.name == "*":
            walk.stars.append(module)
            walk.top_loads.add(module)
        else:
            name = alias.asname or alias.name
            _bind_import(walk, name, *_names(module, alias.name))
        renamed = f" as {alias.asname}" if alias.asname else ""
        walk.line(f"from {module} import {alias.name}{renamed}")


def _names(module: str, name: str) -> tuple[str, str]:
    """Return what `from module import name` binds and loads: the same."""
    joined = f"{module}:{name}" if module else name
    return joined, joined


def _bind_import(walk: Walk, name: str, target: str, load: str) -> None:
    walk.scope.imports.setdefault(name, []).append(target)
    walk.scope.bound.add(name)
    (walk.loads if walk.scope.deferred() else walk.top_loads).add(load)
    if target == "ems" or target.startswith(("ems.", "ems:")):
        walk.ems[name] = target.replace(":", ".")
