"""Fit plain values into the types of settings, and say everything that does not fit.

Knows types and their descriptions. Does not know what a setting means, nor where values come from.
A value that does not fit leaves the default or an empty value in its place, so that the rest can
still be looked at.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from msgspec import NODEFAULT, Struct
from msgspec import inspect as kinds

from ems.errors import did_you_mean
from infra.settings.fault import Fault, Step, at

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlevel = 2


class Unfit(Exception):
    """The value can't be used; `rest` is what is left of it, where something is."""

    def __init__(self, rest: Any = None) -> None:
        super().__init__()
        self.rest = rest


@dataclass
class Fitting:
    """One fitting of values into a type, and the faults that came up."""

    faults: list[Fault] = field(default_factory=list[Fault])
    lost: set[tuple[Step, ...]] = field(default_factory=set[tuple[Step, ...]])
    """Members of mappings that were left out, as they could not be read."""

    def fit(self, kind: Any, value: object, steps: tuple[Step, ...], told: str = "") -> Any:
        """Return the value as the type wants it; raises Unfit after saying what is off."""
        if isinstance(kind, kinds.Metadata):
            said = (kind.extra_json_schema or {}).get("description", told)
            return self.fit(kind.type, value, steps, str(said))
        if isinstance(kind, kinds.UnionType):  # none of the settings has more than `X | None`
            if value is None:
                return None
            kind = next(each for each in kind.types if not isinstance(each, kinds.NoneType))
            return self.fit(kind, value, steps, told)
        if isinstance(kind, kinds.StructType):
            return self._struct(kind, value, steps)
        if isinstance(kind, kinds.DictType):
            return self._mapping(kind, value, steps)
        if isinstance(kind, kinds.VarTupleType):
            return self._list(kind, value, steps)
        if not _fits(kind, value):
            self._say(steps, f"{shown(value)} does not fit", told or allowed(kind))
            raise Unfit
        return value

    def _struct(self, kind: kinds.StructType, value: object, steps: tuple[Step, ...]) -> Struct:
        given = self._keys(value, steps, f"the keys {', '.join(f.name for f in kind.fields)}")
        known = {each.name: each for each in kind.fields}
        for key in given:
            if key not in known:
                near = did_you_mean(str(key), list(known))
                self._say((*steps, str(key)), f"unknown key{near}", ", ".join(known))
        found: dict[str, Any] = {}
        for name, each in known.items():
            if each.required:
                found[name] = _empty(each.type)
            if name not in given:
                if each.required:
                    self._say((*steps, name), "is not set", describe(each.type))
                continue
            try:
                found[name] = self.fit(each.type, given[name], (*steps, name))
            except Unfit as unfit:
                if each.required and unfit.rest is not None:
                    found[name] = unfit.rest
        return kind.cls(**found)

    def _mapping(
        self, kind: kinds.DictType, value: object, steps: tuple[Step, ...]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        given = self._keys(value, steps, "a mapping of names to their settings")
        for key, each in given.items():
            inside = (*steps, str(key))
            try:
                name = self.fit(kind.key_type, key, inside)
                found[name] = self.fit(kind.value_type, each, inside)
            except Unfit:
                self.lost.add(inside)
        if not self._long_enough(kind.min_length, None, len(given), steps):
            raise Unfit(found)
        return found

    def _list(
        self, kind: kinds.VarTupleType, value: object, steps: tuple[Step, ...]
    ) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            self._say(steps, f"{plain(value)} is no list", f"a list, {describe(kind)}")
            raise Unfit
        items = cast("list[object]", list(value))
        found: list[Any] = []
        fits = True
        for place, each in enumerate(items):
            try:
                found.append(self.fit(kind.item_type, each, (*steps, place)))
            except Unfit:
                found.append(_empty(kind.item_type))  # what follows keeps its place
                fits = False
        if not self._long_enough(kind.min_length, kind.max_length, len(items), steps) or not fits:
            raise Unfit(None if None in found else tuple(found))
        return tuple(found)

    def _keys(self, value: object, steps: tuple[Step, ...], wanted: str) -> dict[object, object]:
        if not isinstance(value, Mapping):
            self._say(steps, f"{plain(value)} is no mapping", wanted)
            raise Unfit
        return dict(cast("Mapping[object, object]", value))

    def _long_enough(
        self, least: int | None, most: int | None, count: int, steps: tuple[Step, ...]
    ) -> bool:
        if (least or 0) <= count <= (most if most is not None else count):
            return True
        size = f"{least or 0} to {most}" if most is not None else f"{least} or more"
        self._say(steps, f"has {count} entries" if count else "is empty", size)
        return False

    def _say(self, steps: tuple[Step, ...], what: str, wanted: str) -> None:
        self.faults.append(Fault(at(*steps), f"{what} (allowed: {wanted})"))


def _fits(kind: Any, value: object) -> bool:
    if isinstance(kind, kinds.LiteralType):
        return any(value == each and type(value) is type(each) for each in kind.values)
    if isinstance(kind, kinds.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, kinds.IntType):
        return type(value) is int and _between(kind, value)
    if isinstance(kind, kinds.StrType):
        return isinstance(value, str) and _matches(kind.pattern, value)
    raise TypeError(f"settings can't have a {type(kind).__name__}")


def _empty(kind: Any) -> Any:
    """Return what stands in for a value that is needed and does not fit; None where nothing can."""
    if isinstance(kind, kinds.Metadata):
        return _empty(kind.type)
    if isinstance(kind, kinds.LiteralType):
        return kind.values[0]
    if isinstance(kind, kinds.IntType):
        return kind.ge or 0
    empty = {kinds.StrType: "", kinds.BoolType: False, kinds.DictType: {}, kinds.VarTupleType: ()}
    return empty.get(type(kind))


def _matches(pattern: str | None, value: str) -> bool:
    """`$` alone would let a line's end pass, and `\\d` digits of all the world's scripts."""
    return not pattern or bool(re.search(pattern.replace("$", r"\Z"), value, re.ASCII))


def _between(kind: kinds.IntType, value: int) -> bool:
    return (kind.ge is None or value >= kind.ge) and (kind.le is None or value <= kind.le)


def allowed(kind: Any) -> str:
    """Return what may stand for a simple type, in words."""
    if isinstance(kind, kinds.LiteralType):
        return ", ".join(str(each) for each in kind.values)
    if isinstance(kind, kinds.BoolType):
        return "true, false"
    if isinstance(kind, kinds.IntType):
        if kind.ge is not None and kind.le is not None:
            return f"a whole number from {kind.ge} to {kind.le}"
        return "a whole number" + (f" from {kind.ge}" if kind.ge is not None else "")
    if isinstance(kind, kinds.StrType):
        return f"text of the form {kind.pattern}" if kind.pattern else "text, in quotes"
    return "a value"


def describe(kind: Any) -> str:
    """Return what may stand for any type, in words."""
    if isinstance(kind, kinds.Metadata):
        said = (kind.extra_json_schema or {}).get("description")
        return str(said) if said else describe(kind.type)
    if isinstance(kind, kinds.UnionType):
        return describe(next(e for e in kind.types if not isinstance(e, kinds.NoneType)))
    if isinstance(kind, kinds.StructType):
        return f"a mapping with the keys {', '.join(each.name for each in kind.fields)}"
    if isinstance(kind, kinds.DictType):
        return "a mapping by name"
    if isinstance(kind, kinds.VarTupleType):
        return f"each {describe(kind.item_type)}"
    return allowed(kind)


def bare(kind: Any) -> Any:
    """Return a type without what is said about it."""
    return bare(kind.type) if isinstance(kind, kinds.Metadata) else kind


def default(each: kinds.Field) -> Any:
    """Return the default of a key, NODEFAULT where it has none."""
    if each.default is not NODEFAULT:
        return each.default
    return each.default_factory() if each.default_factory is not NODEFAULT else NODEFAULT


def plain(value: object) -> str:
    """Return a value as `shown`, and text without the quotes that the file need not have."""
    told = shown(value)
    bare_text = isinstance(value, str) and value.isprintable() and value == value.strip()
    return told[1:-1] if bare_text and told[0] == told[-1] and told[0] in "'\"" else told


def shown(value: object) -> str:
    """Return a value as an error shows it, cut where it is long."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = _REPR.repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
