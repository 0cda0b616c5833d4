"""Which names a piece of code binds and which it takes from outside.

Knows Python's scoping rules for one top-level statement. Knows no syntax trees and no modules.
A used name is kept with the attributes that follow it: `h.sub.f` is used under the root `h`.
"""

from __future__ import annotations

from typing import Literal

from .symbols import Mark

Kind = Literal["module", "function", "class", "comprehension"]

# Methods that change the object they are called on.
MUTATORS = frozenset(
    (
        "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem",
        "register", "remove", "reverse", "setdefault", "sort", "update",
    )
)  # fmt: skip


class Scope:
    """One scope while it is read; what is free in it goes to its parent when it is left.

    `used` runs when the scope runs, `later` when a function defined in it is called.
    """

    __slots__ = (
        "bound",
        "imports",
        "kind",
        "later",
        "marks",
        "mutated",
        "outer",
        "outside",
        "parent",
        "used",
    )

    def __init__(self, kind: Kind, parent: Scope | None = None) -> None:
        self.kind = kind
        self.parent = parent
        self.bound: set[str] = set()
        self.outer: set[str] = set()  # declared global
        self.outside: set[str] = set()  # declared nonlocal
        self.used: dict[str, set[str]] = {}
        self.later: dict[str, set[str]] = {}
        self.imports: dict[str, list[str]] = {}
        self.mutated: list[tuple[int, str]] = []
        self.marks: list[Mark] = []

    def use(self, root: str, chain: str) -> None:
        """Note that `chain`, which starts with `root`, is used here."""
        chains = self.used.get(root)
        if chains is None:
            self.used[root] = {chain}
        else:
            chains.add(chain)

    def binder(self) -> Scope:
        """Return the scope that an assignment expression binds in."""
        scope = self
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        return scope

    def leave(self, refs: set[str]) -> Scope:
        """Give what is free to the parent and names of imports, made absolute, to `refs`."""
        parent = self.parent
        assert parent is not None
        deferred = self.kind == "function"
        self.bound -= self.outside
        self._pass(self.used, parent.later if deferred else parent.used, refs)
        if self.kind == "class":  # a method doesn't see the names of its class
            _merge(self.later, parent.later)
        else:
            self._pass(self.later, parent.later, refs)
        for depth, chain in self.mutated:
            if (free := self._free(chain)) is not None:
                parent.mutated.append((depth + deferred, free))
        for kind, line, shown, chain in self.marks:
            if (free := self._free(chain)) is not None:
                parent.marks.append((kind, line, shown, free))
        return parent

    def _pass(self, chains: dict[str, set[str]], to: dict[str, set[str]], refs: set[str]) -> None:
        for root, some in chains.items():
            if root in self.outer:
                _merge({root: some}, self._module().later)
                continue
            for target in self.imports.get(root, ()):
                refs.update([target + chain[len(root) :] for chain in some])
            if root not in self.bound:
                _merge({root: some}, to)

    def deferred(self) -> bool:
        """Return whether this runs only when a function is called."""
        scope: Scope | None = self
        while scope is not None and scope.kind != "function":
            scope = scope.parent
        return scope is not None

    def _module(self) -> Scope:
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def _free(self, chain: str) -> str | None:
        """Return the chain as the parent sees it: absolute (`=a.b`), the same, or None if local."""
        if chain.startswith("="):
            return chain
        root = chain.partition(".")[0]
        if root in self.imports:
            return "=" + self.imports[root][0] + chain[len(root) :]
        return None if root in self.bound and root not in self.outer else chain


def _merge(source: dict[str, set[str]], to: dict[str, set[str]]) -> None:
    for root, chains in source.items():
        known = to.get(root)
        if known is None:
            to[root] = set(chains)
        else:
            known |= chains
