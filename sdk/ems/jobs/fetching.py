"""Copy what a job left in the store to where a person wants it.

Knows objects and trees of files and folders.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.errors import UsageError

if TYPE_CHECKING:
    from ems.store.objects import Objects


def fetch(
    objects: Objects, outputs: Mapping[str, Any], paths: Mapping[str, str], folder: Path
) -> Iterator[Path]:
    """Yield the path of each output, once it is there; what was there before is replaced."""
    for name, tree in outputs.items():
        target = folder / paths.get(name, name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            for digest, relative, mode in _files(objects, tree):
                _copy(objects.local_path(digest), target / relative if relative else target, mode)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UsageError(f"output {name}", f"{target} can't be written: {why}") from None
        yield target


def _files(objects: Objects, tree: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (digest, path in the folder, mode) of a file, or of each file in a folder."""
    if "$file" in tree:
        yield str(tree["$file"][0]), "", ""
        return
    for relative, mode, digest, _ in json.loads(objects.read(str(tree["$dir"][0]))):
        yield digest, relative, mode


def _copy(source: Path, target: Path, mode: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, half)
    if mode == "x":
        half.chmod(0o755)
    os.replace(half, target)
