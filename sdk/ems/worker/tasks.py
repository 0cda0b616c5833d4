"""A Python task of a parcel: where its function is, and how it is called by argument names.

Knows modules and calling conventions. Does not know versions or messages.
"""

from __future__ import annotations

from importlib import import_module

from .guard import with_parents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple


class Task:
    """A task of a parcel; its function is imported when the first version needs it."""

    def __init__(self, spec: Dict[str, Any]) -> None:
        self.spec = spec
        self.name: str = spec.get("name") or spec.get("qualname") or "task"
        self.pickle = bool(spec.get("pickle"))
        self.is_command = spec.get("kind") == "command"
        self.allowed = with_parents([*(spec.get("modules") or ()), spec.get("module") or ""])
        self._function: Any = None
        self._positional: Tuple[str, ...] = ()
        self._unnamed: Tuple[str, ...] = ()

    def call(self, arguments: Dict[str, Any]) -> Any:
        """Call the function with the arguments by name; `*name` and `**name` hold the rest."""
        function = self._function
        if function is None:
            function = self._load()
        if not self._unnamed and not any(name[:1] == "*" for name in arguments):
            return function(**arguments)
        listed, named = self._placed(arguments)
        return function(*listed, **named)

    def _placed(self, arguments: Dict[str, Any]) -> Tuple[List[Any], Dict[str, Any]]:
        extra: List[Any] = []
        named: Dict[str, Any] = {}
        for name, value in arguments.items():
            if name[:2] == "**":
                named.update(value)
            elif name[:1] == "*":
                extra.extend(value)
            else:
                named[name] = value
        first = self._positional if extra else self._unnamed
        return [*(named.pop(name) for name in first if name in named), *extra], named

    def _load(self) -> Any:
        try:
            found: Any = import_module(self.spec["module"])
            for part in self.spec["qualname"].split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError, SyntaxError) as error:
            error.ems_import = True  # type: ignore[union-attr]
            raise
        inner = found
        while hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        code: Any = getattr(inner, "__code__", None)
        if code is not None:
            names: Tuple[str, ...] = code.co_varnames
            self._positional = names[: code.co_argcount]
            self._unnamed = names[: code.co_posonlyargcount]
            if _takes_no_names(found):
                self._unnamed = self._positional
        self._function = found
        return found


def _takes_no_names(function: Any) -> bool:
    """Whether a function, a wrapper such as `inner(*args)`, takes more arguments by place alone."""
    flags: int = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return bool(flags & 0x04) and not flags & 0x08
