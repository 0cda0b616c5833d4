"""What a call needs from the store, and whether it is there and sound.

Files travel in arguments as parts of results, as items that a shape grew from, and inside folders.
Each has a call that made it and can make it again. Knows boards, records and objects. Does not know
what happens about a loss.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ems.pipeline.board import DONE, Board
from ems.pipeline.graph import Node
from ems.pipeline.results import Damaged, Unrecorded
from ems.worker.values import files_of, pick

if TYPE_CHECKING:
    from ems.pipeline.results import Results
    from ems.store.store import Store


class Losses:
    """Checks each object once a run; `recheck` forgets what was found.

    What lies far away is fetched to be checked only if it is needed here, or came to be doubted.
    """

    def __init__(self, store: Store, results: Results) -> None:
        self._store, self._results = store, results
        self._sound: set[str] = set()
        self._there: set[str] = set()
        self._doubted = False

    def recheck(self) -> None:
        """A worker did not find what was here: look again, and at contents."""
        self._sound.clear()
        self._there.clear()
        self._doubted = True

    def of_call(self, board: Board, node: Node, *, here: bool = True) -> list[int]:
        """Return the done calls that have to run again before a call can start.

        `here`: it may start on this machine.
        """
        if not node.needs and not board.origins:
            return []
        trees = list(node.trees)
        grown: list[tuple[str, tuple[int, ...]]] = []
        for digest, _ in files_of(trees) if board.origins else ():
            makers = board.origins.get(digest, ())
            if makers:
                inside = self._with_inside([digest], _folders_of(trees), here=here)
                grown += [(each, makers) for each in inside]
        return self._lost(board, trees, grown, here=here)

    def of_tree(self, board: Board, tree: Any) -> list[int]:
        """Return the done calls whose results a tree takes in and that are not all there."""
        return self._lost(board, tree, [], here=True)

    def _lost(
        self, board: Board, tree: Any, grown: Sequence[tuple[str, tuple[int, ...]]], *, here: bool
    ) -> list[int]:
        parts = [part for part in board.makers(tree) if board.states[part[0]] in DONE]
        self._results.fetch([v for i, _ in parts if (v := board.versions[i]) is not None])
        needed: dict[str, list[int]] = {}
        lost: dict[int, None] = {}
        for index, steps in parts:
            try:
                for digest in self._files(board, index, steps, here=here):
                    needed.setdefault(digest, []).append(index)
            except (Unrecorded, Damaged):
                lost[index] = None
        for digest, makers in grown:
            needed.setdefault(digest, []).extend(makers)
        for digest in self._unsound(needed, here=here):
            lost.update(dict.fromkeys(i for i in needed[digest] if board.states[i] in DONE))
        return list(lost)

    def _files(
        self, board: Board, index: int, steps: Sequence[Any], *, here: bool
    ) -> Iterable[str]:
        version = board.versions[index]
        assert version is not None
        tree = pick(self._results.tree(version), [tuple(step) for step in steps])
        named = [digest for digest, _ in files_of(tree)]
        return self._with_inside(named, _folders_of(tree), here=here)

    def _with_inside(
        self, digests: Iterable[str], folders: frozenset[str], *, here: bool
    ) -> list[str]:
        """Return objects, and after each folder's listing the files that it lists."""
        found: list[str] = []
        for digest in digests:
            found.append(digest)
            if digest in folders and not self._unsound([digest], here=here):
                found += [str(row[2]) for row in json.loads(self._store.objects.read(digest))]
        return found

    def _unsound(self, digests: Iterable[str], *, here: bool) -> list[str]:
        objects, read = self._store.objects, here or self._doubted
        known = self._sound if read else self._sound | self._there
        unknown = [digest for digest in digests if digest not in known]
        if not unknown:
            return []
        found = objects.sound(unknown) if read else objects.present(unknown)
        if read:
            self._sound |= found
        else:
            self._there |= found
        return [digest for digest in unknown if digest not in found]


def _folders_of(tree: Any) -> frozenset[str]:
    """Return the digests of the folders in a tree."""
    found: set[str] = set()
    stack = [tree]
    while stack:
        each = stack.pop()
        if type(each) is list:
            stack += each
        elif type(each) is dict:
            if "$dir" in each and len(each) == 1:
                found.add(str(each["$dir"][0]))
            else:
                stack += each.values()
    return frozenset(found)
