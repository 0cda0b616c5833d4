"""What the log can say: one named tuple a kind of entry, and its line of JSON.

The log's format (schema 1) is decided here and in `segment.py`. Knows nothing of files, of order
or of who wins: an entry is what somebody said, `index.py` decides what it means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias, cast

Tree: TypeAlias = object
"""JSON: what `json.dumps` takes and `json.loads` gives back."""
Sized: TypeAlias = Sequence[object]
"""`[digest, size]` of an object."""

_NO_AMOUNTS: Mapping[str, Tree] = {}
EVERYTHING = 10**12 - 1
"""`upto` of a revocation that reaches all before it: the last number a segment can have."""


class Claim(NamedTuple):
    """A runner means to run these versions: written before anything of them starts."""

    runner: str
    run: str
    gen: int
    versions: Sequence[str]
    native: str | None = None


class Handle(NamedTuple):
    """A backend holds a job for this version."""

    version: str
    gen: int
    backend: str
    native: str
    region: str = ""


class Record(NamedTuple):
    """A version's result. The first in log order that is not revoked is the winner.

    `out` is the value's tree, or `{"$object": [digest, size]}` when it is long; so are `log`
    (else text) and `metrics` (else a list). `content` is what downstream keys are made of.
    `files` are the objects that must exist for the record to be of use.
    """

    v: str
    gen: int
    runner: str
    run: str
    task: str
    spec: str
    args: Mapping[str, Tree]
    out: Tree
    content: str
    t0: float
    t1: float
    files: Sequence[Sized] = ()
    cpu_s: float = 0.0
    rss_mib: float = 0.0
    place: str = ""
    who: str = ""
    exit: int = 0
    log: Tree = ""
    metrics: Tree = ()
    asked: Mapping[str, Tree] = _NO_AMOUNTS
    usd: float = 0.0


class Failed(NamedTuple):
    """An attempt that failed; `attempt` is `try` in the log. `error`: type, message, traceback."""

    v: str
    gen: int
    attempt: int
    runner: str
    run: str
    task: str
    spec: str
    args: Mapping[str, Tree]
    reason: str
    t0: float
    t1: float
    exit: int | None = None
    signal: int | None = None
    error: Mapping[str, Tree] | None = None
    cpu_s: float = 0.0
    rss_mib: float = 0.0
    log: Tree = ""
    metrics: Tree = ()
    place: str = ""
    who: str = ""


class Revoke(NamedTuple):
    """Records of these versions count no more, so that a later one wins.

    Only those that lie in segments up to `upto`: what its author could know. A record that came
    between the decision and this entry stays, unless `upto` is `EVERYTHING`.
    """

    versions: Sequence[str]
    why: str
    upto: int


class Run(NamedTuple):
    """A run began."""

    id: str
    pipeline: str
    file: str
    params: Tree
    who: str
    host: str
    started: float
    argv: Sequence[str] = ()


class Ended(NamedTuple):
    """A run ended; `state` is done, failed, unfinished or canceled; `nodes` an object's digest."""

    run: str
    state: str
    t: float
    counts: Mapping[str, int]
    nodes: str | None = None
    result: Tree = None
    error: Tree = None


class Release(NamedTuple):
    """A runner gives up its claim on these versions, or on all."""

    runner: str
    run: str
    versions: Sequence[str] | str = "all"


class Keep(NamedTuple):
    """A run that gc must keep, whatever its age."""

    run: str


class Drop(NamedTuple):
    """A run that gc need not keep."""

    run: str


class Arrived(NamedTuple):
    """Contents of input files in the order in which they were first seen."""

    digests: Sequence[str]


Entry: TypeAlias = (
    Claim | Handle | Record | Failed | Revoke | Run | Ended | Release | Keep | Drop | Arrived
)

_KINDS: dict[str, type[Entry]] = {
    "claim": Claim,
    "handle": Handle,
    "record": Record,
    "failed": Failed,
    "revoke": Revoke,
    "run": Run,
    "ended": Ended,
    "release": Release,
    "keep": Keep,
    "drop": Drop,
    "arrived": Arrived,
}


class _Form(NamedTuple):
    """How one kind is written: its word and its keys, in the order of the fields."""

    cls: type[Entry]
    kind: str
    keys: tuple[str, ...]
    names: Mapping[str, str]  # key -> field
    required: frozenset[str]


def _form(kind: str, cls: type[Entry]) -> _Form:
    names = {("try" if name == "attempt" else name): name for name in cls._fields}
    required = frozenset(key for key, name in names.items() if name not in cls._field_defaults)
    return _Form(cls, kind, ("k", *names), names, required)


_FORMS = {kind: _form(kind, cls) for kind, cls in _KINDS.items()}
_FORM_OF = {form.cls: form for form in _FORMS.values()}
_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


def encode(entry: Entry) -> bytes:
    """Return the entry's line, without its newline. Pure ASCII, whatever text it holds."""
    form = _FORM_OF[type(entry)]
    return _ENCODE(dict(zip(form.keys, (form.kind, *entry), strict=True))).encode("ascii")


def decode(line: bytes | str) -> Entry | None:
    """Return the entry of a line; None for a kind this release doesn't know.

    Unknown keys are ignored: a newer release may add some within schema 1. ValueError: the line
    is no entry at all, or lacks what its kind needs.
    """
    raw: object = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("not an object")
    found = cast("dict[str, object]", raw)
    form = _FORMS.get(str(found.get("k")))
    if form is None:
        return None
    lacking = form.required - found.keys()
    if lacking:
        raise ValueError(f"{found['k']} without {', '.join(sorted(lacking))}")
    values = {name: found[key] for key, name in form.names.items() if key in found}
    return form.cls(**values)  # type: ignore[arg-type]
