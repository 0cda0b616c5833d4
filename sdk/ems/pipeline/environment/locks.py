"""Lock files: requirements (pip), uv.lock, poetry.lock, pylock.toml, conda's environment.yml.

Knows their forms and what they pin. Does not know what is installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from ems.errors import UsageError
from ems.hashing import digest_bytes

from .kept import kept
from .markers import normal, requirement
from .passwords import hidden

_LOCAL = frozenset(["virtual", "editable", "directory", "path", "workspace"])
_Tables = tuple[dict[str, str], list[str], dict[str, list[str]], str]


class Lock(NamedTuple):
    """Distributions by normal name: pinned versions, those without one, what they need."""

    digest: str
    pins: dict[str, str]
    loose: list[str]
    requires: dict[str, list[str]]
    python: str = ""


def read_lock(cache: Path, path: Path, kind: str, python: str) -> Lock:
    """Return what a file pins for a Python version; raises UsageError where it can't be read."""
    subject = f"environment {kind}: {path}"
    try:
        data = path.read_bytes()
        return _parse(cache, path, data, kind, python)
    except OSError as error:
        problem = f"can't be read: {error.strerror}"
        raise UsageError(subject, problem, "a path relative to the project") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(subject, f"can't be read: {error}") from None


def _parse(cache: Path, path: Path, data: bytes, kind: str, python: str) -> Lock:
    digest, text = digest_bytes(data), data.decode("utf-8-sig")
    if kind == "conda":
        return Lock(
            digest, *kept(cache, f"lock {path}", (digest, python, 2), lambda: _conda(text, python))
        )
    if "[[package" in text:
        return Lock(
            digest, *kept(cache, f"lock {path}", (digest, python, 2), lambda: _toml(text, python))
        )
    lock = Lock(digest, {}, [], {})
    included = _requirements(lock, path, text, python)
    return lock._replace(digest=digest_bytes(data + included)) if included else lock


def _requirements(lock: Lock, path: Path, text: str, python: str) -> bytes:
    """Add what a requirements file pins; return the content of the files that it includes."""
    included = b""
    for line in logical(text):
        words = line.split()
        if words[0] in ("-r", "--requirement") and len(words) > 1:
            inner = path.parent / words[1]
            data = inner.read_bytes()
            included += data + _requirements(lock, inner, data.decode("utf-8-sig"), python)
            continue
        found = None if words[0].startswith("-") else requirement(line.split(" --", 1)[0], python)
        if found is None or not found.applies:
            continue
        if found.version:
            lock.pins[found.name] = hidden(found.version)  # an address may hold a password
        else:
            lock.loose.append(found.name)
    return included


def logical(text: str) -> Iterator[str]:
    """Yield the lines of a requirements file, joined where they go on, without comments."""
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        line = line.strip()
        if not line.startswith("#"):
            line = line.split(" #", 1)[0].strip()
            if line:
                yield line


def _toml(text: str, python: str) -> _Tables:
    """Read uv.lock, poetry.lock or pylock.toml, which list packages as tables."""
    import tomllib

    content = tomllib.loads(text)
    pins: dict[str, str] = {}
    requires: dict[str, list[str]] = {}
    for package in content.get("package", content.get("packages", [])):
        name = normal(package["name"])
        if is_local(package) or not _wanted(package, python):
            continue
        pins[name] = str(package.get("version", ""))
        listed: Any = package.get("dependencies", {})  # tables by name, or a list of tables
        tables = cast(list[dict[str, Any]], listed) if isinstance(listed, list) else None
        named = cast(dict[str, Any], listed) if tables is None else {}
        names = [each["name"] for each in tables] if tables is not None else list(named)
        requires[name] = [normal(str(each)) for each in names]
    return pins, [], requires, ""


def is_local(package: Mapping[str, Any]) -> bool:
    """Whether a lock names a package as a folder, such as the project itself, and pins nothing."""
    source: Any = package.get("source", {})
    kinds = {*_LOCAL.intersection(source), *_LOCAL.intersection(package)}
    return bool(kinds) or (isinstance(source, dict) and source.get("type") in _LOCAL)  # pyright: ignore[reportUnknownMemberType]


def _wanted(package: Mapping[str, Any], python: str) -> bool:
    found = requirement(f"x ; {package['marker']}", python) if "marker" in package else None
    return found is None or found.applies


def conda_file(text: str) -> Any:
    """Return what a conda file says; raises ValueError, in one line, where it is no YAML."""
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ValueError(f"{where}{said}") from None


def _conda(text: str, python: str) -> _Tables:
    content: Any = conda_file(text)
    pins: dict[str, str] = {}
    loose: list[str] = []
    found = ""
    for each in cast(list[Any], content.get("dependencies", [])):
        if isinstance(each, dict):
            inner = [
                requirement(str(line), python) for line in cast(dict[str, Any], each).get("pip", [])
            ]
            pins.update(
                {
                    one.name: hidden(one.version)
                    for one in inner
                    if one and one.applies and one.version
                }
            )
            loose += [one.name for one in inner if one and one.applies and not one.version]
            continue
        name, version = _conda_pin(str(each))
        if name == "python":
            found = ".".join(version.split(".")[:2])
        elif version:
            pins[name] = version
        else:
            loose.append(name)
    return pins, loose, {}, found


def _conda_pin(text: str) -> tuple[str, str]:
    """Return name and exact version from `channel::name=1.2.3=build`; `name=1.2.*` is not exact."""
    text = text.rpartition("::")[2].replace(" ", "")
    name, sign, rest = text.partition("=")
    version = rest.lstrip("=").partition("=")[0]
    exact = (
        sign
        and "*" not in version
        and not name.endswith(("<", ">", "!", "~"))
        and "," not in version
    )
    name = normal(name.rstrip("<>!~").partition("<")[0].partition(">")[0])
    return name, version if exact or name == "python" else ""
