"""What a symbol reaches: pure over facts, transitively and across modules.

Symbols are followed one by one; a module that is loaded on the way brings the statements with
effects at its top and the modules that it imports. Does not know files, nor how facts were read.
"""

from __future__ import annotations

from collections.abc import Iterable

from .finder import Found
from .resolve import Resolved, Resolver
from .symbols import TOP, Facts, Mark


class Reach:
    """What was reached so far: symbols by module, loaded modules by name, packages, marks."""

    def __init__(self, resolver: Resolver) -> None:
        self.symbols: dict[str, set[str]] = {}
        self.facts: dict[str, Facts] = {}
        self.modules: dict[str, Found] = {}
        self.packages: set[str] = set()
        self.marks: list[tuple[Facts, str, Mark]] = []
        self._resolver = resolver
        self._library = resolver.library
        self._queue: list[tuple[Facts, str]] = []
        self._opened: list[Facts] = []
        self._refs: set[str] = set()
        self._loads: set[str] = set()
        self._foreigners: set[str] = set()
        self._waiting: dict[str, dict[str, list[tuple[Facts, str]]]] = {}

    def add(self, facts: Facts, name: str) -> None:
        """Reach a symbol and, with `run`, all that follows from it."""
        seen = self.symbols.get(facts.module)
        if seen is None:
            seen = self._open(facts)
        if name not in seen:
            seen.add(name)
            self._queue.append((facts, name))
            waiting = self._waiting.get(facts.module)
            if waiting is not None and name in waiting:
                for follower in waiting.pop(name):
                    self.add(*follower)

    def whole(self, found: Found) -> None:
        """Reach everything that a module defines or, as a package, imports."""
        self.load(found.name)
        facts = self._library.facts(found)
        if facts is None:
            return
        self._all_of(facts)
        for targets in facts.names.values():
            for target in targets:
                resolved = self._resolver.resolve(target)
                if resolved.symbols or facts.package:
                    self.ref(target)

    def ref(self, name: str) -> None:
        """Reach what an absolute dotted name stands for."""
        if name not in self._refs:
            self._refs.add(name)
            soft = name.startswith("~")
            self._take(self._resolver.soft(name[1:]) if soft else self._resolver.resolve(name))

    def load(self, name: str) -> None:
        """Load a module as an import does: `a.b`, or `a:b` where b may be a module in a."""
        if name in self._loads or name.startswith("<"):  # written for live functions: no file
            return
        self._loads.add(name)
        module, _, inner = name.partition(":")
        words = module.split(".")
        for end in range(1, len(words) + 1):
            if not self._load_one(".".join(words[:end])):
                self.packages |= self._resolver.resolve(module).packages
                return
        if inner:
            self._load_one(f"{module}.{inner}")

    def run(self) -> None:
        """Follow all that was added, to the end."""
        queue = self._queue
        while queue or self._opened:
            while self._opened:
                self._load_all(self._opened.pop().loads)
            if not queue:
                break
            facts, name = queue.pop()
            _, _, near, refs, loads, _, _, marks = facts.symbols[name]
            seen = self.symbols[facts.module]
            for other in near:
                if other in seen:
                    continue
                if other == "*":
                    self._all_of(facts)
                else:
                    self.add(facts, other)
            for ref in refs:
                if ref not in self._refs:
                    self._ref(facts, ref)
            for load in loads:
                self.load(load)
            for mark in marks:
                self.marks.append((facts, name, mark))

    def _all_of(self, facts: Facts) -> None:
        for name in facts.symbols:
            self.add(facts, name)

    def _ref(self, facts: Facts, ref: str) -> None:
        if ref.startswith("?"):
            self._take(self._resolver.star(facts, ref[1:]))
        else:
            self.ref(ref)

    def _take(self, resolved: Resolved) -> None:
        for name in resolved.passed:
            self.load(name)
        for facts, symbol, _ in resolved.symbols:
            self.add(facts, symbol)
        for found in resolved.wholes:
            self.whole(found)
        self.packages |= resolved.packages

    def _load_one(self, name: str) -> bool:
        """Load one module of the project; return False where the name is not the project's."""
        found = self._library.find(name)
        if found is None:
            return False
        if found.path and name not in self.modules:
            self.modules[name] = found
            facts = self._library.facts(found)
            if facts is not None and facts.module not in self.symbols:
                self._open(facts)
        return True

    def _open(self, facts: Facts) -> set[str]:
        """Take a module in: what it imports and does at import, what it may change elsewhere."""
        self.facts[facts.module] = facts
        seen = self.symbols[facts.module] = set[str]()
        self.load(facts.module)
        self._opened.append(facts)
        if TOP in facts.symbols:
            self.add(facts, TOP)
        for name in facts.idle:
            self.packages |= self._resolver.resolve(name).packages
        for name in facts.writers:
            self._wait(facts, name)
        return seen

    def _load_all(self, loads: Iterable[str]) -> None:
        for name in loads:  # a package from elsewhere counts where its names are used
            if name not in self._loads and name not in self._foreigners:
                if self._library.find(name.partition(":")[0].partition(".")[0]) is not None:
                    self.load(name)
                else:
                    self._foreigners.add(name)

    def _wait(self, facts: Facts, name: str) -> None:
        """Reach a symbol as soon as something is reached that its definition may change."""
        for target, how in facts.symbols[name][5]:
            for owner, symbol, _ in self._resolver.touched(target, how):
                if symbol in self.symbols.get(owner.module, ()):
                    self.add(facts, name)
                elif (owner.module, symbol) != (facts.module, name):
                    waiting = self._waiting.setdefault(owner.module, {})
                    waiting.setdefault(symbol, []).append((facts, name))
