"""Values as source text: the same value gives the same text in every process.

Knows plain values alone. Anything else has no literal and must be passed as an argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any, cast

_PLAIN = (type(None), bool, int, str, bytes)


def literal(value: object) -> str | None:
    """Return source text for a plain value, or None where it has none.

    None, bool, int, float, complex, str, bytes, paths, and tuples, lists, sets and dicts of such;
    sets are sorted by their text. Subclasses (an enum, a named tuple) are no plain values.
    """
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    return ascii(value) if type(value) in _PLAIN else _path(value)


def _path(value: object) -> str | None:
    return f"__import__('pathlib').Path({str(value)!a})" if isinstance(value, PurePath) else None


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else f"float({str(value)!r})"


def _complex(value: complex) -> str:
    return f"complex({_float(value.real)}, {_float(value.imag)})"


def _items(values: Iterable[object]) -> list[str] | None:
    texts = [literal(value) for value in values]
    return None if None in texts else cast(list[str], texts)


def _list(value: list[object]) -> str | None:
    texts = _items(value)
    return None if texts is None else f"[{', '.join(texts)}]"


def _tuple(value: tuple[object, ...]) -> str | None:
    texts = _items(value)
    return None if texts is None else f"({''.join(f'{text}, ' for text in texts)})"


def _set(value: set[object] | frozenset[object]) -> str | None:
    texts = _items(value)
    return None if texts is None else f"{type(value).__name__}([{', '.join(sorted(texts))}])"


def _dict(value: dict[object, object]) -> str | None:
    keys, values = _items(value), _items(value.values())
    if keys is None or values is None:
        return None
    pairs = zip(keys, values, strict=True)
    return f"{{{', '.join(f'{key}: {each}' for key, each in pairs)}}}"


_WRITERS: dict[type, Callable[[Any], str | None]] = {
    float: _float,
    complex: _complex,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _set,
    dict: _dict,
}
