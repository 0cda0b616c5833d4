"""Settings of a project: `.ems.yaml`, found upward, and the store that environment and flags say.

Knows the file's keys and where a project begins. Does not know what a store or an environment is:
it hands their words on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ems.errors import UsageError, did_you_mean

FILE = ".ems.yaml"
STORE_FOLDER = ".ems"
STORE_VARIABLE = "EMS_STORE"
STACK_VARIABLE = "EMS_STACK"
BASE_VARIABLE = "EMS_BASE"
DRIVER_VARIABLE = "EMS_DRIVER"
_MARKS = (FILE, "pyproject.toml", ".git")


@dataclass(frozen=True, slots=True)
class _Found:
    """Where the settings come from."""

    root: Path
    """The project's folder: the nearest one upward with .ems.yaml, pyproject.toml or .git."""
    file: Path | None
    """The file that was read; None where there is none."""


@dataclass(frozen=True, slots=True)
class Settings(_Found):
    """What `.ems.yaml` says, in the project's folder or any folder above it.

    Without the file every key has its default. For the store, the variable EMS_STORE goes before
    the file, and `emsctl --store` before both.
    """

    store: str = ".ems"
    """Where results are kept: a folder, relative to this file, or `s3://bucket/prefix`."""
    environment: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the code runs in, unless a task says otherwise; as in `@ems.task(environment=…)`."""
    jobs: int | None = None
    """How many CPUs a run may use; all of them if not set, and `emsctl run -j` goes before it."""
    stack: str | None = None
    """The sky to use: a Pulumi stack's name, `ssm:REGION/NAME`, or a `.json` file, relative to this
    file; `emsctl stack use` writes it."""
    targets: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Places where jobs run, besides this machine: a name for `on=` and what is there, such as
    `robots: {ssh: [pi@robot1, pi@robot2]}`."""
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keys of the targets that come from the stack, by kind: `batch: {image: "worker:2026-11"}`."""

    @classmethod
    def load(cls, start: Path | str, *, store: str | None = None) -> Settings:
        """Return the settings for a file or folder; `store` is what was said on the command line.

        Raises UsageError, with file and line, for what the file may not say.
        """
        folder = _folder_of(Path(start))
        root = _upward(folder, _MARKS) or folder
        home = _upward(folder, (FILE,))
        file = home / FILE if home else None
        keys = _read(file) if file else {}
        return cls(
            root=root,
            file=file,
            store=_store(store, keys.get("store"), home, root),
            environment=keys.get("environment", {}),
            jobs=keys.get("jobs"),
            stack=os.environ.get(STACK_VARIABLE) or _stack(keys.get("stack"), home),
            targets=keys.get("targets", {}),
            defaults=keys.get("defaults", {}),
        )

    @property
    def base(self) -> Path:
        """Return the folder that relative paths of targets begin at.

        That is the file's own, or the one that EMS_BASE names, for a runner that is a job and has a
        copy of the project.
        """
        own = self.file.parent if self.file else self.root
        return Path(os.environ.get(BASE_VARIABLE) or own)


def cache_folder() -> Path:
    """Return this machine's cache: $EMS_CACHE, or `ems` in $XDG_CACHE_HOME or `~/.cache`."""
    own = os.environ.get("EMS_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ems"


def _folder_of(start: Path) -> Path:
    start = start.absolute()
    return start if start.is_dir() else start.parent


def _upward(folder: Path, names: tuple[str, ...]) -> Path | None:
    for each in (folder, *folder.parents):
        if any(os.path.lexists(each / name) for name in names):
            return each
    return None


def _store(flag: str | None, key: str | None, home: Path | None, root: Path) -> str:
    for said, base in (
        (flag, Path.cwd()),
        (os.environ.get(STORE_VARIABLE), Path.cwd()),
        (key, home),
    ):
        if said and base is not None:
            return said if "://" in said else str(_plain(base / Path(said).expanduser()))
    return str(root / STORE_FOLDER)


def _stack(key: str | None, home: Path | None) -> str | None:
    if key is None or home is None or not key.endswith(".json"):
        return key
    return str(_plain(home / Path(key).expanduser()))


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path))


# -- the file -----------------------------------------------------------------------------------


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


_KEYS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "store": (_is_text, "a folder or s3://bucket/prefix"),
    "environment": (_is_mapping, "a mapping, such as `requirements: requirements.txt`"),
    "jobs": (_is_count, "a whole number from 1"),
    "targets": (_is_mapping, "a mapping of names to places, such as `lab: {ssh: user@host}`"),
    "stack": (_is_text, "a Pulumi stack's name, ssm:REGION/NAME, or a path that ends in .json"),
    "defaults": (_is_mapping, "a mapping of kinds to keys, such as `batch: {image: worker:1}`"),
}


def _read(file: Path) -> dict[str, Any]:
    """Return the file's keys, each checked."""
    shown = _shown(file)
    lines, values = _parsed(file, shown)
    for key, value in values.items():
        where = f"{shown}:{lines[key]}"
        known = _KEYS.get(key)
        if known is None:
            near = did_you_mean(key, list(_KEYS))
            raise UsageError(where, f"unknown key '{key}'{near} (known: {', '.join(_KEYS)})")
        fits, allowed = known
        if not fits(value):
            raise UsageError(where, f"{key}: {_said(value)} does not fit (allowed: {allowed})")
    return values


def _parsed(file: Path, shown: str) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the line of each key and its value."""
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
        node = cast("Any", yaml.compose(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
        values: object = yaml.safe_load(text)
    except OSError as error:
        raise UsageError(shown, f"can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(shown, f"is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise _syntax_error(shown, error) from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise UsageError(shown, f"{_said(values)} is no mapping (allowed: lines of `key: value`)")
    found = cast("dict[object, Any]", values)
    return _lines(node, shown), {str(key): value for key, value in found.items()}


def _lines(node: Any, shown: str) -> dict[str, int]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            raise UsageError(f"{shown}:{line}", f"'{name}' stands in line {lines[name]} already")
        lines[name] = line
    return lines


def _syntax_error(shown: str, error: Any) -> UsageError:
    mark = getattr(error, "problem_mark", None)
    where = f"{shown}:{mark.line + 1}" if mark is not None else shown
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return UsageError(where, f"is no YAML: {problem}")


def _said(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _shown(file: Path) -> str:
    path = os.path.relpath(file)
    return str(file) if path.startswith(os.path.join("..", "..")) else path
