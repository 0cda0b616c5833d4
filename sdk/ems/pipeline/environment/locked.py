"""What a lock of tables (uv.lock, poetry.lock, pylock.toml) has installed, as pip's lines.

All that is locked, each in its version, where its marker holds, with its hashes where the lock has
those of all: whatever index a place has, the content is the lock's. Pure.

Forms: docs.astral.sh "uv.lock" (sources), packaging.python.org "pylock.toml specification",
python-poetry.org "poetry.lock" (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from posixpath import normpath
from typing import Any, cast

from .locks import is_local
from .markers import normal

_Table = Mapping[str, Any]
_PUBLIC = "https://pypi.org/simple"
_HASHES = ("sha256:", "sha384:", "sha512:")
"""Those that pip takes."""


def lines_of(text: str) -> tuple[list[str], list[str], str]:
    """Return requirement lines, the names that every place gets, and why it can't be elsewhere.

    The project itself, which the lock names as a folder, is left out: its code travels with tasks,
    as does that of members of its workspace.
    """
    import tomllib

    content = tomllib.loads(text)
    tables: list[_Table] = content.get("package", content.get("packages", []))
    asked = _asked_if(tables)
    older: Mapping[str, Any] = content.get("metadata", {}).get("files", {})  # poetry before 1.3
    lines: list[str] = []
    hashes: list[list[str]] = []
    sure: list[str] = []
    private = problem = ""
    for table in tables:
        name = normal(str(table["name"]))
        if is_local(table):
            if not _travels(table):
                problem = problem or f"{name} is a folder or a file of this machine in the lock"
            continue
        if whence := _not_an_index(table):
            problem = problem or f"{name} comes from {whence}, which is not followed elsewhere"
            continue
        if "version" not in table:
            continue
        marker = _marker(table) or asked.get(name, "")
        lines.append(f"{name}=={table['version']}" + (f" ; {marker}" if marker else ""))
        hashes.append(_hashes(table, older.get(str(table["name"]), [])))
        private = private or (name if _index(table) not in ("", _PUBLIC) else "")
        if not marker:
            sure.append(name)
    if all(hashes):  # of some alone pip takes none
        lines = [
            " ".join([line, *(f"--hash={each}" for each in of)])
            for line, of in zip(lines, hashes, strict=True)
        ]
    elif private:
        problem = problem or (
            f"{private} comes from an index of its own, and the lock lacks hashes, without which"
            " a place may install something else of that name"
        )
    return lines, sure, problem


def _source(table: _Table) -> _Table:
    found: Any = table.get("source", {})
    return cast("_Table", found) if isinstance(found, dict) else {}


def _travels(table: _Table) -> bool:
    """Whether a folder is the project's: nothing is installed of it, or it is read where it is."""
    source = _source(table)
    if "virtual" in source:
        return True
    directory: Any = table.get("directory", {})
    path = str(source.get("editable", "")) or str(source.get("directory", ""))
    path = path or (str(source.get("url", "")) if source.get("type") == "directory" else "")
    path = normpath(path or str(directory.get("path", "..")))
    inside = not path.startswith(("..", "/"))
    return path == "." or (inside and ("editable" in source or bool(directory.get("editable"))))


def _not_an_index(table: _Table) -> str:
    """Return what a package comes from, "" if that is an index."""
    source = _source(table)
    kind = str(source.get("type", ""))
    if "git" in source or "vcs" in table or kind in ("git", "hg", "svn"):
        return "git"
    if "url" in source and kind in ("", "url"):
        return "an address"
    return "a file or an address" if "archive" in table or kind == "file" else ""


def _index(table: _Table) -> str:
    """Return the index of a package, "" where the lock names none."""
    source = _source(table)
    named = source.get("registry") or source.get("url") or table.get("index") or ""
    return str(named).rstrip("/")


def _hashes(table: _Table, older: Iterable[Any]) -> list[str]:
    """Return the hashes of a package's files, as pip writes them; none if a file has none."""
    files: list[Any] = [*table.get("wheels", ()), *table.get("files", ()), *older]
    files += [table["sdist"]] if "sdist" in table else []
    found: list[str] = []
    for file in files:
        own: Mapping[str, str] = file.get("hashes", {})
        said = [str(file.get("hash", "")), *(f"{kind}:{value}" for kind, value in own.items())]
        kept = [each for each in said if each.startswith(_HASHES)]
        if not kept:
            return []
        found += kept
    return list(dict.fromkeys(found))


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
