"""Read an environment's file as the Pulumi engine reads it: values, and the line of each key.

Knows YAML and the form of Pulumi.<env>.yaml. Does not know which settings there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ems.errors import did_you_mean
from infra.settings.fault import NAMESPACE, Fault, SettingsError, Step, at

_DEEPEST = 40
_KEYS = ("config", "encryptionsalt", "encryptedkey", "secretsprovider", "environment")
"""What the engine knows at the top of such a file."""
_ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Source:
    """What a file says."""

    file: str
    """The file's path, as it is shown."""
    values: dict[str, Any]
    """The keys of the namespace `ems`, without it."""
    lines: dict[str, int]
    """The line of each path."""
    document: dict[str, Any]
    """The whole file: also the engine's own keys (`encryptionsalt`)."""


class _Loader(yaml.SafeLoader):
    """YAML as the engine reads it: `yes` and `2026-01-01` are text, unlike in PyYAML."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in found
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load(path: Path) -> Source:
    """Return what a file says; raises SettingsError where it can't be read or is no such file."""
    shown = _shown(path)
    node, document = _parsed(path, shown)
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise _off(shown, "the file", "is no mapping (allowed: `config:` with keys `ems:…`)")
    config = document.get("config") or {}
    if not isinstance(config, dict):
        raise _off(shown, "config", "is no mapping (allowed: keys `ems:…` with their values)")
    lines, faults = _lines(node, shown)
    faults += _strange(node, shown)
    values: dict[str, Any] = {}
    for key, value in config.items():
        space, colon, name = str(key).partition(":")
        if not colon:
            what = f"has no namespace (did you mean '{NAMESPACE}:{key}'?)"
            faults.append(Fault(str(key), what, line=shown))
        elif space == NAMESPACE:
            values[name] = value
        elif near := did_you_mean(space, [NAMESPACE]):
            faults.append(Fault(str(key), f"unknown namespace '{space}'{near}", line=shown))
    if faults:
        raise SettingsError(shown, faults)
    return Source(shown, values, lines, document)


def _parsed(path: Path, shown: str) -> tuple[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.compose(text, Loader=_Loader), yaml.load(text, Loader=_Loader)
    except FileNotFoundError:
        known = sorted(each.name.split(".")[1] for each in path.parent.glob("Pulumi.*.yaml"))
        allowed = f" (there are: {', '.join(known)})" if known else ""
        raise _off(shown, "the file", f"is not there{allowed}") from None
    except OSError as error:
        raise _off(shown, "the file", f"can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _off(shown, "the file", f"is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        where = f"line {mark.line + 1}" if mark is not None else "the file"
        raise _off(shown, where, f"is no YAML: {problem}") from None
    except (RecursionError, ValueError, TypeError, OverflowError) as error:
        # PyYAML lets these through for odd scalars, unhashable keys and thousands of levels
        raise _off(shown, "the file", f"is no YAML that can be read: {error}") from None


def _strange(node: Any, shown: str) -> list[Fault]:
    """Return the keys at the top that are misspelt: the engine passes them by without a word.

    Others may hold anchors, where there is a `config`.
    """
    keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    has_config = any(key.value == "config" for key in keys)
    found: list[Fault] = []
    for key in keys:
        name = str(key.value)
        near = did_you_mean(name, list(_KEYS))
        if name not in _KEYS and (near or not has_config):
            allowed = f" (allowed: {', '.join(_KEYS)})"
            what = f"unknown key{near or allowed}"
            found.append(Fault(name, what, line=f"{shown}:{key.start_mark.line + 1}"))
    return found


def _lines(node: Any, shown: str) -> tuple[dict[str, int], list[Fault]]:
    """Return the line of each path below `config`, and the keys that stand twice."""
    lines: dict[str, int] = {}
    faults: list[Fault] = []
    config = _child(node, "config")
    if not isinstance(config, yaml.MappingNode):
        return lines, faults
    for steps, line in _walk(config, ()):
        where = at(*steps)
        if where in lines:
            first = f"stands in line {lines[where]} already"
            faults.append(Fault(where, first, line=f"{shown}:{line}"))
        else:
            lines[where] = line
    return lines, faults


def _walk(node: Any, steps: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], int]]:
    if len(steps) > _DEEPEST:  # an alias may hold itself
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                name = key.value if steps else key.value.removeprefix(f"{NAMESPACE}:")
                yield (*steps, name), key.start_mark.line + 1
                yield from _walk(value, (*steps, name))
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield (*steps, place), value.start_mark.line + 1
            yield from _walk(value, (*steps, place))


def _child(node: Any, name: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if getattr(key, "value", None) == name:
                return value
    return None


def _off(shown: str, where: str, what: str) -> SettingsError:
    return SettingsError(shown, [Fault(where, what)])


def _shown(path: Path) -> str:
    """Return the path from the repository's root: the engine runs programs inside it."""
    full = path.absolute()
    return str(full.relative_to(_ROOT) if full.is_relative_to(_ROOT) else path)
