"""What `uses=` and `code=` name: files of the project by glob.

Knows patterns and folders. Hidden folders, virtual environments and caches are never searched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ems.errors import UsageError

from .finder import is_foreign

_WILD = re.compile(r"[*?\[]")


def files_of(base: str, pattern: str) -> list[str]:
    """Return the files below `base` that a pattern names, sorted, as paths relative to it.

    `*` stays within one folder, `**` goes through any number; a folder stands for all in it. Raises
    UsageError for a pattern that leads out of `base`.
    """
    words = [word for word in pattern.strip().split("/") if word not in ("", ".")]
    if ".." in words or pattern.startswith(("/", "~")):
        raise UsageError("uses", f"{pattern!r} leads out of the project {base}", "a path inside it")
    fixed: list[str] = []
    while words and not _WILD.search(words[0]):
        fixed.append(words.pop(0))
    start = os.path.join(base, *fixed)
    if os.path.isfile(start):
        return ["/".join(fixed)] if not words else []
    wanted = re.compile("".join(_regex(words or ["**"])))
    prefix = "".join(f"{word}/" for word in fixed)
    return sorted(prefix + path for path in _walk(start) if wanted.fullmatch(path))


def _walk(start: str) -> Iterator[str]:
    for folder, inner, names in os.walk(start, followlinks=True):
        inner[:] = [each for each in inner if not is_foreign(each) and not _is_venv(folder, each)]
        relative = os.path.relpath(folder, start).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        yield from (prefix + name for name in names if not name.endswith((".pyc", ".pyo")))


def _is_venv(folder: str, name: str) -> bool:
    return os.path.isfile(os.path.join(folder, name, "pyvenv.cfg"))


def _regex(words: list[str]) -> Iterator[str]:
    for number, word in enumerate(words):
        last = number == len(words) - 1
        if word == "**":
            yield ".*" if last else "(?:[^/]+/)*"
            continue
        for piece in re.findall(r"\*|\?|\[!?[^\]]+\]|.", word):
            if piece == "*":
                yield "[^/]*"
            elif piece == "?":
                yield "[^/]"
            elif piece.startswith("[") and len(piece) > 1:
                yield piece.replace("[!", "[^").replace("\\", "\\\\")
            else:
                yield re.escape(piece)
        yield "" if last else "/"
