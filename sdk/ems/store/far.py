"""Objects in S3: uploaded from and fetched into the local object folder.

Knows which objects it has seen there in this process, so that each is asked for once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ems.store.s3 import S3Root


class Far:
    """The far side of `Objects`."""

    def __init__(self, root: S3Root) -> None:
        self._root = root
        self._sizes: dict[str, int] = {}
        self._bad: set[str] = set()

    def upload(self, files: Mapping[str, Path]) -> None:
        """Return when all are there; those that are there and young are not sent again."""
        from ems.store.s3 import in_parallel

        in_parallel(lambda digest: self._upload(digest, files[digest]), list(files))

    def exists(self, wanted: Mapping[str, int]) -> set[str]:
        """Return those that are there with the size given, -1 for any."""
        unknown = [d for d in wanted if d not in self._sizes and d not in self._bad]
        for digest, size in zip(unknown, self._root.sizes([_key(d) for d in unknown]), strict=True):
            if size is not None:
                self._sizes[digest] = size
        return {
            d for d, size in wanted.items() if d in self._sizes and size in (-1, self._sizes[d])
        }

    def fetch(self, digest: str, target: Path) -> bool:
        """Copy an object into a file; False if there is none."""
        return self._root.fetch(_key(digest), target)

    def distrust(self, digest: str) -> None:
        """What is there is not what its digest says: it counts as missing, and is replaced."""
        self._bad.add(digest)
        self._sizes.pop(digest, None)

    def _upload(self, digest: str, path: Path) -> None:
        if not path.exists():
            return  # what a record needs is checked when it is used
        size = path.stat().st_size
        if not (self.exists({digest: size}) and self._root.freshen(_key(digest))):
            self._root.put_file(_key(digest), path)
            self._bad.discard(digest)
        self._sizes[digest] = size


def _key(digest: str) -> str:
    return f"objects/{digest[:2]}/{digest}"
