"""The nodes of an ended run as one object: which task, label, version, recipe, and how it went.

Compressed JSON, content-addressed: the same run again, all cached, writes the same object. Knows
its format (schema 1). Does not know records.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ems.pipeline.board import Board
from ems.pipeline.graph import Kind
from ems.pipeline.tally import HOW

SCHEMA = 1


class NodeRow(NamedTuple):
    """One call of a run; `how` is ran, cached, failed, skipped, left out or pending."""

    task: str
    spec: str
    label: str
    version: str
    recipe: str
    how: str


def pack(board: Board, spec_of: Callable[[Any], str]) -> bytes:
    """Return the object for a board; `spec_of` gives the digest of a task's spec document."""
    tasks: dict[int, int] = {}
    head: list[dict[str, str]] = []
    rows: list[str] = []
    for node, state, version in zip(board.graph.nodes, board.states, board.versions, strict=True):
        if node.kind is not Kind.CALL:
            continue
        at = tasks.setdefault(id(node.task), len(tasks))
        if at == len(head):
            head.append({"name": node.task.name, "spec": spec_of(node.task)})
        known = f'"{version.hex()}"' if version is not None else "null"
        recipe = "null" if version == node.recipe else f'"{node.recipe.hex()}"'
        how = HOW.get(state, "pending")
        rows.append(f'[{at},{json.dumps(node.label)},{known},{recipe},"{how}"]')
    text = f'{{"schema":{SCHEMA},"tasks":{json.dumps(head)},"nodes":[{",".join(rows)}]}}'
    return zlib.compress(text.encode("ascii"), 1)


def unpack(data: bytes) -> list[NodeRow]:
    """Return the rows of a run's nodes object; ValueError for a schema of a later release."""
    found: dict[str, Any] = json.loads(zlib.decompress(data))
    if found.get("schema") != SCHEMA:
        raise ValueError(f"nodes of schema {found.get('schema')} (this release reads {SCHEMA})")
    tasks: Sequence[dict[str, str]] = found["tasks"]
    return [
        NodeRow(
            tasks[at]["name"], tasks[at]["spec"], label, version or "", recipe or version or "", how
        )
        for at, label, version, recipe, how in found["nodes"]
    ]
