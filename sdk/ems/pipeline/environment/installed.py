"""What this Python has installed: which import comes from which distribution, and what that needs.

Reads the metadata that installers leave in site-packages; no package is imported. Remembered until
one of those folders changes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .kept import kept
from .markers import normal, requirement

_FOLDERS = ("site-packages", "dist-packages")


class Installed(NamedTuple):
    """Distributions by normal name; `imports` maps the top-level names of imports to them."""

    imports: dict[str, list[str]]
    versions: dict[str, str]
    requires: dict[str, list[str]]
    direct: dict[str, str]
    """Those that come from no index, and from what: "a folder", "git" or "an address"."""

    @classmethod
    def here(cls, cache: Path) -> Installed:
        """Return what the running Python has."""
        folders = [entry for entry in sys.path if os.path.basename(entry.rstrip("/\\")) in _FOLDERS]
        stamps = [
            (folder, os.stat(folder).st_mtime_ns) for folder in folders if os.path.isdir(folder)
        ]
        key = (3, stamps)
        return cls(
            *kept(cache, f"installed {sys.prefix}", key, lambda: _scan([f for f, _ in stamps]))
        )


def _scan(
    folders: list[str],
) -> tuple[dict[str, list[str]], dict[str, str], dict[str, list[str]], dict[str, str]]:
    imports: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    requires: dict[str, list[str]] = {}
    direct: dict[str, str] = {}
    python = ".".join(map(str, sys.version_info[:3]))
    for folder in folders:
        for info in sorted(Path(folder).glob("*.dist-info")) + sorted(
            Path(folder).glob("*.egg-info")
        ):
            fields = _fields(info)
            name = normal(fields["Name"][0]) if "Name" in fields else ""
            if not name or name in versions:  # the first on the path is the one that is imported
                continue
            versions[name] = fields.get("Version", [""])[0]
            needs = [requirement(text, python) for text in fields.get("Requires-Dist", [])]
            requires[name] = [each.name for each in needs if each is not None and each.applies]
            if whence := _whence(info):
                direct[name] = whence
            for top in set(_tops(info)):
                imports.setdefault(top, []).append(name)
    return imports, versions, requires, direct


def _whence(info: Path) -> str:
    """Return from what a distribution was installed, "" if that was an index.

    What conda installed was built from a folder of its makers', and is a release all the same.
    """
    try:
        text = (info / "direct_url.json").read_text("utf-8")
        installer = info / "INSTALLER"
        if installer.exists() and installer.read_text("utf-8").strip() == "conda":
            return ""
    except OSError:
        return ""
    if '"vcs_info"' in text:
        return "git"
    return "a folder" if '"dir_info"' in text else "an address"


def _fields(info: Path) -> dict[str, list[str]]:
    """Return the header of a distribution's metadata."""
    found: dict[str, list[str]] = {}
    for name in ("METADATA", "PKG-INFO"):
        try:
            text = (info / name).read_text("utf-8", "replace")
        except OSError:
            continue
        for line in text.split("\n\n", 1)[0].splitlines():
            key, sign, value = line.partition(": ")
            if sign and not line[0].isspace():
                found.setdefault(key, []).append(value.strip())
        break
    return found


def _tops(info: Path) -> Iterator[str]:
    """Yield the top-level names that a distribution installs."""
    try:
        yield from (info / "top_level.txt").read_text("utf-8").split()
    except OSError:
        pass
    try:
        record = (info / "RECORD").read_text("utf-8", "replace")
    except OSError:
        return
    for line in record.splitlines():
        path = line.rpartition(",")[0].rpartition(",")[0].strip('"')
        top, _, inner = path.partition("/")
        if inner and top.isidentifier() and top != "__pycache__":
            yield top
        elif not inner and path.endswith((".py", ".so", ".pyd")):
            yield path.partition(".")[0]
