"""Times, amounts, counts and stored values as people read them.

Pure. A stored value is shown from its tree: nothing is loaded, no class is imported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ems.units import gib_text, seconds_text

SHORT = 12
"""Characters of a version in tables; the whole is in JSON."""
ORDER = ("ran", "cached", "failed", "skipped", "left out", "pending")


def when(moment: float | None) -> str:
    """Return a moment in local time."""
    if moment is None:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def size(count: int) -> str:
    """Return an amount of bytes: `120 B`, `1.5 KiB`, `3 GiB`."""
    return f"{count} B" if count < 1024 else gib_text(count / 2**30)


def took(start: float, end: float | None) -> str:
    """Return how long it was between two moments; nothing if the second is not known."""
    return "" if end is None else seconds_text(max(0.0, end - start))


def counted(counts: Mapping[str, int]) -> str:
    """Return counts of calls in a fixed order: `4 ran, 2 cached`."""
    known = [f"{counts[how]} {how}" for how in ORDER if counts.get(how)]
    return ", ".join(known) or "nothing to do"


def plural(count: int, word: str) -> str:
    """Return `1 call`, `2 calls`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def metric(row: Mapping[str, Any]) -> str:
    """Return a row of metrics: `[step 3] reward 0.5, loss 1.2`."""
    values: Mapping[str, Any] = row.get("metrics") or {}
    if not values:
        values = {name: each for name, each in row.items() if name not in ("step", "t", "metrics")}
    shown = ", ".join(f"{name} {number(each)}" for name, each in values.items())
    step = row.get("step")
    return shown if step is None else f"[step {step}] {shown}"


def number(found: Any) -> str:
    """Return a number in at most six digits."""
    return f"{found:.6g}" if isinstance(found, float) else str(found)


# -- values -------------------------------------------------------------------------------------


def value(tree: Any, width: int = 80) -> str:
    """Return a stored value in one line of at most `width` characters, much as Python writes it."""
    text = _text(tree)
    return text if len(text) <= width else text[: width - 1] + "…"


def _text(tree: Any) -> str:
    if isinstance(tree, str):
        return repr(tree)
    if isinstance(tree, list):
        return f"[{_joined(tree)}]"  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(tree, dict):
        return repr(tree)
    rows: dict[str, Any] = tree  # pyright: ignore[reportUnknownVariableType]
    if len(rows) == 1:
        ((key, item),) = rows.items()
        if key[:1] == "$":
            return _tagged(key, item)
    return "{" + ", ".join(f"{key!r}: {_text(item)}" for key, item in rows.items()) + "}"


def _joined(rows: Sequence[Any]) -> str:
    return ", ".join(_text(each) for each in rows)


def _tagged(tag: str, item: Any) -> str:
    if tag in ("$file", "$dir"):
        return f"{item[2]}{'/' if tag == '$dir' else ''} ({_stored(item)})"
    if tag in ("$npy", "$torch", "$arrow", "$pickle", "$object"):
        return f"{_NAMES[tag]} ({_stored(item)})"
    if tag == "$tuple":
        return f"({_joined(item)}{',' if len(item) == 1 else ''})"
    if tag == "$set":
        return "{" + _joined(item) + "}" if item else "set()"
    if tag == "$dict":
        return "{" + ", ".join(f"{_text(key)}: {_text(each)}" for key, each in item) + "}"
    if tag in ("$data", "$named"):
        fields: Mapping[str, Any] = item[1].get("$fields", item[1])
        rows = ", ".join(f"{name}={_text(each)}" for name, each in fields.items())
        return f"{_class_name(item[0])}({rows})"
    if tag == "$of":
        return reference(item)
    if tag == "$enum":
        return f"{_class_name(item[0])}.{item[1]}"
    if tag == "$npscalar":
        return str(item[1])
    return str(item) if isinstance(item, str) else f"{tag[1:]}({_text(item)})"


_NAMES = {
    "$npy": "array",
    "$torch": "tensor",
    "$arrow": "table",
    "$pickle": "pickle",
    "$object": "long value",
}


def _stored(item: Sequence[Any]) -> str:
    return f"{size(item[1])}, {item[0][:SHORT]}"


def _class_name(name: str) -> str:
    return name.rpartition(":")[2]


def reference(item: Sequence[Any]) -> str:
    """Return an argument that is (a part of) another task's result."""
    version, steps = item[0], item[1]
    base = f"result of {version[:SHORT]}" if version else f"part of {_text(item[2])}"
    return base + "".join(f".{key}" if how == "attr" else f"[{key!r}]" for how, key in steps)
