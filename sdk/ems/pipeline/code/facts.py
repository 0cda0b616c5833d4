"""From the source of one module to its facts: pure, the same on every Python from 3.11 on.

Knows one module's syntax tree. Does not know which imports lead into the project, nor any file.
"""

from __future__ import annotations

import ast

from .items import Item, Reading, ems_names, flat, read_item
from .statements import statement
from .symbols import BASE, TOP, Facts, Mark, Symbol, Write, digest_of
from .walk import Walk


def read(source: bytes | str, module: str, *, package: bool) -> Facts:
    """Return the facts of a module from its source; raises SyntaxError as the compiler does.

    `package` says whether the module is a package's `__init__`, from which relative imports start.
    """
    tree = ast.parse(source)
    inside = module if package else module.rpartition(".")[0]
    reading = Reading(inside, ems_names(tree))
    for node in flat(tree.body):
        read_item(reading, node)
    return _Assembly(reading, module, tree).facts(package)


def read_program(source: bytes | str) -> Facts:
    """Return the facts of a file that is run as a program: one symbol, `TOP`, is all of it."""
    tree = ast.parse(source)
    walk = Walk("", ems_names(tree))
    for node in tree.body:
        statement(walk, node)
    text = "\n".join(walk.lines)
    loads = tuple(sorted(walk.loads | walk.top_loads))
    symbol: Symbol = (digest_of(text), "data", (), (), (), (), (), ())
    return Facts("", False, {TOP: symbol}, {}, (), None, loads, (), (), {TOP: text})


