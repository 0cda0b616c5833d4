"""Why tasks would run: for `emsctl run -n`, one line a task.

Compares what a plan found unknown with earlier runs of the same pipeline. Knows plans and
comparisons. Does not know how a comparison is made.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ems.cli.changes import line
from ems.cli.earlier import Earlier, Reason
from ems.pipeline.loading import recorded_args
from ems.pipeline.nodes import NodeRow
from ems.pipeline.why import Made

if TYPE_CHECKING:
    from ems.pipeline.graph import Node
    from ems.pipeline.plan import Plan
    from ems.pipeline.written import Written
    from ems.store.store import Store

_MOST = 3


def reasons(store: Store, written: Written, plan: Plan) -> dict[str, str]:
    """Return why each task of a plan would run, by name; the first of its calls stands for all."""
    nodes = {node.label: node for node in written.graph.nodes}
    earlier = Earlier(store, written.name, written.file)
    found: dict[str, str] = {}
    for row in plan.rows:
        if row.example:
            found[row.task] = _words(_reason(earlier, written, nodes[row.example]))
        elif row.depends:
            found[row.task] = "depends on results that are not known yet"
    return found


def _reason(earlier: Earlier, written: Written, node: Node) -> Reason:
    version = written.board.versions[node.index]
    assert version is not None
    spec = written.specs.of(node.task)
    row = NodeRow(node.task.name, "", node.label, version.hex(), node.recipe.hex(), "ran")
    made = Made(
        version=version.hex(),
        task=node.task.name,
        spec=json.loads(spec.document),
        sources=json.loads(spec.sources),
        args=recorded_args(written.board, node, written.specs.names(node.task)),
    )
    return earlier.reason(row, made)


def _words(reason: Reason) -> str:
    if reason.kind == "first":
        return "never ran before"
    if reason.kind == "again":
        return "asked for, or its result is gone"
    changes = [line(change) for change in reason.changes]
    more = f"; and {len(changes) - _MOST} more" if len(changes) > _MOST else ""
    text = "; ".join(changes[:_MOST]) + more
    return f"new call: {text}" if reason.kind == "new" else text
