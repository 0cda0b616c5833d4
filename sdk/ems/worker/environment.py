"""Whether this interpreter has what a task's environment declares (contract 3).

Knows Python's and packages' versions here. Keys with a colon (`image:…`, `module:…`) are the
concern of whoever starts workers and are not checked.
"""

from __future__ import annotations

import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List


def mismatches(declared: Dict[str, str]) -> List[str]:
    """Return a phrase for each declared version that is not what is here; [] if all is well."""
    found: List[str] = []
    for name in sorted(declared):
        if ":" in name:
            continue
        here = _python(declared[name]) if name == "python" else _package(name)
        if here != declared[name]:
            found.append("%s %s (declared %s)" % (name, here or "is missing", declared[name]))
    return found


def _python(declared: str) -> str:
    """Return this Python's version with as many parts as were declared."""
    return ".".join(map(str, sys.version_info[: len(declared.split("."))]))


def _package(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return _conda_package(name)


def _conda_package(name: str) -> str:
    """Return the version of what conda installed here, which need not be a package of Python's."""
    folder = os.path.join(sys.prefix, "conda-meta")
    for each in os.listdir(folder) if os.path.isdir(folder) else []:
        found, _, build = each.rpartition("-")
        found, _, version = found.rpartition("-")
        if build and re.sub(r"[-_.]+", "-", found).lower() == name:
            return version
    return ""
