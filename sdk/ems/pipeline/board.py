"""The board of a run: which nodes wait, are ready, ran, were cached or failed, and what follows.

Pure but for one question: the stored tree of a finished node, for items and attributes of results.
Knows the graph and contents. Does not know stores, workers or time.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any

from ems.pipeline.graph import Graph, Kind, Node
from ems.pipeline.keys import filled, key_of, line_of, pendings_of
from ems.pipeline.pending import node_of
from ems.worker.values import brief, canon_tree, pick

TreeOf = Callable[[int], Any]


class State(IntEnum):
    """Where a node stands; from CACHED on it needs nothing more."""

    WAITING = 0
    READY = 1
    TAKEN = 2
    EXPANDED = 3
    CACHED = 4
    RAN = 5
    FAILED = 6
    SKIPPED = 7
    LEFT_OUT = 8


DONE = frozenset((State.CACHED, State.RAN))


class BadPick(Exception):
    """A part of a result that was passed on does not exist; `node` asked for it."""

    def __init__(self, node: Node, problem: str) -> None:
        self.node = node
        self.problem = problem
        super().__init__(problem)


class Board:
    """States of all nodes of a graph, kept up to date as results come in."""

    def __init__(self, graph: Graph, tree_of: TreeOf) -> None:
        self.graph = graph
        self.tree_of = tree_of
        self.states: list[State] = []
        self.contents: list[str | None] = []
        self.versions: list[bytes | None] = []
        self.ready: deque[int] = deque()
        self._missing: list[int] = []
        self._consumers: dict[int, list[int]] = {}
        self._forwards: dict[int, list[int]] = {}
        self._targets: dict[int, int] = {}
        self._kept: set[int] | None = None
        self.extend()

    # -- growing --------------------------------------------------------------------------------

    def extend(self) -> None:
        """Take in the nodes that were added to the graph since the last call."""
        start = len(self.states)
        for node in self.graph.nodes[start:]:
            self.states.append(State.WAITING)
            self.contents.append(None)
            self.versions.append(None)
            self._missing.append(0)
            if not node.needs and not node.after:
                self._mark_ready(node.index)
                continue
            missing = dead = 0
            for index in {*node.needs, *node.after}:
                self._consumers.setdefault(index, []).append(node.index)
                missing += self.states[index] not in DONE
                dead += self.states[index] in (State.FAILED, State.SKIPPED)
            self._missing[node.index] = missing
            if dead:
                self.skip(node.index)
            elif missing == 0:
                self._mark_ready(node.index)

    def keep_only(self, wanted: Iterable[int]) -> None:
        """Leave out every node that none of `wanted` needs (`--until`)."""
        kept: set[int] = set()
        stack = list(wanted)
        while stack:
            index = stack.pop()
            if index not in kept:
                kept.add(index)
                node = self.graph.nodes[index]
                stack += [*node.needs, *node.after]
        for index in range(len(self.states)):
            if index not in kept:
                self.states[index] = State.LEFT_OUT
        self.ready = deque(index for index in self.ready if index in kept)

    def _mark_ready(self, index: int) -> None:
        if self.states[index] is State.WAITING:
            self.states[index] = State.READY
            self.ready.append(index)

    # -- versions -------------------------------------------------------------------------------

    def take_ready(self) -> list[int]:
        """Return the calls that are ready, with their versions worked out; shapes resolve here."""
        calls: list[int] = []
        while self.ready:
            index = self.ready.popleft()
            if self.states[index] is not State.READY:
                continue
            node = self.graph.nodes[index]
            if node.kind is Kind.CALL:
                self.states[index] = State.TAKEN
                if self.versions[index] is None:
                    self.versions[index] = self._version(node)
                calls.append(index)
            elif node.kind is Kind.GATHER:
                self.done(index, self._line(node, node.trees[0]), State.CACHED)
            else:
                self._expand(node)
        return calls

    def _version(self, node: Node) -> bytes:
        if node.lines is not None:
            return node.recipe
        return key_of(self.graph.prefix(node.task), self.lines(node))

    def lines(self, node: Node) -> tuple[str, ...]:
        """Return the lines that a node's version is made of; its needs must be done."""
        if node.lines is not None:
            return node.lines
        return tuple([self._line(node, tree) for tree in node.trees])

    def _line(self, node: Node, tree: Any) -> str:
        return line_of(tree, lambda index, steps: self._content(node, index, steps))

    def _content(self, node: Node, index: int, steps: Sequence[Any]) -> str:
        if not steps:
            content = self.contents[index]
            if content is None:
                raise AssertionError(f"{node.label} asks for {index} before it is done")
            return content
        return brief(canon_tree(self._part(node, index, steps)))

    def _part(self, node: Node, index: int, steps: Sequence[Any]) -> Any:
        try:
            return pick(self.tree_of(index), [tuple(step) for step in steps])
        except LookupError as error:
            raise BadPick(node, f"{self.graph.nodes[index].label}: {error.args[0]}") from None

    def resolved(self, node: Node, tree: Any) -> Any:
        """Return a tree of a node's arguments with the stored trees in place of pending parts."""
        return filled(tree, lambda index, steps: self._part(node, index, steps))

    def _expand(self, node: Node) -> None:
        assert node.expand is not None
        items = self.resolved(node, node.trees[0])
        if type(items) is dict and "$tuple" in items:
            items = items["$tuple"]
        if type(items) is not list:
            raise BadPick(node, f"{node.label} goes over a list, and the result is {_kind(items)}")
        self.states[node.index] = State.EXPANDED
        whole = node.expand([items, *node.trees[1:]])
        self.extend()
        target = node_of(whole).index
        self._forwards.setdefault(target, []).append(node.index)
        self._targets[node.index] = target
        if self.states[target] in DONE:
            self._forward(target)
        elif self.states[target] in (State.FAILED, State.SKIPPED):
            self.skip(node.index)

    def _forward(self, target: int) -> None:
        content = self.contents[target]
        assert content is not None
        for index in self._forwards.get(target, ()):
            self.done(index, content, self.states[target])

    def target_of(self, index: int) -> int:
        """Return the node that holds the result of a node: itself, or what it expanded to."""
        while index in self._targets:
            index = self._targets[index]
        return index

    # -- what happened --------------------------------------------------------------------------

    def done(self, index: int, content: str, how: State) -> None:
        """A node has a result: its consumers may become ready."""
        former = self.contents[index]
        self.states[index] = how
        self.contents[index] = content
        for consumer in self._consumers.get(index, ()):
            state = self.states[consumer]
            if state is State.WAITING:
                self._missing[consumer] -= 1
                if self._missing[consumer] == 0:
                    self._mark_ready(consumer)
            elif former is not None and former != content and state in DONE:
                self._restart(consumer)
        if index in self._forwards:
            self._forward(index)

    def failed(self, index: int) -> None:
        """A node failed for good: everything that needs it is skipped."""
        self.states[index] = State.FAILED
        self._skip_consumers(index)

    def skip(self, index: int) -> None:
        """A node can't run, since something that it needs did not end well."""
        if self.states[index] in (State.SKIPPED, State.FAILED):
            return
        self.states[index] = State.SKIPPED
        self._skip_consumers(index)

    def _skip_consumers(self, index: int) -> None:
        for consumer in (*self._consumers.get(index, ()), *self._forwards.get(index, ())):
            if self.states[consumer] in (State.WAITING, State.EXPANDED):
                self.skip(consumer)

    def reopen(self, index: int) -> None:
        """The result of a done node is gone: it must run again before what waits for it can."""
        self.states[index] = State.WAITING
        for consumer in self._consumers.get(index, ()):
            if self.states[consumer] in (State.WAITING, State.READY, State.TAKEN):
                self._missing[consumer] += 1
                self.states[consumer] = State.WAITING
        if self._missing[index] == 0:
            self._mark_ready(index)

    def _restart(self, index: int) -> None:
        self.versions[index] = None
        self.reopen(index)

    def unfinished(self) -> bool:
        """Whether some node is still to come to an end."""
        return any(state < State.CACHED for state in self.states)

    def needed_parts(self, tree: Any) -> list[int]:
        """Return the nodes whose results a tree takes in."""
        return [index for index, _ in pendings_of(tree)]


def _kind(tree: Any) -> str:
    if type(tree) is dict:
        keys = list(tree)
        return keys[0][1:] if len(keys) == 1 and keys[0][:1] == "$" else "a dict"
    return f"{type(tree).__name__} {tree!r}"
