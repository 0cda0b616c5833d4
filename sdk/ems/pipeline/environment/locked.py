"""What a lock of tables (uv.lock, poetry.lock, pylock.toml) has installed, as pip's lines.

All that is locked, each in its version, where its marker holds. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from .locks import is_local
from .markers import normal

_Table = Mapping[str, Any]


def lines_of(text: str) -> tuple[list[str], list[str], str]:
    """Return requirement lines, the names that every place gets, and why it can't be elsewhere.

    The project itself, which the lock names as a folder, is left out: its code travels with tasks.
    """
    import tomllib

    content = tomllib.loads(text)
    tables: list[_Table] = content.get("package", content.get("packages", []))
    asked = _asked_if(tables)
    lines: list[str] = []
    sure: list[str] = []
    problem = ""
    for table in tables:
        source: Any = table.get("source", {})
        kind = str(source.get("type", "")) if isinstance(source, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        if is_local(table):
            continue
        name = normal(str(table["name"]))
        if "git" in source or "vcs" in table or kind == "git":
            problem = problem or f"{name} comes from git, and a lock's git is not made elsewhere"
            continue
        if "version" not in table:
            continue
        marker = _marker(table) or asked.get(name, "")
        lines.append(f"{name}=={table['version']}" + (f" ; {marker}" if marker else ""))
        if not marker:
            sure.append(name)
    return lines, sure, problem


def _marker(table: _Table) -> str:
    """Return the marker that a table has itself."""
    own: Any = table.get("marker") or table.get("markers") or ""
    if isinstance(own, dict):  # of poetry, by group
        return _any(str(each) for each in cast("dict[str, Any]", own).values())
    return str(own) or _any(map(str, table.get("resolution-markers", ())))


def _asked_if(tables: Iterable[_Table]) -> dict[str, str]:
    """Return the markers under which others ask for a package, where all that do have one (uv)."""
    found: dict[str, list[str]] = {}
    for table in tables:
        optional: Mapping[str, Any] = table.get("optional-dependencies", {})
        groups: Mapping[str, Any] = table.get("dev-dependencies", {})
        for each in (table.get("dependencies", []), *optional.values(), *groups.values()):
            if isinstance(each, list):
                for wanted in cast("list[dict[str, Any]]", each):
                    marker = str(wanted.get("marker", ""))
                    found.setdefault(normal(str(wanted["name"])), []).append(marker)
    return {name: _any(markers) for name, markers in found.items() if all(markers)}


def _any(markers: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(markers))
    if len(distinct) < 2:
        return "".join(distinct)
    return " or ".join(f"({each})" for each in distinct)
