"""The project's code as a folder of its own: laid out from objects, put on the import path.

Knows files and `sys.path`. Does not know who made the list.
"""

from __future__ import annotations

import os
import sys

from . import places
from .scratch import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict


def folder_of(code: Dict[str, Any], scratch: str, locate: Callable[[str], str]) -> str:
    """Return the folder with the code, laid out if need be; "" if the parcel brings none.

    `dir` is used where it exists; else `files` are copied to it (or below `scratch`), and it
    appears whole or not at all. Raises InputMissing if an object is nowhere.
    """
    files: Dict[str, str] = code.get("files") or {}
    folder = code.get("dir") or ""
    if folder and (os.path.isdir(folder) or not files):
        return os.path.realpath(folder)
    if not files:
        return ""
    if not folder:
        folder = os.path.join(scratch, "code-" + _digest(files)[:16])
        if os.path.isdir(folder):
            return os.path.realpath(folder)
    return os.path.realpath(_lay_out(files, folder, locate))


def _lay_out(files: Dict[str, str], folder: str, locate: Callable[[str], str]) -> str:
    temporary = "%s.%s-%d" % (folder, os.uname().nodename, os.getpid())
    os.makedirs(temporary)
    for relative, digest in files.items():
        target = os.path.join(temporary, relative)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        places.copy_file(locate(digest), target)
    try:
        os.rename(temporary, folder)
    except OSError:
        if not os.path.isdir(folder):
            raise
        remove(temporary)  # another worker was first
    return folder


def _digest(files: Dict[str, str]) -> str:
    from ..hashing import digest_bytes

    return digest_bytes(repr(sorted(files.items())).encode("utf-8"))


def put_on_path(code: Dict[str, Any], folder: str) -> None:
    """Make the bundle importable, right after the worker's own code.

    With `root` (the project's folder on this machine), entries of `sys.path` that lead to it are
    taken off, so that no file outside the bundle is imported in its place.
    """
    root = code.get("root")
    if root:
        sys.path[:] = [entry for entry in sys.path if not _leads_to(os.path.realpath(root), entry)]
    search = code.get("search") or ["."]
    sys.path[1:1] = [os.path.normpath(os.path.join(folder, each)) for each in search]


def _leads_to(root: str, entry: str) -> bool:
    path = os.path.realpath(entry)
    inside = path == root or path.startswith(root + os.sep)
    installed = path.startswith(os.path.realpath(sys.prefix) + os.sep) or path == sys.path[0]
    return inside and not installed
