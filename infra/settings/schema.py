"""Make the reference of settings: a page for people, a JSON schema for editors.

`python -m infra.settings.schema` writes both into docs/reference; a test fails when they are stale.
Reads types, their descriptions and docstrings. Knows no rule between settings.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec import inspect as kinds

from infra.settings import types
from infra.settings.fault import NAMESPACE
from infra.settings.shape import allowed, bare, default
from infra.settings.types import Environment

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "reference"
PAGE, SCHEMA = FOLDER / "environment.md", FOLDER / "environment.schema.json"

_HEAD = f"""# An environment's settings

<!-- Made by `python -m infra.settings.schema` from the types: change the text there. -->

`stacks/Pulumi.<environment>.yaml` holds the settings of one environment, values and no logic, under
`config`. The keys of the first table stand there as `{NAMESPACE}:<key>`; those of the others stand
inside them. All of them are checked, also against each other and against the account, before
anything is made, and every fault is named with its key and line:

```console norun=needs-an-account
$ python -m infra.preflight --stack dev
```

Editors that know JSON schema complete and check the file by
[environment.schema.json](environment.schema.json).
"""
_ENGINE = {
    "encryptionsalt": "Written by Pulumi: the salt of the passphrase.",
    "encryptedkey": "Written by Pulumi: the key of the stack's secrets, encrypted.",
    "secretsprovider": "Who encrypts the stack's secrets: `passphrase`, or a key as `awskms://…`.",
}


def page() -> str:
    """Return the page: a table for each type."""
    return _HEAD + "".join(_section(kind) for kind in _kinds(Environment))


def schema() -> str:
    """Return the JSON schema of a whole Pulumi.<environment>.yaml."""
    made = msgspec.json.schema(Environment)
    defs: dict[str, Any] = made["$defs"]
    for name, each in defs.items():
        said = _said(getattr(types, name))
        for key, of_key in each["properties"].items():
            if key in said:
                each["properties"][key] = _described(of_key, said[key])
    whole = defs.pop(Environment.__name__)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "EMS environment (stacks/Pulumi.<environment>.yaml)",
        "type": "object",
        "required": ["config"],
        "additionalProperties": False,
        "properties": {
            "config": {
                "type": "object",
                "required": [f"{NAMESPACE}:{key}" for key in whole["required"]],
                "properties": {
                    f"{NAMESPACE}:{key}": _or_text(each)
                    for key, each in whole["properties"].items()
                },
                # other programs' keys, and those of the engine
                "patternProperties": {f"^(?!{NAMESPACE}:)[^:]+:.+$": {}},
                "additionalProperties": False,
            },
            **{key: {"type": "string", "description": text} for key, text in _ENGINE.items()},
        },
        "$defs": dict(sorted(defs.items())),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write() -> None:
    """Write both."""
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")


def _kinds(root: type[Struct]) -> list[type[Struct]]:
    """Return the types of settings, each before those inside it, once."""
    found: dict[type[Struct], None] = {root: None}
    for each in kinds.type_info(root).fields:  # pyright: ignore[reportAttributeAccessIssue]
        for inner in _structs(each.type):
            found |= dict.fromkeys(_kinds(inner))
    return list(found)


def _structs(kind: Any) -> list[type[Struct]]:
    kind = bare(kind)
    if isinstance(kind, kinds.StructType):
        return [kind.cls]
    if isinstance(kind, kinds.UnionType):
        return [one for each in kind.types for one in _structs(each)]
    if isinstance(kind, kinds.DictType):
        return _structs(kind.value_type)
    return _structs(kind.item_type) if isinstance(kind, kinds.VarTupleType) else []


def _section(kind: type[Struct]) -> str:
    doc, said = inspect.getdoc(kind) or "", _said(kind)
    rows = [("key", "value", "default", ""), ("---",) * 4]
    for each in kinds.type_info(kind).fields:  # pyright: ignore[reportAttributeAccessIssue]
        shown = _value(each.type)
        rows.append((f"`{each.name}`", shown, _default(each), said.get(each.name, "")))
    table = "".join("| " + " | ".join(map(_cell, row)) + " |\n" for row in rows)
    return f"\n## {kind.__name__}\n\n{doc}\n\n{table.replace('|  |', '| |')}"


def _value(kind: Any) -> str:
    """Return what may stand there, with links to other types."""
    if isinstance(kind, kinds.Metadata):
        said = (kind.extra_json_schema or {}).get("description")
        return str(said) if said else _value(kind.type)
    if isinstance(kind, kinds.UnionType):
        one = next(each for each in kind.types if not isinstance(each, kinds.NoneType))
        return f"{_value(one)}, or `null`"
    if isinstance(kind, kinds.StructType):
        return f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
    if isinstance(kind, kinds.DictType):
        return f"by name: {_value(kind.value_type)}"
    if isinstance(kind, kinds.VarTupleType):
        return f"list: {_value(kind.item_type)}"
    if isinstance(kind, kinds.LiteralType):
        return ", ".join(f"`{each}`" for each in kind.values)
    return "text" if isinstance(kind, kinds.StrType) else allowed(kind)


def _default(each: kinds.Field) -> str:
    value = default(each)
    if value is NODEFAULT:
        return "must be set"
    if isinstance(value, Struct):
        return "its defaults"
    if isinstance(value, (Mapping, tuple)) and not value:
        return "none"
    plain: Any = msgspec.to_builtins(value)
    if isinstance(plain, (dict, list, tuple)):
        return f"`{json.dumps(plain)}`"
    if plain is None or plain == "":
        return "none"
    return f"`{str(plain).lower() if isinstance(plain, bool) else plain}`"


def _said(kind: type[Struct]) -> dict[str, str]:
    """Return the sentence below each field, as the source has it."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def _described(of_key: dict[str, Any], text: str) -> dict[str, Any]:
    before = of_key.get("description")
    return {**of_key, "description": f"{text} ({before})" if before else text}


def _or_text(each: dict[str, Any]) -> dict[str, Any]:
    """The engine writes simple values of the file's own keys back as text."""
    if each.get("type") == "boolean":
        text: dict[str, Any] = {"enum": ["true", "false"]}
    elif "enum" in each and all(isinstance(one, int) for one in each["enum"]):
        text = {"enum": [str(one) for one in each["enum"]]}
    else:
        return each
    outer = {key: value for key, value in each.items() if key in ("description", "default")}
    inner = {key: value for key, value in each.items() if key not in outer}
    return {**outer, "anyOf": [inner, text]}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    write()
