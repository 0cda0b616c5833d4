"""Packages for tests: wheels of one module each, in a folder that installers look into."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ems.compute.job import Recipe
from ems.hashing import digest_bytes


def wheel(folder: Path, name: str, version: str, source: str = "", requires: str = "") -> Path:
    """Write the wheel of a module `name`, which knows its version, and return its path."""
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"version = {version!r}\n{source}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    listed = [f"{path},{_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*listed, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
    return path


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def requirements(folder: Path, *lines: str) -> str:
    """Return a requirements file that finds packages in a folder alone."""
    return "".join(f"{line}\n" for line in ("--no-index", f"--find-links {folder}", *lines))


def recipe(text: str, pins: Mapping[str, str], python: str, **keys: object) -> Recipe:
    """Return a recipe of a requirements file."""
    document: dict[str, object] = {
        "format": 1, "kind": "requirements", "python": python, "problem": "",
        "files": {"requirements.txt": text}, "pins": dict(pins),
    }  # fmt: skip
    made = json.dumps({**document, **keys}, sort_keys=True)
    return Recipe(digest_bytes(made.encode()), made)
