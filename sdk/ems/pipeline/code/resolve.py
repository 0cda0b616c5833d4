"""From a dotted name as code uses it to what it stands for in the project.

Pure over facts: a `Library` finds modules and reads them. Every answer is remembered. Does not know
what a task reaches; that is `reach`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from .finder import Found
from .scope import MUTATORS
from .symbols import BASE, CALL, Facts

# Names that go deeper lead into themselves: a package that has a part of its part for itself.
_DEEPEST = 40

# A symbol of a module, and whether attributes of it were asked for beyond its name.
Target = tuple[Facts, str, bool]


class Library(Protocol):
    """Modules of one project."""

    def find(self, name: str) -> Found | None:
        """Return the module of a dotted name, None where it is not the project's."""
        ...

    def facts(self, found: Found) -> Facts | None:
        """Return the facts of a module, None for a folder without `__init__.py`."""
        ...


@dataclass(slots=True)
class Resolved:
    """What a dotted name stands for: symbols, whole modules, packages from elsewhere.

    `passed` are the modules of the project that lie on the way: names as written.
    """

    symbols: list[Target] = field(default_factory=list[Target])
    wholes: list[Found] = field(default_factory=list[Found])
    packages: set[str] = field(default_factory=set[str])
    passed: list[str] = field(default_factory=list[str])

    def take(self, other: Resolved) -> None:
        """Add what a name stands for that an import bound: its module brings that import along."""
        self.symbols += other.symbols
        self.wholes += other.wholes
        self.packages |= other.packages


class Resolver:
    """Resolves absolute dotted names against the modules of a library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._known: dict[str, Resolved] = {}
        self._stars: dict[tuple[str, str], Resolved] = {}
        self._touched: dict[tuple[str, int], list[Target]] = {}
        self._busy: set[str] = set()
        self._cut = False

    def resolve(self, name: str) -> Resolved:
        """Return what an absolute dotted name stands for."""
        known = self._known.get(name)
        if known is not None:
            return known
        if name in self._busy:  # two modules that import a name from each other
            self._cut = True
            return Resolved()
        self._busy.add(name)
        try:
            found = self._follow(name)
        finally:
            self._busy.discard(name)
        self._cut = self._cut and bool(self._busy)
        if not self._cut:  # else it may lack what the outer name will have
            self._known[name] = found
        return found

    def soft(self, name: str) -> Resolved:
        """Return the symbols that a string stands for, if it reads like the name of one."""
        if self.library.find(name.partition(".")[0]) is None:
            return Resolved()
        found = self.resolve(name)
        return Resolved(symbols=found.symbols, passed=found.passed) if found.symbols else Resolved()

    def star(self, facts: Facts, chain: str) -> Resolved:
        """Return what a name stands for that a module can only have from its star imports."""
        key = (facts.module, chain)
        if key not in self._stars:
            self._stars[key] = result = Resolved()
            for module in facts.stars:
                found = self.library.find(module)
                if found is None:
                    result.packages |= _package(module)
                elif self._gives(found, chain.partition(".")[0], set()):
                    result.take(self.resolve(f"{module}.{chain}"))
        return self._stars[key]

    def touched(self, name: str, how: int) -> list[Target]:
        """Return the symbols that a use of `name` at import may change (see `symbols.Write`)."""
        key = (name, how)
        if key not in self._touched:
            self._touched[key] = []  # a class can't be its own base
            self._touched[key] = list(self._changed(name, how))
        return self._touched[key]

    def _changed(self, name: str, how: int) -> Iterator[Target]:
        for target in self.resolve(name).symbols:
            facts, symbol, beyond = target
            _, _, _, _, _, writes, mutates, _ = facts.symbols[symbol]
            if how == BASE:
                if any(depth == BASE for depth, _ in mutates):
                    yield target
                for base, kind in writes:
                    if kind == BASE:
                        yield from self.touched(base, BASE)
            elif beyond:
                if how != CALL or name.rpartition(".")[2] in MUTATORS:
                    yield target
            else:
                for depth, owner in mutates:
                    if 0 <= depth <= max(how, 0):
                        yield from self.resolve(owner).symbols

    def _follow(self, name: str) -> Resolved:
        module, colon, rest = name.partition(":")
        if colon and (found := self.library.find(module)) is not None:
            start = module.split(".")
            return self._walk(found, [*start, *rest.split(".")], len(start))
        words = name.replace(":", ".").split(".")
        found = self.library.find(words[0])
        if found is None or len(words) > _DEEPEST:
            return Resolved(packages=_package(name))
        return self._walk(found, words, 1)

    def _walk(self, found: Found, words: list[str], at: int) -> Resolved:
        result = Resolved()
        while True:
            if found.path:
                result.passed.append(".".join(words[:at]))
            if at == len(words):
                result.wholes.append(found)
                return result
            facts, word = self.library.facts(found), words[at]
            if facts is not None and self._in_module(result, facts, words, at):
                return result
            inner = self.library.find(".".join(words[:at]) + "." + word)
            if inner is None:
                break
            found, at = inner, at + 1
        self._unknown(result, found, facts, words, at)
        return result

    def _in_module(self, result: Resolved, facts: Facts, words: list[str], at: int) -> bool:
        """Add what a module's own name stands for; return False where it has no such name."""
        word = words[at]
        if word in facts.symbols:
            result.symbols.append((facts, word, at + 1 < len(words)))
        rest = "".join(f".{each}" for each in words[at + 1 :])
        inner = (f"{facts.module}:{word}", f"{facts.module}.{word}")  # `from . import inner`
        targets = [target for target in facts.names.get(word, ()) if target not in inner]
        for target in targets:
            result.take(self.resolve(target + rest))
        return word in facts.symbols or bool(targets)

    def _unknown(
        self, result: Resolved, found: Found, facts: Facts | None, words: list[str], at: int
    ) -> None:
        """Add what a name may stand for that a module doesn't define itself."""
        if facts is None:  # a folder that happens to have the name of an installed package
            result.packages |= _package(words[0])
        elif words[at] == "__dict__":
            result.wholes.append(found)
        elif facts.stars:
            result.take(self.star(facts, ".".join(words[at:])))
        elif "__getattr__" in facts.symbols:
            result.symbols.append((facts, "__getattr__", True))

    def _gives(self, found: Found, word: str, seen: set[str]) -> bool:
        facts = self.library.facts(found)
        if facts is None or found.name in seen:
            return False
        seen.add(found.name)
        if facts.exports is not None and word not in facts.exports:
            return False
        if facts.exports is None and word.startswith("_"):
            return False
        if word in facts.symbols or word in facts.names:
            return True
        if facts.exports is not None and self.library.find(f"{found.name}.{word}") is not None:
            return True
        for module in facts.stars:
            inner = self.library.find(module)
            if inner is None or self._gives(inner, word, seen):
                return True
        return False


def _package(name: str) -> set[str]:
    """Return the top-level package that a name comes from, none for Python's own and EMS."""
    top = name.replace(":", ".").partition(".")[0]
    return (
        set() if top in sys.stdlib_module_names or top in ("ems", "builtins", "__main__") else {top}
    )
