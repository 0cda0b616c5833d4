"""A pipeline written down, and the trees of what its nodes came to.

Knows graph, board and results. Does not know how they are run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ems.pipeline.board import Board, Changed, Lost
from ems.pipeline.graph import Graph, Kind
from ems.pipeline.keys import filled
from ems.pipeline.results import Damaged, Unrecorded
from ems.worker.values import pick

if TYPE_CHECKING:
    from ems.pipeline.results import Results
    from ems.pipeline.specs import Specs


class Written(NamedTuple):
    """A pipeline written down: its graph, the tree of its result, and what went into it."""

    name: str
    file: str
    params: Mapping[str, Any]
    graph: Graph
    wanted: Any
    board: Board
    specs: Specs
    results: Results


def result_tree(written: Written) -> Any:
    """Return the tree of a pipeline's result; all that it needs must be done."""
    board = written.board

    def part(index: int, steps: Any) -> Any:
        return pick(tree_of(written, index), [tuple(step) for step in steps])

    return filled(written.wanted, lambda index, steps: part(board.target_of(index), steps))


def tree_of(written: Written, index: int) -> Any:
    """Return the whole tree of a done node."""
    return make_tree_of(written.graph, lambda: written.board, written.results)(index)


def make_tree_of(
    graph: Graph, board: Callable[[], Board], results: Results
) -> Callable[[int], Any]:
    """Return the function that answers for the stored tree of any done node.

    It raises Lost where a result is gone, and Changed where another one than the node was done
    with is recorded, so that keys and arguments never disagree.
    """

    def whole(index: int) -> Any:
        standing = board()
        index = standing.target_of(index)
        node = graph.nodes[index]
        if node.kind is not Kind.CALL:
            return standing.resolved(node, node.trees[0])
        version = standing.versions[index]
        assert version is not None
        try:
            content = results.content(version)
            if content != standing.contents[index]:
                raise Changed(index, content)
            return results.tree(version)
        except (Unrecorded, Damaged):
            raise Lost(index) from None

    return whole
