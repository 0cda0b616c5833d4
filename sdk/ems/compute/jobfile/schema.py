"""The JSON schema of job files, for editors, and their keys as tables, for the reference.

Made of the types and what stands below each field. Knows no rule between keys.
"""

from __future__ import annotations

import ast
import inspect
import json
from typing import Any, cast, get_args, get_origin, get_type_hints

import msgspec

from ems.compute.jobfile import types
from ems.compute.jobfile.fitting import allowed, is_keys
from ems.compute.jobfile.types import Asked, Environment, JobSpec, Limits, Retries, Role

KINDS = (JobSpec, Asked, Limits, Environment, Retries, Role)
"""The types, each before those inside it."""


def schema() -> str:
    """Return the JSON schema of a job file: one job, or a list of them."""
    made = msgspec.json.schema(JobSpec)
    defs: dict[str, Any] = made["$defs"]
    for kind in KINDS:
        for name, text in said(kind).items():
            of_key = defs[kind.__name__]["properties"][name]
            defs[kind.__name__]["properties"][name] = {"description": text, **_inner(of_key)}
    defs["JobSpec"]["anyOf"] = [{"required": ["command"]}, {"required": ["roles"]}]
    job = {"$ref": "#/$defs/JobSpec"}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "EMS jobs (job.json, job.yaml)",
        "anyOf": [job, {"type": "array", "items": job, "minItems": 1}],
        "$defs": dict(sorted(defs.items())),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _inner(of_key: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in of_key.items() if name != "description"}


def said(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return the string that stands below each field."""
    tree = ast.parse(inspect.getsource(types))
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == kind.__name__)
    found: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def rows(kind: type[msgspec.Struct]) -> list[tuple[str, str, str, str]]:
    """Return key, what may stand there, default and meaning of each field."""
    texts, hints = said(kind), get_type_hints(kind, include_extras=True)
    return [
        (f"`{each.name}`", _allowed(hints[each.name]), _default(each), texts[each.name])
        for each in msgspec.structs.fields(kind)
    ]


def _allowed(kind: Any) -> str:
    text = allowed(kind)
    if get_origin(kind) is dict:
        return f"by name: {allowed(get_args(kind)[1])}"
    inner = [each for each in (kind, *get_args(kind)) if is_keys(each)]
    links = " or ".join(f"[{each.__name__}](#{each.__name__.lower()})" for each in inner)
    return " or ".join(filter(None, (text if text != "a mapping" or not links else "", links)))


def _default(each: Any) -> str:
    if each.required:
        return "must be set"
    value: Any = each.default if each.default is not msgspec.NODEFAULT else each.default_factory()
    if value is None or value in ((), {}, ""):
        return ""
    if isinstance(value, msgspec.Struct):
        return "its defaults"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in cast("tuple[object, ...]", value))
    return f"`{json.dumps(value)}`"
