"""The text that goes with an exported version: how it was made, and what is not here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ems.cli.texts import value, when
from ems.units import seconds_text


def readme(found: Mapping[str, Any], outside: Sequence[str], lost: Sequence[str]) -> str:
    """Return README.txt for a manifest; `outside` and `lost` are what could not be written."""
    return "\n".join(_lines(found, outside, lost)) + "\n"


def _lines(found: Mapping[str, Any], outside: Sequence[str], lost: Sequence[str]) -> Iterator[str]:
    yield f"Version {found['version']} of task {found['task']}"
    yield ""
    yield f"It was run by {found['who']} at {found['place']}, in run {found['run']},"
    yield f"on {when(found['started'])}, and took {seconds_text(found['seconds'])}."
    yield f"State: {found['state']}" + (f" ({found['reason']})" if found["reason"] else "")
    yield ""
    yield from _call(found)
    yield ""
    yield "Environment:"
    yield from (f"  {name} {text}" for name, text in found["spec"].get("env", {}).items())
    yield ""
    yield "manifest.json holds everything that is known; code/ the project's files it was run with;"
    yield "inputs/ its arguments; outputs/ what it gave; log.txt what it wrote; metrics.jsonl what"
    yield 'it reported. In the JSON files, {"$file": [digest, bytes, name]} stands for a file.'
    for title, texts in (("Not here, since it lay outside the store:", outside), ("Lost:", lost)):
        if texts:
            yield ""
            yield title
            yield from (f"  {text}" for text in texts)


def _call(found: Mapping[str, Any]) -> Iterator[str]:
    spec = found["spec"]
    if spec.get("kind") == "command":
        yield f"Command: {spec.get('template', '')}"
    else:
        module, qualname = (*spec.get("entry", ()), "?", "?")[:2]
        yield f"Function: {qualname} of module {module}, called with"
    yield from (f"  {name} = {value(tree, 200)}" for name, tree in found["args"].items())
