"""Read an environment's settings, from what the engine hands over or from its file.

Knows both forms of the values and gathers all faults before it raises. Does not know what a
setting means (`rules/`), nor what AWS offers (`infra/preflight`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import inspect as kinds

from infra.settings import rules
from infra.settings.fault import NAMESPACE, Fault, SettingsError, concerns, errors, with_lines
from infra.settings.shape import Fitting, Unfit, bare
from infra.settings.source import Source, load
from infra.settings.types import Environment

STACKS = Path(__file__).resolve().parent.parent.parent / "stacks"


def read(
    values: Mapping[str, object], environment: str, *, source: Source | None = None
) -> Environment:
    """Return the settings of an environment; raises SettingsError with every fault.

    `values` are by key, with `ems:` before it or without: as they stand in a file, or as the
    engine hands them over, where each is a string and what is more than a string is JSON. With a
    `source`, faults name its file and lines.
    """
    fitting = Fitting()
    found: Environment | None = None
    kind = kinds.type_info(Environment)
    try:
        found = fitting.fit(kind, _plain(values, kind), ())
    except Unfit:
        pass
    faults = list(fitting.faults)
    if found is not None:
        hidden = frozenset(str(step[1]) for step in fitting.lost if step[:1] == ("sites",))
        broken = [fault.where for fault in faults]
        ruled = errors(rules.check(found, environment, hidden))
        faults += [
            each for each in ruled if not any(concerns(each.where, other) for other in broken)
        ]
    if faults:
        if source is not None:
            faults = with_lines(faults, source.lines, source.file)
        raise SettingsError(f"settings of {environment!r}", sorted(faults, key=_place))
    assert found is not None  # without it there is a fault
    return found


def read_file(path: Path) -> Environment:
    """Return the settings in stacks/Pulumi.<env>.yaml; raises SettingsError, with lines."""
    source = load(path)
    return read(source.values, environment_of(path), source=source)


def source_of(environment: str) -> Source | None:
    """Return the file of an environment, for the lines of its faults; None where there is none.

    The engine hands values over without saying where they stand.
    """
    file = STACKS / f"Pulumi.{environment}.yaml"
    return load(file) if file.is_file() else None


def environment_of(path: Path) -> str:
    """Return the environment's name, by its file's name: `dev` of Pulumi.dev.yaml."""
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _plain(values: Mapping[str, object], kind: Any) -> dict[str, object]:
    """Return values by bare key, each string read as JSON unless text is wanted there."""
    text = {each.name for each in kind.fields if isinstance(bare(each.type), kinds.StrType)}
    found: dict[str, object] = {}
    for key, value in values.items():
        name = str(key).removeprefix(f"{NAMESPACE}:")
        found[name] = _decoded(value) if name not in text else ("" if value is None else value)
    return found


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value:  # a key without a value: the engine makes it an empty string
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _place(fault: Fault) -> tuple[str, int]:
    file, _, line = fault.line.rpartition(":")
    return (file, int(line)) if line.isdigit() else (fault.line, 0)
