"""What went wrong in a task, as its author wants to read it.

Leaves out frames of the worker and of the import system, and shows files of the bundle by the names
they have in the project.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_MOST_CHARACTERS = 10000


def describe(error: BaseException, bundle: str) -> Dict[str, Any]:
    """Return {"type", "message", "traceback": lines} of an error raised in a task."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = "%s.%s" % (kind.__module__, name)
    try:
        message = str(error)
    except Exception as second:  # the user's own __str__
        message = "(its text can't be shown: %s)" % type(second).__name__
    if len(message) > _MOST_CHARACTERS:
        message = message[:_MOST_CHARACTERS] + "…"
    return {"type": name, "message": message, "traceback": _lines(error, bundle)}


def _lines(error: BaseException, bundle: str) -> List[str]:
    import traceback

    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        seen: List[Any] = [told]
        while seen:
            part = seen.pop()
            _clean(part, bundle)
            seen.extend(each for each in (part.__cause__, part.__context__) if each is not None)
            seen.extend(getattr(part, "exceptions", None) or ())
        return "".join(told.format()).rstrip("\n").split("\n")
    except Exception as second:  # an error that can't even be told about
        return ["(its traceback can't be shown: %s)" % type(second).__name__]


def _clean(part: Any, bundle: str) -> None:
    kept: List[Any] = []
    for frame in part.stack:
        if frame.filename.startswith(_OWN) or frame.filename.startswith("<frozen importlib"):
            continue
        _ = frame.line  # read while the file has its real name
        frame.filename = shown(frame.filename, bundle)
        kept.append(frame)
    part.stack[:] = kept
    if getattr(part, "filename", None):  # of a SyntaxError
        part.filename = shown(part.filename, bundle)


def shown(path: str, bundle: str) -> str:
    """Return a path as the user knows it: relative if it is a file of the bundle."""
    if bundle and path.startswith(bundle + os.sep):
        return path[len(bundle) + 1 :]
    return path
