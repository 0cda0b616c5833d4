"""`File` and `Dir`: files and folders as values, path-like wherever a task gets them.

Knows paths, digests and how to ask for a local path when one is needed. Does not know stores: who
loads a value gives the function that finds its content.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO, Any, Callable, Iterator, Optional

    Resolve = Callable[[str, str], str]


class _Stored:
    """What `File` and `Dir` share: a path of this machine, or a digest that can be given one."""

    __slots__ = ("_digest", "_name", "_path", "_resolve", "_size")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if isinstance(path, _Stored):
            self._path, self._digest = path._path, path._digest
            self._size, self._name, self._resolve = path._size, path._name, path._resolve
            return
        text: Any = os.fspath(path)
        if not isinstance(text, str) or not text:
            raise TypeError("%s: %r is not a path" % (type(self).__name__, path))
        self._path: Optional[str] = text
        self._digest = ""
        self._size = -1
        self._name = os.path.basename(os.path.normpath(text))
        self._resolve: Optional[Resolve] = None

    @classmethod
    def stored(cls, digest: str, size: int, name: str, resolve: Optional[Resolve]) -> Any:
        """Return the value for a content in a store; `resolve(digest, name)` gives its path."""
        made = cls.__new__(cls)
        made._path, made._digest, made._size = None, digest, size
        made._name, made._resolve = name, resolve
        return made

    def __fspath__(self) -> str:
        if self._path is None:
            if self._resolve is None:
                raise FileNotFoundError(
                    "%s %s has no local copy here" % (type(self).__name__, self._digest[:12])
                )
            self._path = self._resolve(self._digest, self._name)
        return self._path

    @property
    def path(self) -> Path:
        """The path on this machine; fetched first where it must be."""
        from pathlib import Path

        return Path(os.fspath(self))

    @property
    def name(self) -> str:
        """The last part of the path, such as `model.npz`; not part of the content."""
        return self._name

    @property
    def digest(self) -> str:
        """The content digest, or "" for a path that EMS has not read yet."""
        return self._digest

    @property
    def size(self) -> int:
        """Bytes of the content, or -1 for a path that EMS has not read yet."""
        return self._size

    @property
    def resolved(self) -> bool:
        """Whether a local path is known already, so that asking for it costs nothing."""
        return self._path is not None

    def __str__(self) -> str:
        return os.fspath(self)

    def __repr__(self) -> str:
        what = self._path if self._path is not None else "%s, %s" % (self._name, self._digest[:12])
        return "%s(%r)" % (type(self).__name__, what)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        if self._digest and other._digest:  # type: ignore[attr-defined]
            return self._digest == other._digest  # type: ignore[attr-defined]
        return os.fspath(self) == os.fspath(other)  # type: ignore[arg-type, call-overload]

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._digest or self._path))

    def __reduce__(self) -> Any:
        return (type(self), (os.fspath(self),))


class File(_Stored, os.PathLike):  # type: ignore[type-arg]
    """A file as a value: give it wherever a path goes (`open(f)`, `np.load(f)`).

    As an argument it counts by content, never by name or time. A task returns files that it wrote
    in its own scratch folder: `return ems.File("model.npz")`.
    """

    __slots__ = ()

    def open(self, mode: str = "r", encoding: Optional[str] = None) -> IO[Any]:
        """Open the file for reading, as the built-in `open` does."""
        return open(os.fspath(self), mode, encoding=encoding)

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the whole file as text."""
        with open(os.fspath(self), encoding=encoding) as stream:
            return stream.read()

    def read_bytes(self) -> bytes:
        """Return the whole file as bytes."""
        with open(os.fspath(self), "rb") as stream:
            return stream.read()

    @property
    def suffix(self) -> str:
        """The ending of the name with its dot, or ""."""
        return os.path.splitext(self._name)[1]


class Dir(_Stored, os.PathLike):  # type: ignore[type-arg]
    """A folder as a value: its files' relative paths, contents and executable bits count."""

    __slots__ = ()

    def __truediv__(self, part: str) -> Path:
        return self.path / part

    def __iter__(self) -> Iterator[Path]:
        return iter(sorted(self.path.iterdir()))

    def glob(self, pattern: str) -> list[Path]:
        """Return the paths below that match, sorted."""
        return sorted(self.path.glob(pattern))
