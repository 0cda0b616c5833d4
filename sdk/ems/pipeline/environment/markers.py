"""Requirements as packages write them: a name, a version if it is exact, and when they apply.

Knows as much of the form (PEP 508) as lock files and package metadata use. Pure.
"""

from __future__ import annotations

import operator
import os
import platform
import re
import sys
from collections.abc import Callable
from typing import NamedTuple

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*")
_EXACT = re.compile(r"={2,3}\s*([^\s,;*]+)$")
_TOKEN = re.compile(
    r"""\s*(\(|\)|[<>=!~]=+|[<>]|\bnot\s+in\b|\bin\b|\band\b|\bor\b|"[^"]*"|'[^']*'|[A-Za-z_]\w*)"""
)


class Requirement(NamedTuple):
    """One requirement: `version` is "" unless it is exact, or the address of what is installed."""

    name: str
    version: str
    applies: bool


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement(text: str, python: str) -> Requirement | None:
    """Return a requirement from its text, None if it is none; markers are for `python` here."""
    match = _NAME.match(text)
    if match is None:
        return None
    rest, _, marker = text[match.end() :].partition(";")
    if rest.startswith("@"):
        rest, _, marker = text[match.end() :].partition(" ;")
        return Requirement(normal(match[1]), rest[1:].strip(), holds(marker, python))
    exact = _EXACT.match(rest.strip().strip("()").strip())
    return Requirement(normal(match[1]), exact[1] if exact else "", holds(marker, python))


def holds(marker: str, python: str) -> bool:
    """Return whether a marker holds here for a Python version; one that can't be read holds."""
    if not marker.strip():
        return True
    tokens = _TOKEN.findall(marker)
    try:
        value, rest = _any(tokens, _variables(python))
    except (IndexError, KeyError, ValueError):
        return True
    return True if rest else value


def _variables(python: str) -> dict[str, str]:
    return {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python if python.count(".") > 1 else f"{python}.0",
        "sys_platform": sys.platform,
        "platform_system": platform.system(),
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "implementation_name": sys.implementation.name,
        "os_name": os.name,
        "extra": "",
    }


def _any(tokens: list[str], variables: dict[str, str]) -> tuple[bool, list[str]]:
    value, rest = _all(tokens, variables)
    while rest and rest[0] == "or":
        other, rest = _all(rest[1:], variables)
        value = value or other
    return value, rest


def _all(tokens: list[str], variables: dict[str, str]) -> tuple[bool, list[str]]:
    value, rest = _one(tokens, variables)
    while rest and rest[0] == "and":
        other, rest = _one(rest[1:], variables)
        value = value and other
    return value, rest


def _one(tokens: list[str], variables: dict[str, str]) -> tuple[bool, list[str]]:
    if tokens[0] == "(":
        value, rest = _any(tokens[1:], variables)
        if rest[0] != ")":
            raise ValueError(rest)
        return value, rest[1:]
    left, sign, right = _value(tokens[0], variables), tokens[1], _value(tokens[2], variables)
    version = any(token.startswith("python_") for token in (tokens[0], tokens[2]))
    return _compare(left, " ".join(sign.split()), right, version), tokens[3:]


def _value(token: str, variables: dict[str, str]) -> str:
    return token[1:-1] if token[0] in "\"'" else variables[token]


def _compare(left: str, sign: str, right: str, version: bool) -> bool:
    if sign == "in":
        return left in right
    if sign == "not in":
        return left not in right
    compare: Callable[[object, object], bool] = _SIGNS[sign]
    if not version:
        return compare(left, right)
    if right.endswith(".*"):
        right = right[:-2]
        left = ".".join(left.split(".")[: right.count(".") + 1])
    if sign == "~=":
        kept = right.split(".")[:-1]
        return _numbers(left) >= _numbers(right) and left.split(".")[: len(kept)] == kept
    return compare(_numbers(left), _numbers(right))


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", version)]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


_SIGNS: dict[str, Callable[..., bool]] = {
    "==": operator.eq,
    "===": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~=": operator.ge,
}
