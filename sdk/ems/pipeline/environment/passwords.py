"""Passwords in addresses, as people write them into files that say what is installed. Pure.

A variable (`${NAME}`) is none: the place fills it in. Does not know what lines mean.
"""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(\w+)://([^/\s]+)@")
_TOKEN = re.compile(r"://\S*?/t/([^/\s]+)")  # conda's way, in the path
_VARIABLE = re.compile(r"\$\{\w+\}")
_HIDDEN = "…"


def hidden(text: str) -> str:
    """Return a text with its passwords hidden, which is the text itself where it has none."""
    text = _USERINFO.sub(_without_userinfo, text)
    return _TOKEN.sub(_without_token, text)


def _without_userinfo(found: re.Match[str]) -> str:
    scheme, userinfo = found[1], found[2]
    user, _, word = userinfo.partition(":")
    # `https://token@host` and `https://token:@host` are a password, `ssh://git@host` is a name
    alone = not word and scheme.startswith("http") and _VARIABLE.sub("", user)
    return f"{scheme}://{_HIDDEN}@" if _VARIABLE.sub("", word) or alone else found[0]


def _without_token(found: re.Match[str]) -> str:
    if not _VARIABLE.sub("", found[1]):
        return found[0]
    return found[0][: -len(found[1])] + _HIDDEN
