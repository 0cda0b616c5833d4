"""The tables of resource types that the stand-in serves: a module for each family.

Each has `KINDS`, a list of `Kind`, and where functions are served `CALLS`, by their token.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

from tests.rigs.sky.kind import Call, Kind, Props

INSTEAD = "SKY_KINDS"
"""The environment variable that names modules to serve instead of this folder's, by commas."""

T = TypeVar("T")
Function = Callable[[Call, Props], Props]


@dataclass(frozen=True)
class Tables:
    """All that is served, by token."""

    kinds: Mapping[str, Kind]
    calls: Mapping[str, Function]

    @property
    def remembered(self) -> Mapping[str, str]:
        """The types that are kept in the state alone → the call that moto lacks."""
        kinds = sorted(self.kinds.values(), key=lambda kind: kind.token)
        return {kind.token: kind.remembered for kind in kinds if kind.remembered}


def collect(modules: Iterable[ModuleType] | None = None) -> Tables:
    """Gather the tables of `modules`, by default this folder's; the same token twice is refused."""
    kinds: dict[str, tuple[Kind, str]] = {}
    calls: dict[str, tuple[Function, str]] = {}
    for module in _modules() if modules is None else modules:
        for kind in getattr(module, "KINDS", ()):
            _once(kinds, kind.token, kind, module.__name__)
        for token, function in getattr(module, "CALLS", {}).items():
            _once(calls, token, function, module.__name__)
    return Tables(
        {token: kind for token, (kind, _) in kinds.items()},
        {token: function for token, (function, _) in calls.items()},
    )


def notes() -> list[str]:
    """Return what must be said of a run on the stand-in: the types that it doesn't make."""
    known = [f"{token} ({call})" for token, call in collect().remembered.items()]
    if not known:
        return []
    head = "remembered, not made (moto lacks the call): "
    return textwrap.wrap(head + ", ".join(known), 100, subsequent_indent="  ")


def _modules() -> Iterable[ModuleType]:
    names = [f"{__name__}.{found.name}" for found in pkgutil.iter_modules(__path__)]
    instead = [name for name in os.environ.get(INSTEAD, "").split(",") if name]
    return [importlib.import_module(name) for name in sorted(instead or names)]


def _once(served: dict[str, tuple[T, str]], token: str, value: T, module: str) -> None:
    if token in served:
        raise LookupError(f"{token}: in {served[token][1]} and in {module} (allowed: once)")
    served[token] = (value, module)
