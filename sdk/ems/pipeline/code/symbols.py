"""What is kept of a module's source: plain tuples and strings that a memo can hold.

Knows the shape of facts. Knows neither syntax trees (`facts`) nor files (`project`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

# kind, line, the construct as it stands in the source, absolute name it is about (or "")
Mark = tuple[str, int, str, str]

# How a module-level item touches something that others own: absolute name, and how deep the
# function of that name runs at that moment: 0: its body, 1: also the function that it returns,
# BASE: it is a base class, CALL: its body, and a method of an object counts by its name only.
Write = tuple[str, int]
BASE = -1
CALL = -2

# One top-level name of a module (all its definitions together), in this order:
#   digest   of the normal form, SHA-256 in hex
#   kind     "class", "def" or "data"
#   near     names of the same module that it uses; "*" stands for all of them
#   refs     absolute names that it uses, as imported: "a.b", or "a.b:c" where a.b is a module;
#            "?a.b": unknown here, perhaps from a star import; "~a.b": a string constant that reads
#            like a dotted name
#   loads    modules that it imports when it runs: "a.b", or "a:b" for `from a import b`
#   writes   what it may change when its module is imported (a registry that decorates it)
#   mutates  what it may change when it is called: depth of the function, absolute name
#   marks    what can't be resolved in it
Symbol = tuple[
    str,
    str,
    tuple[str, ...],
    tuple[str, ...],
    tuple[str, ...],
    tuple[Write, ...],
    tuple[tuple[int, str], ...],
    tuple[Mark, ...],
]

# The name under which the statements with effects of a module stand.
TOP = "<top level>"


def digest_of(text: str) -> str:
    """Return the digest of a normal form."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Facts:
    """What one module defines, imports and does when it is imported.

    `names` maps a name that an import binds to the absolute names that it may stand for; `idle` are
    imports that nothing here uses, `writers` the symbols that may change what others own.
    `texts` holds the normal form of each symbol and is empty when the facts come from a memo.
    """

    module: str
    package: bool
    symbols: dict[str, Symbol]
    names: dict[str, tuple[str, ...]]
    stars: tuple[str, ...]
    exports: tuple[str, ...] | None
    loads: tuple[str, ...]
    idle: tuple[str, ...]
    writers: tuple[str, ...]
    texts: dict[str, str]
