"""The bundle: every project file that a run's tasks reach, laid out once per content for workers.

Workers import project code from here alone, so that an edit made while a run goes on can't mix two
states of the code. Knows files and digests. Does not know how they were found.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.errors import EmsError
from ems.hashing import digest_bytes, tree_bytes
from ems.pipeline.specs import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ems.pipeline.specs import Spec


class Bundle:
    """The code of a run; grows when tasks are first called while it runs."""

    def __init__(self, folder: Path, root: Path, put: Any) -> None:
        self._folder = folder
        self._root = root
        self._put = put
        self._contents: dict[str, bytes] = {}
        self._modules: dict[str, str] = {}
        self._search: dict[str, None] = {}
        self._known: set[str] = set()
        self._code: dict[str, Any] | None = None
        self.name = ""

    def add(self, specs: Iterable[Spec]) -> None:
        """Take in the files of specs; new ones change the bundle's name."""
        for spec in specs:
            if spec.digest in self._known:  # not by key: equal code may lie in two modules
                continue
            self._known.add(spec.digest)
            self._modules.update(spec.code.modules)
            self._search.update(dict.fromkeys(spec.code.search))
            for path, digest in shipped(spec.code).items():
                if path not in self._contents:
                    self._contents[path] = _content(spec, path, digest)
                    self._code = None
            self._put(spec.document)
            self._put(spec.sources)

    def code(self) -> dict[str, Any]:
        """Return the `code` of a parcel: the folder of the files, modules and search path."""
        if self._code is None:
            self._code = self._lay_out()
        return self._code

    def _lay_out(self) -> dict[str, Any]:
        rows = [(path, "", digest_bytes(data), len(data)) for path, data in self._contents.items()]
        self.name = digest_bytes(tree_bytes(rows))
        target = self._folder / self.name[:32]
        if not target.is_dir():
            self._write(target)
        for data in self._contents.values():
            self._put(data)
        return {
            "dir": str(target),
            "root": str(self._root),
            "files": {path: digest for path, _, digest, _ in rows},
            "modules": dict(self._modules),
            "search": list(self._search),
        }

    def _write(self, target: Path) -> None:
        making = target.with_name(f"{target.name}.{os.getpid()}")
        for path, data in self._contents.items():
            place = making / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        making.mkdir(parents=True, exist_ok=True)
        try:
            making.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def _content(spec: Spec, path: str, digest: str) -> bytes:
    """Return a file as it was when it was hashed."""
    if path in spec.code.generated:
        return spec.code.generated[path].encode()
    data = spec.code.files[path].read_bytes()
    if digest_bytes(data) != digest:
        raise EmsError(path, "was edited while the run began", "the same command again")
    return data
