"""Project modules come from the bundle, and a task imports those alone that its code names.

Knows module names. A module that another task of this worker loaded is refused all the same. Does
not know how the names were found.
"""

from __future__ import annotations

import builtins
import importlib
import sys

from . import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, FrozenSet, Iterable, Optional, Sequence, Set


class ForbiddenImport(ImportError):
    """A task imported a project module that is not part of its code; shown as an ImportError."""


ForbiddenImport.__module__, ForbiddenImport.__qualname__ = "builtins", "ImportError"


class Guard:
    """Stands in for `__import__` and `import_module`; checks while a task runs."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._known = frozenset(modules)
        self._roots = frozenset(name.partition(".")[0] for name in self._known)
        self._allowed: Optional[FrozenSet[str]] = None
        self._task = ""
        self._seed = 0
        self._import: Any = None
        self._import_module: Any = None

    def install(self) -> None:
        """Put the guard in place, for the life of the process."""
        self._import = builtins.__import__
        self._import_module = importlib.import_module
        builtins.__import__ = self._guarded_import  # type: ignore[assignment]
        importlib.import_module = self._guarded_import_module  # type: ignore[assignment]

    def enter(self, task: str, allowed: FrozenSet[str], seed: int) -> None:
        """Check imports against this task's list, until `leave`."""
        self._task, self._allowed, self._seed = task, allowed, seed

    def leave(self) -> None:
        """Check nothing."""
        self._allowed = None

    def _guarded_import(
        self,
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Optional[Sequence[str]] = (),
        level: int = 0,
    ) -> Any:
        root = name.partition(".")[0]
        if self._allowed is not None and (level or root in self._roots):
            full = _absolute(name, globals, level) if level else name
            self._check(full, fromlist or ())
            try:
                return self._import(name, globals, locals, fromlist, level)
            except ModuleNotFoundError as error:
                raise self._explained(error) from None
        if root not in _SEEDED_ROOTS or self._allowed is None:
            return self._import(name, globals, locals, fromlist, level)
        return self._seeding(name, globals, locals, fromlist, level)

    def _seeding(self, *arguments: Any) -> Any:
        before = [name in sys.modules for name in settle.SEEDED]
        module = self._import(*arguments)
        for name, was in zip(settle.SEEDED, before):
            if not was and name in sys.modules:
                settle.seed_one(name, self._seed)
        return module

    def _guarded_import_module(self, name: str, package: Optional[str] = None) -> Any:
        if self._allowed is not None:
            full = name
            if name.startswith(".") and package:
                level = len(name) - len(name.lstrip("."))
                full = _absolute(name[level:], {"__package__": package}, level)
            self._check(full, ())
            if full.partition(".")[0] in _SEEDED_ROOTS:
                self._seeding(full)
        return self._import_module(name, package)

    def _check(self, full: str, fromlist: Iterable[str]) -> None:
        allowed = self._allowed
        if allowed is None or full.partition(".")[0] not in self._roots:
            return
        for name in [*(full + "." + item for item in fromlist), full]:
            if name in self._known and name not in allowed:
                raise self._refusal(name)

    def _refusal(self, module: str) -> ForbiddenImport:
        return ForbiddenImport(_TEXT % (self._task, module, module), name=module)

    def _explained(self, error: ModuleNotFoundError) -> ImportError:
        name = error.name or ""
        if name.partition(".")[0] not in self._roots:
            return error
        return self._refusal(name)


_TEXT = (
    "%s imports the project module %r, which is not part of its code as EMS read it; "
    "declare it: @ems.task(uses=[%r])"
)
_SEEDED_ROOTS = frozenset(name.partition(".")[0] for name in settle.SEEDED)


def _absolute(name: str, globals: Any, level: int) -> str:
    known: Dict[str, Any] = globals or {}
    package = str(known.get("__package__") or "")
    if not package:
        package = str(known.get("__name__", "")).rpartition(".")[0]
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return "%s.%s" % (base, name) if name and base else base or name


def with_parents(modules: Iterable[str]) -> FrozenSet[str]:
    """Return module names with the packages that they lie in."""
    found: Set[str] = set()
    for name in modules:
        while name:
            found.add(name)
            name = name.rpartition(".")[0]
    return frozenset(found)