class _Assembly:
    """Items put together by the name that they define."""

    def __init__(self, reading: Reading, module: str, tree: ast.Module) -> None:
        self.items = reading.items
        self.stars = tuple(dict.fromkeys(reading.stars))
        self.loads = tuple(sorted(reading.loads))
        self.names = {name: tuple(dict.fromkeys(to)) for name, to in reading.names.items()}
        self.module = module
        self.tree = tree
        self.place = {id(item): place for place, item in enumerate(reading.items)}
        self.groups = self._groups()

    def facts(self, package: bool) -> Facts:
        top = [item for item in self.items if item.effect]
        texts: dict[str, str] = {}
        symbols: dict[str, Symbol] = {}
        for name, items in [*self.groups.items(), *([(TOP, top)] if top else [])]:
            symbols[name], texts[name] = self._symbol(name, items)
        return Facts(
            module=self.module,
            package=package,
            symbols=symbols,
            names=self.names,
            stars=self.stars,
            exports=_exports(self.tree),
            loads=self.loads,
            idle=self._idle(package),
            writers=tuple(name for name, symbol in symbols.items() if symbol[5]),
            texts=texts,
        )

    def _groups(self) -> dict[str, list[Item]]:
        """Return the items that make up each name, and settle which have effects beyond names."""
        defined: dict[str, list[Item]] = {}
        for item in self.items:
            for name in item.scope.bound:
                defined.setdefault(name, []).append(item)
        own = {name for name, some in defined.items() if all(item.fresh for item in some)}
        groups: dict[str, list[Item]] = {}
        for item in self.items:
            item.effect = item.effect or not item.roots <= own
            touched = item.scope.bound if item.effect else item.scope.bound | item.roots
            for name in sorted(touched):
                groups.setdefault(name, []).append(item)
        return groups

    def _symbol(self, name: str, items: list[Item]) -> tuple[Symbol, str]:
        uses: dict[str, set[str]] = {}
        for item in items:
            for root, chains in item.uses().items():
                uses.setdefault(root, set()).update(chains)
        text = self._text(name, items, uses)
        marks = tuple(self._marks(items))
        near = {root for root in uses if root in self.groups}
        if "__name__.*" in uses.get("__name__", ()) or any(mark[0] == "globals" for mark in marks):
            near = {"*"}
        symbol: Symbol = (
            digest_of(text),
            items[0].kind if len(items) == 1 else "data",
            tuple(sorted(near)),
            tuple(sorted(self._refs(items, uses))),
            tuple(sorted(set[str]().union(*(item.loads for item in items)))),
            tuple(self._writes(items)),
            tuple(self._mutates(name, items)),
            marks,
        )
        return symbol, text

    def _refs(self, items: list[Item], uses: dict[str, set[str]]) -> set[str]:
        refs = set[str]().union(*(item.refs for item in items))
        for root, chains in uses.items():
            for target in self.names.get(root, ()):
                refs |= {target + chain[len(root) :] for chain in chains}
            if self.stars and root not in self.groups and root not in self.names:
                refs |= {f"?{chain}" for chain in chains}
        return refs

    def _text(self, name: str, items: list[Item], uses: dict[str, set[str]]) -> str:
        """Return what is hashed: what imported names stand for, then the statements in order."""
        names = self.names
        lines = [
            f"# {root} = {' or '.join(names[root]).replace(':', '.')}"
            for root in sorted(uses)
            if root in names
        ]
        for item in items:
            if item.kind != "def":
                lines += self._order(name, item)
            lines.append(item.text)
        return "\n".join(lines)

    def _order(self, name: str, item: Item) -> list[str]:
        """Return which of several definitions of a name counts for what runs at import."""
        found: list[str] = []
        place = self.place[id(item)]
        for root in sorted(item.scope.used):
            several = self.groups.get(root, ())
            if root != name and len(several) > 1:
                before = sum(self.place[id(each)] < place for each in several)
                found.append(f"# after {before} of {len(several)} of {root}")
        return found

    def _absolute(self, chain: str) -> str | None:
        if chain.startswith("="):
            return chain[1:]
        root = chain.partition(".")[0]
        if root in self.names:
            return self.names[root][0] + chain[len(root) :]
        return f"{self.module}.{chain}" if root in self.groups else None

    def _writes(self, items: list[Item]) -> list[Write]:
        found: dict[Write, None] = {}
        for item in items:
            for chain, how in item.writes:
                if (target := self._absolute(chain)) is not None:
                    found[target, how] = None
        return list(found)

    def _mutates(self, name: str, items: list[Item]) -> list[tuple[int, str]]:
        found: set[tuple[int, str]] = set()
        for item in items:
            for depth, chain in item.scope.mutated:
                if depth and (target := self._absolute(chain)) is not None:
                    found.add((depth - 1, target))
            if item.collects:
                found.add((BASE, f"{self.module}.{name}"))
        return sorted(found)

    def _marks(self, items: list[Item]) -> list[Mark]:
        found: list[Mark] = []
        for kind, line, shown, chain in (mark for item in items for mark in item.scope.marks):
            target = self._absolute(chain)
            if kind == "getattr":
                keep = target is not None
            elif kind == "import":
                plain = target.replace(":", ".") if target is not None else ""
                keep = plain in _IMPORTERS or (target is None and chain == "__import__")
            else:
                keep = target is None
            if keep:
                found.append((kind, line, shown, target or ""))
        return found

    def _idle(self, package: bool) -> tuple[str, ...]:
        """Return what is imported but never used: perhaps for what its import does."""
        used: set[str] = set(_exports(self.tree) or ())
        for item in self.items:
            used.update(item.scope.used, item.scope.later)
        plain = {
            alias.asname or alias.name.partition(".")[0]
            for node in self.tree.body
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        rest = [name for name in self.names if name not in used and (not package or name in plain)]
        if rest:
            noted = _annotated(self.tree)
            rest = [name for name in rest if name not in noted]
        return tuple(sorted({target for name in rest for target in self.names[name]}))


_IMPORTERS = (
    "importlib.import_module",
    "importlib.__import__",
    "sys.modules",
    "builtins.__import__",
)


def _exports(tree: ast.Module) -> tuple[str, ...] | None:
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple() as value
            ):
                words = [each.value for each in value.elts if isinstance(each, ast.Constant)]
                return tuple(word for word in words if isinstance(word, str))
            case _:
                continue
    return None


def _annotated(tree: ast.Module) -> set[str]:
    """Return the names in annotations, quoted ones included."""
    found: set[str] = set()
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            if isinstance(annotation, ast.expr):
                found |= _words(annotation)
    return found


def _words(annotation: ast.expr) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            found.update(
                "".join(c if c.isidentifier() or c.isdigit() else " " for c in text).split()
            )
    return found
