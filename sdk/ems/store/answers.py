"""What the store answers: small frozen types that callers keep. Knows no files and no SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ems.store.entries import Ended, Failed, Record, Run

_NO_COUNTS: Mapping[str, int] = {}


class Hit(NamedTuple):
    """A version that is recorded: the content that downstream keys are made of.

    A named tuple rather than a dataclass: a hundred thousand are made in one call.
    """

    content: str
    has_files: bool


class Digested(NamedTuple):
    """A file's or folder's content digest and its bytes."""

    digest: str
    size: int


class ClaimResult(NamedTuple):
    """What came of a claim. Every version asked for is in exactly one of won, busy and done."""

    won: frozenset[bytes]
    busy: Mapping[bytes, str]
    """Version -> id of the live runner that has it."""
    done: Mapping[bytes, Hit]
    """Recorded meanwhile, by whomever."""
    gens: Mapping[bytes, int]
    """Generation of each version won: 1, or more after a takeover, a release or a revocation."""


class Held(NamedTuple):
    """The last job that a backend held for a version, and the claim's generation it was for."""

    gen: int
    backend: str
    native: str
    region: str = ""


class RunSummary(NamedTuple):
    """One line of `emsctl runs`.

    `state`: done, failed, unfinished or canceled, as it ended; running while its runner lives;
    died where the runner is gone without a word.
    """

    id: str
    pipeline: str
    file: str
    who: str
    host: str
    started: float
    state: str
    runner: str
    ended: float | None = None
    counts: Mapping[str, int] = _NO_COUNTS
    kept: bool | None = None
    """True: `keep`; False: `drop`; None: neither was said."""


class RunInfo(NamedTuple):
    """All that the log says of one run itself; its tasks are in the object `ended.nodes`."""

    summary: RunSummary
    run: Run
    ended: Ended | None


Attempt: TypeAlias = Failed | Record
Versions: TypeAlias = Sequence[bytes]


def as_bytes(version: str | bytes) -> bytes:
    """Return a version's 32 bytes, from those or from its hex form."""
    return version if isinstance(version, bytes) else bytes.fromhex(version)


def as_hex(version: str | bytes) -> str:
    """Return a version's hex form, from that or from its bytes."""
    return version.hex() if isinstance(version, bytes) else version
