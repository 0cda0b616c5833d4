"""Files at a place: what a broker puts there and reads there, many jobs in one request.

    <root>/worker-<digest>.pyz
    <root>/objects/<2 hex>/<digest>     inputs, and what jobs there made
    <root>/scratch/                     working folders of jobs there
    <root>/attempts/<version>/          checkpoints
    <root>/jobs/<id>/parcel.json  events.jsonl  output  events.jsonl.cancel  events.jsonl.peers

Knows bytes and relative paths. Does not know what runs there, nor when to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Look(NamedTuple):
    """Ask for what one job wrote since these offsets."""

    job: str
    events: int
    output: int


class Seen(NamedTuple):
    """What a job wrote since the offsets of a Look; `there` is whether its folder exists.

    A part of it where there is much: the next look brings more. `complete`: that was all.
    """

    events: bytes = b""
    output: bytes = b""
    there: bool = True
    complete: bool = True


class Folders(NamedTuple):
    """What a parcel names at a place: where jobs look for objects, put theirs, keep checkpoints."""

    objects: tuple[str, ...]
    outbox: str
    attempts: str

    @classmethod
    def below(cls, root: str) -> Folders:
        """Return those of a place that has all of them to itself."""
        return cls((f"{root}/objects",), f"{root}/objects", f"{root}/attempts")


class Site(Protocol):
    """All methods block, may be called from several threads, and raise Unreachable or PlaceError.

    What appears at a place appears whole or not at all, and objects only with the right digest.
    """

    @property
    def root(self) -> str:
        """The folder as jobs at the place see it; a place may have to be asked for it."""
        ...

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Return those of the objects that are not there."""
        ...

    def put(self, objects: Mapping[str, Path]) -> None:
        """Bring objects there, digest by file here; in parts, side by side, resumed."""
        ...

    def fetch(self, digest: str, size: int, target: Path) -> None:
        """Bring an object here as a file that is whole and verified; `target` does not exist."""
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files by relative path, each whole at once; those that are there are replaced."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return a file by its relative path; None where there is none."""
        ...

    def look(self, asked: Sequence[Look]) -> list[Seen]:
        """Return what jobs wrote, in order; one request for all."""
        ...

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files and folders by relative path; those that aren't there are no error."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
