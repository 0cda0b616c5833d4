"""Fit plain values into the types of a job's keys, and say everything that does not fit.

Knows types and their descriptions. A value that does not fit is left out, so that the rest can
still be looked at. What stands under `secrets` is never shown.
"""

# annotations are taken apart at run time
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import types as python_types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from ems.compute.jobfile.fault import Fault, Step, Steps
from ems.errors import did_you_mean

SECRETS = "secrets"


class Unfit(Exception):
    """The value can't be used; what is wrong has been said."""


class Fitting:
    """One fitting of values into types, and the faults that came up."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fit(self, kind: Any, value: object, steps: Steps, told: str = "") -> Any:
        """Return the value as the type wants it; raises Unfit after saying what is off."""
        if get_origin(kind) is Annotated:
            told = _description(kind) or told
        inner = _branch(kind, value)
        if is_keys(inner):
            return self._keys(inner, value, steps)
        if isinstance(value, Mapping) and get_origin(inner) is dict:
            return self._mapping(inner, value, steps)
        if isinstance(value, (list, tuple)) and get_origin(inner) is tuple:
            return self._list(inner, kind, value, steps, told)
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            self._unfit(inner, value, steps, told)
            raise Unfit from None

    def _keys(self, kind: Any, value: object, steps: Steps) -> Any:
        fields = _fields(kind)
        if not isinstance(value, Mapping):
            self.say(steps, f"{shown(value)} is no mapping (allowed: keys {', '.join(fields)})")
            raise Unfit
        for key in value:
            if key not in fields:
                near = did_you_mean(str(key), list(fields)) if isinstance(key, str) else ""
                self.say((*steps, str(key)), f"unknown key{near} (allowed: {', '.join(fields)})")
        hints, found = _hints(kind), dict[str, Any]()
        whole = True
        for name, each in fields.items():
            if name not in value:
                if each.required:
                    told = _description(hints[name])
                    self.say((*steps, name), f"is not set (allowed: {told})")
                    whole = False
                continue
            try:
                found[name] = self.fit(hints[name], value[name], (*steps, name))
            except Unfit:
                whole = whole and not each.required
        if not whole:
            raise Unfit
        return kind(**found)

    def _mapping(self, kind: Any, value: Mapping[Any, Any], steps: Steps) -> dict[str, Any]:
        of_key, of_value = get_args(kind)
        found: dict[str, Any] = {}
        for key, each in value.items():
            step: Step = str(key)
            try:
                name = self.fit(of_key, key, (*steps, step))
                found[name] = self.fit(of_value, each, (*steps, step))
            except Unfit:
                continue
        return found

    def _list(
        self, inner: Any, kind: Any, value: Sequence[Any], steps: Steps, told: str
    ) -> tuple[Any, ...]:
        item = get_args(inner)[0]
        found: list[Any] = []
        for place, each in enumerate(value):
            try:
                found.append(self.fit(item, each, (*steps, place), told))
            except Unfit:
                continue
        if len(found) < len(value):
            raise Unfit
        if is_keys(item):
            return tuple(found)
        try:
            return msgspec.convert(found, kind)
        except msgspec.ValidationError:
            self.say(steps, f"{shown(value)} does not fit (allowed: {told})")
            raise Unfit from None

    def _unfit(self, kind: Any, value: object, steps: Steps, told: str) -> None:
        if SECRETS in steps:
            self._bare_secret(steps, told)
            return
        if get_origin(kind) is Literal:
            known = [str(each) for each in get_args(kind)]
            near = did_you_mean(value, known) if isinstance(value, str) else ""
            self.say(steps, f"{shown(value)} does not fit{near} (allowed: {', '.join(known)})")
            return
        self.say(steps, f"{shown(value)} does not fit (allowed: {told or allowed(kind)})")

    def _bare_secret(self, steps: Steps, told: str) -> None:
        if steps[-1] == SECRETS:
            self.say(steps, "is no mapping (allowed: names and references)", "TOKEN: env:TOKEN")
            return
        name = str(steps[-1])
        self.say(
            steps,
            f"is no reference, and secrets are kept in no file (allowed: {told})",
            f"set {name} where the job runs, and write `{name}: env:{name}`",
        )

    def say(self, steps: Steps, what: str, next_step: str = "") -> None:
        """Note a fault."""
        self.faults.append(Fault(steps, what, next_step))


def allowed(kind: Any) -> str:
    """Return what may stand for a type, in words."""
    if get_origin(kind) is tuple:
        return f"list: {allowed(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return ", ".join(str(each) for each in get_args(kind))
    return _description(kind) or _PLAIN.get(kind, "a mapping")


_PLAIN: Mapping[Any, str] = {bool: "true, false", str: "text", int: "a whole number"}


@cache
def _fields(kind: Any) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {each.name: each for each in msgspec.structs.fields(kind)}


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def is_keys(kind: Any) -> bool:
    """Whether a type is a mapping with keys of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _branch(kind: Any, value: object) -> Any:
    """Return the part of a type that a value of its form is meant for."""
    if get_origin(kind) is Annotated:
        return _branch(get_args(kind)[0], value)
    if get_origin(kind) not in (Union, python_types.UnionType):
        return kind
    parts = [_branch(each, value) for each in get_args(kind)]
    for each in parts:
        mapping = isinstance(value, Mapping) and (is_keys(each) or get_origin(each) is dict)
        listed = isinstance(value, (list, tuple)) and get_origin(each) is tuple
        if mapping or listed:
            return each
    return next(each for each in parts if not is_keys(each) and get_origin(each) is not tuple)


def _description(kind: Any) -> str:
    for each in get_args(kind)[1:] if get_origin(kind) is Annotated else ():
        if isinstance(each, msgspec.Meta) and each.description:
            return each.description
    if get_origin(kind) in (Union, python_types.UnionType):
        return " or ".join(filter(None, map(_description, get_args(kind))))
    return ""


def shown(value: object) -> str:
    """Return a value as an error shows it, cut where it is long."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
