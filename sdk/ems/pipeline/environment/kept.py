"""Small tables that are slow to make, kept on disk with what they were made from.

Derived: a broken or older file is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MAGIC = b"ems-kept-1\n"


def kept(cache: Path, name: str, key: object, make: Callable[[], Any]) -> Any:
    """Return a table of plain values: as kept under this name and key, else made."""
    words = f"{name}\n{sys.version}"
    path = (
        cache
        / "environment"
        / hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    )
    found = _read(path)
    if found is not None and found[0] == repr(key):
        return found[1]
    made = make()
    _write(path, marshal.dumps((repr(key), made), 4))
    return made


def _read(path: Path) -> tuple[str, Any] | None:
    try:
        data = path.read_bytes()
        start = len(_MAGIC) + 4
        if data[: len(_MAGIC)] != _MAGIC or zlib.crc32(data[start:]) != int.from_bytes(
            data[len(_MAGIC) : start]
        ):
            return None
        return marshal.loads(data[start:])
    except (OSError, ValueError, EOFError, TypeError):
        return None


def _write(path: Path, body: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.{time.time_ns()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(_MAGIC + zlib.crc32(body).to_bytes(4) + body)
        os.replace(draft, path)
