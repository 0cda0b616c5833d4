"""One key of .ems.yaml, written so that all else in the file stays as it was.

Knows YAML's places in a text. Does not know what the keys mean (`ems.settings`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

from ems.errors import EmsError, UsageError


def write_key(file: Path, key: str, value: str) -> None:
    """Give a key of a settings' file a text as its value, in one step; the file may be missing.

    Raises UsageError where the file is laid out in a way that leaves no place for it.
    """
    target = file.resolve()
    try:
        before = target.read_bytes().decode("utf-8") if target.exists() else ""
        after = with_key(before, key, value)
        if after is None:
            raise UsageError(
                str(file), f"has no place for the key '{key}'", f"write `{key}: {value}`"
            )
        _replace(target, after)
    except OSError as error:
        problem = f"can't be written: {(error.strerror or str(error)).lower()}"
        raise EmsError(str(file), problem, f"write `{key}: {value}` yourself") from None


def with_key(text: str, key: str, value: str) -> str | None:
    """Return a YAML text with a key's value replaced, or the key added at its end.

    None if the outcome would not read as just that: a mapping in braces, a document's end mark.
    """
    import yaml

    old = cast("dict[str, Any]", yaml.safe_load(text) or {})
    node = cast("Any", yaml.compose(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
    said = _scalar(value)
    place = next((each for name, each in node.value if name.value == key), None) if node else None
    if place is not None:
        after = text[: place.start_mark.index] + said + text[place.end_mark.index :]
    else:
        line_end = "\r\n" if "\r\n" in text else "\n"
        gap = line_end if text and not text.endswith("\n") else ""
        after = f"{text}{gap}{key}: {said}{line_end}"
    with contextlib.suppress(yaml.YAMLError):
        if yaml.safe_load(after) == {**old, key: value}:
            return after
    return None


def _scalar(value: str) -> str:
    import yaml

    return yaml.safe_dump(value, width=10_000, allow_unicode=True).removesuffix("...\n").strip("\n")


def _replace(target: Path, text: str) -> None:
    """Put a file in the place of another, whole or not at all."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(text.encode("utf-8"))
            out.flush()
            os.fsync(out.fileno())
        if target.exists():
            shutil.copymode(target, name)
        else:
            os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
