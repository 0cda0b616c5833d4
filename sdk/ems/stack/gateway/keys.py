"""The keys of a VPN connection, out of the secret that AWS writes.

Pure: the secret's text in, keys by tunnel out. Knows the forms a secret may have. Does not fetch
it; never shows a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ems.errors import EmsError

FORM = re.compile(r"[A-Za-z1-9._][A-Za-z0-9._]{7,63}")
"""AWS's rule for keys; it also keeps whatever else a secret holds out of a configuration file."""
_NAMED = re.compile(r"psk|key|secret", re.IGNORECASE)


def keys_of(secret: str, addresses: Sequence[str], arn: str) -> dict[str, str]:
    """Return the key of each tunnel by the public address of AWS's end.

    AWS documents no form. One secret stands for a connection, a JSON object with the key under each
    tunnel's address; objects that name an address and hold a key beside it are read as well.
    """
    try:
        document = json.loads(secret)
    except ValueError:
        raise _unreadable(arn, "is no JSON") from None
    found: dict[str, str] = {}
    for address in addresses:
        key = next(_candidates(document, address), None)
        if key is None:
            raise _unreadable(arn, f"has no key for {address} (it has {_names(document)})")
        if not FORM.fullmatch(key):
            raise _unreadable(arn, f"has no key of AWS's form for {address}")
        found[address] = key
    return found


def _candidates(node: Any, address: str) -> Iterator[str]:
    """Yield what may be the key of an address, the surest first."""
    if isinstance(node, Mapping):
        entries = cast("Mapping[str, Any]", node)
        under = entries.get(address)
        if isinstance(under, str):
            yield under
        if under is not None:
            yield from _named(under)
        if address in entries.values():
            yield from _named(entries)
        for value in entries.values():
            yield from _candidates(value, address)
    elif isinstance(node, list):
        for value in cast("list[Any]", node):
            yield from _candidates(value, address)


def _named(node: Any) -> Iterator[str]:
    """Yield the texts of an object whose names say key."""
    if isinstance(node, Mapping):
        for name, value in cast("Mapping[str, Any]", node).items():
            if isinstance(value, str) and _NAMED.search(name):
                yield value


def _names(document: Any) -> str:
    """Name what a secret has, without a value."""
    if not isinstance(document, Mapping):
        return f"a {type(document).__name__}"
    return ", ".join(sorted(cast("Mapping[str, Any]", document))) or "nothing"


def _unreadable(arn: str, problem: str) -> EmsError:
    return EmsError(arn, f"the secret {problem}", "emsctl stack vpn LAB --no-keys")
