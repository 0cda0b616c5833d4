"""The forms in which AWS's services tell tags and names; the tables of this folder share them.

Serves no type itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.rigs.sky.kind import Props


def tag_list(tags: Mapping[str, str] | None, key: str = "Key", value: str = "Value") -> list[Props]:
    """Return tags as most services take them: a list of pairs with names."""
    return [{key: k, value: v} for k, v in (tags or {}).items()]


def tag_map(tags: Iterable[Props], key: str = "Key", value: str = "Value") -> dict[str, str]:
    """Return tags as a mapping."""
    return {tag[key]: tag[value] for tag in tags}


def tag_changes(old: Props, new: Props) -> tuple[dict[str, str], list[str]]:
    """Return which tags are to be set, and which keys are to go, from one state to the other."""
    before, after = old.get("tags") or {}, new.get("tags") or {}
    wanted = {key: value for key, value in after.items() if before.get(key) != value}
    return wanted, sorted(set(before) - set(after))


def upper(value: Any) -> Any:
    """Return Pulumi's names as most services write them: `ownerUid` → `OwnerUid`."""
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: upper(item) for name, item in value.items()}
    return value


def lower(value: Any) -> Any:
    """Return a service's names as Pulumi writes them."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: lower(item) for name, item in value.items()}
    return value
