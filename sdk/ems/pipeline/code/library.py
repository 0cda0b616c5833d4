"""The modules of one project and their facts: from memory, from the memo, or read anew.

Knows files. Syntax trees are made in `facts`, which is imported only when something has changed.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ems.errors import UsageError

from .finder import Finder, Found
from .memo import Memo, stamp_of
from .symbols import TOP, Facts


class Files:
    """Reads modules of a project, each once; `digests` maps paths to content digests."""

    def __init__(self, finder: Finder, cache: Path | None) -> None:
        self.finder = finder
        self.find = finder.find
        self.digests: dict[str, str] = {}
        self.memo = Memo(finder.root, cache)
        self._facts: dict[str, Facts] = {}

    def facts(self, found: Found) -> Facts | None:
        """Return the facts of a module, None for a folder without `__init__.py`."""
        if not found.path:
            return None
        facts = self._facts.get(found.path)
        if facts is None:
            facts = self._facts[found.path] = self._get(found.path, found.name, found.package)
        return facts

    def program(self, path: str) -> Facts:
        """Return the facts of a file that is run as a program."""
        return self._get(path, "", False)

    def text(self, path: str, module: str, name: str) -> str:
        """Return the normal form of a symbol of a module."""
        facts = self._facts.get(path)
        texts = (facts.texts if facts is not None else {}) or self.memo.texts(
            self._key(path, module)
        )
        return texts.get(name, "")

    def program_text(self, path: str) -> str:
        """Return the normal form of a file that is run as a program."""
        return self.memo.texts(self._key(path, "")).get(TOP, "")

    def file_digest(self, path: str) -> str:
        """Return the content digest of any file."""
        from ems.hashing import digest_file

        digest = self.digests[path] = self.memo.file_digest(path, digest_file)
        return digest

    def _key(self, path: str, module: str) -> str:
        return f"{module}={path}"

    def _get(self, path: str, module: str, package: bool) -> Facts:
        key = self._key(path, module)
        kept = self.memo.get(key, path)
        if kept is not None:
            self.digests[path] = kept[1]
            return kept[0]
        return self._read(key, path, module, package)

    def _read(self, key: str, path: str, module: str, package: bool) -> Facts:
        now = time.time_ns()
        try:
            stamp = stamp_of(path)
            with open(path, "rb") as file:
                source = file.read()
        except OSError as error:
            where = self.finder.relative(path)
            raise UsageError(where, f"can't be read: {error.strerror}") from None
        digest = self.digests[path] = hashlib.sha256(source).hexdigest()
        facts = self._parse(source, path, module, package)
        self.memo.put(key, facts, stamp, digest, now)
        return facts

    def _parse(self, source: bytes, path: str, module: str, package: bool) -> Facts:
        from . import facts

        try:
            if not module:
                return _deeply(lambda: facts.read_program(source))
            return _deeply(lambda: facts.read(source, module, package=package))
        except SyntaxError as error:
            where = f"{self.finder.relative(path)}:{error.lineno or 1}"
            raise UsageError(where, f"syntax error: {error.msg}") from None
        except ValueError as error:
            raise UsageError(self.finder.relative(path), f"is no Python source: {error}") from None


def _deeply(read: Callable[[], Facts]) -> Facts:
    """Read code that may nest more deeply than Python's stack usually goes."""
    try:
        return read()
    except RecursionError:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit * 30)
        try:
            return read()
        finally:
            sys.setrecursionlimit(limit)
