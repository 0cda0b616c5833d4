"""The board of a run: which nodes wait, are ready, ran, were cached or failed, and what follows.

Pure but for one question: the stored tree of a finished node, for items and attributes of results.
Knows the graph and contents. Does not know stores, workers or time.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any

from ems.errors import EmsError
from ems.pipeline.graph import Graph, Kind, Node
from ems.pipeline.keys import filled, key_of, line_of, pendings_of
from ems.pipeline.pending import node_of
from ems.worker.values import brief, canon_tree, files_of, pick

TreeOf = Callable[[int], Any]


class State(IntEnum):
    """Where a node stands; from CACHED on it needs nothing more.

    TAKEN: queued by the runner, under the version of that moment. FLYING: at a worker.
    """

    WAITING = 0
    READY = 1
    TAKEN = 2
    FLYING = 3
    EXPANDED = 4
    CACHED = 5
    RAN = 6
    FAILED = 7
    SKIPPED = 8
    LEFT_OUT = 9


DONE = frozenset((State.CACHED, State.RAN))


class BadPick(Exception):
    """A part of a result that was passed on does not exist; `node` asked for it."""

    def __init__(self, node: Node, problem: str) -> None:
        self.node = node
        self.problem = problem
        super().__init__(problem)


class Lost(Exception):
    """The stored result of a done node is gone or damaged."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(index)


class Changed(Exception):
    """What is recorded of a done node's version is another content than it was done with."""

    def __init__(self, index: int, content: str) -> None:
        self.index = index
        self.content = content
        super().__init__(index, content)


Trouble = BadPick | Lost | Changed


class Board:
    """States of all nodes of a graph, kept up to date as results come in."""

    def __init__(self, graph: Graph, tree_of: TreeOf) -> None:
        self.graph = graph
        self.tree_of = tree_of
        self.states: list[State] = []
        self.contents: list[str | None] = []
        self.versions: list[bytes | None] = []
        self.ready: deque[int] = deque()
        self.origins: dict[str, tuple[int, ...]] = {}
        """Which calls made the files among the items that shapes grew from, by digest."""
        self._missing: dict[int, set[int]] = {}
        self._consumers: dict[int, list[int]] = {}
        self._forwards: dict[int, list[int]] = {}
        self._targets: dict[int, int] = {}
        self._grown: dict[int, range] = {}
        self._stale: set[int] = set()
        self.extend()

    # -- growing --------------------------------------------------------------------------------

    def extend(self) -> None:
        """Take in the nodes that were added to the graph since the last call."""
        for node in self.graph.nodes[len(self.states) :]:
            self.states.append(State.WAITING)
            self.contents.append(None)
            self.versions.append(None)
            if not node.needs and not node.after:
                self._nudge(node.index)
                continue
            for index in {*node.needs, *node.after}:
                self._consumers.setdefault(index, []).append(node.index)
                if self.states[index] is State.LEFT_OUT:
                    self._revive(index)
            self._settle_new(node)

    def _settle_new(self, node: Node) -> None:
        needs = {*node.needs, *node.after}
        missing = {index for index in needs if self.states[index] not in DONE}
        if missing:
            self._missing[node.index] = missing
        if any(self.states[index] in (State.FAILED, State.SKIPPED) for index in needs):
            self.skip(node.index)
        else:
            self._nudge(node.index)

    def _revive(self, index: int) -> None:
        """A node that was left out is needed after all, by something that grew."""
        self.states[index] = State.WAITING
        node = self.graph.nodes[index]
        for need in (*node.needs, *node.after):
            if self.states[need] is State.LEFT_OUT:
                self._revive(need)
        self._settle_new(node)

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

    def _nudge(self, index: int) -> None:
        """Make a waiting node ready if nothing is missing any more."""
        if self.states[index] is State.WAITING and not self._missing.get(index):
            self.states[index] = State.READY
            self.ready.append(index)

    # -- versions -------------------------------------------------------------------------------

    def take_ready(self) -> tuple[list[int], list[tuple[int, Trouble]]]:
        """Return the calls that are ready, with their versions, and what stands in others' way.

        Shapes resolve here. A node in trouble waits; `wait_for` lets it go on.
        """
        calls: list[int] = []
        troubles: list[tuple[int, Trouble]] = []
        while self.ready:
            index = self.ready.popleft()
            if self.states[index] is not State.READY:
                continue
            node = self.graph.nodes[index]
            if node.lines is not None:  # nothing above it: its version is its recipe
                self.versions[index] = node.recipe
                self.states[index] = State.TAKEN
                calls.append(index)
                continue
            try:
                if self._take(node):
                    calls.append(index)
            except (BadPick, Lost, Changed) as trouble:
                self.states[index] = State.WAITING
                troubles.append((index, trouble))
        return calls, troubles

    def _take(self, node: Node) -> bool:
        """Bring a ready node on; whether it is a call, which somebody has to run."""
        if node.kind is Kind.CALL:
            self.versions[node.index] = self._version(node)
            self.states[node.index] = State.TAKEN
            return True
        if node.kind is Kind.GATHER:
            self.done(node.index, self._line(node, node.trees[0]), State.CACHED)
        else:
            self._expand(node)
        return False

    def _version(self, node: Node) -> bytes:
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
        gathered = self.graph.nodes[self.target_of(index)]
        try:
            if steps and gathered.kind is Kind.GATHER and type(gathered.trees[0]) is list:
                return self._item(gathered, steps)
            return pick(self.tree_of(index), [tuple(step) for step in steps])
        except LookupError as error:
            raise BadPick(node, f"{self.graph.nodes[index].label}: {error.args[0]}") from None

    def _item(self, gathered: Node, steps: Sequence[Any]) -> Any:
        """One item of a gathered list, without the others."""
        items, at = gathered.trees[0], steps[0][1]
        if type(at) is not int or not -len(items) <= at < len(items):
            raise LookupError(f"item {at!r} of {len(items)}")
        return pick(self.resolved(gathered, items[at]), [tuple(step) for step in steps[1:]])

    def resolved(self, node: Node, tree: Any) -> Any:
        """Return a tree of a node's arguments with the stored trees in place of pending parts."""
        return filled(tree, lambda index, steps: self._part(node, index, steps))

    def _expand(self, node: Node) -> None:
        items = self.resolved(node, node.trees[0])
        if type(items) is dict and "$tuple" in items:
            items = items["$tuple"]
        if type(items) is not list:
            raise BadPick(node, f"{node.label} goes over a list, and the result is {_kind(items)}")
        makers = tuple(dict.fromkeys(index for index, _ in self.makers(node.trees[0])))
        self.origins.update((digest, makers) for digest, _ in files_of(items))
        self._drop_grown(node.index)
        start = len(self.graph.nodes)
        try:
            target = node_of(self.graph.expanded(node, [items, *node.trees[1:]])).index
        except EmsError as error:
            del self.graph.nodes[start:]
            raise BadPick(node, str(error)) from None
        self.states[node.index] = State.EXPANDED
        self._grown[node.index] = range(start, len(self.graph.nodes))
        self._targets[node.index] = target
        self._forwards.setdefault(target, []).append(node.index)
        self.extend()
        if self.states[target] in DONE:
            self._forward(target)
        elif self.states[target] in (State.FAILED, State.SKIPPED):
            self.skip(node.index)

    def _drop_grown(self, index: int) -> None:
        """Leave out what a shape grew before its items changed."""
        self._forwards.pop(self._targets.pop(index, -1), None)
        for each in self._grown.pop(index, range(0)):
            if self.states[each] not in DONE:
                self.states[each] = State.LEFT_OUT

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
        """A node has a result: its consumers may become ready, or have to start again."""
        if index in self._stale:  # what it ran with is not what stands above it now
            self._stale.discard(index)
            self._restart(index)
            return
        changed = self.contents[index] not in (None, content)
        self.states[index] = how
        self.contents[index] = content
        for consumer in self._consumers.get(index, ()):
            missing = self._missing.get(consumer)
            if missing:
                missing.discard(index)
            if changed:
                self._outdate(consumer)
            self._nudge(consumer)
        if index in self._forwards:
            self._forward(index)

    def _outdate(self, index: int) -> None:
        """Something above a node is another than its version was made of."""
        if self.states[index] is State.FLYING:
            self._stale.add(index)
        elif self.states[index] in (State.READY, State.TAKEN, State.EXPANDED, *DONE):
            self._restart(index)

    def _restart(self, index: int) -> None:
        self.versions[index] = None
        self.reopen(index)

    def flying(self, index: int) -> None:
        """A queued call was handed to a worker."""
        self.states[index] = State.FLYING

    def queued_again(self, index: int) -> bool:
        """A call came back without a result: whether it can be queued as it is."""
        self.states[index] = State.TAKEN
        if index in self._stale or self._missing.get(index):
            self._stale.discard(index)
            self._wait_again(index)
        return self.states[index] is State.TAKEN

    def wait_for(self, index: int, upstream: Sequence[int]) -> None:
        """A node needs what other calls have to make again first."""
        if any(self.states[each] in (State.FAILED, State.SKIPPED) for each in upstream):
            self.skip(index)
            return
        missing = {each for each in upstream if self.states[each] not in DONE}
        self._missing.setdefault(index, set()).update(missing)
        for each in missing:
            if index not in self._consumers.setdefault(each, []):
                self._consumers[each].append(index)
        self._wait_again(index)

    def _wait_again(self, index: int) -> None:
        self.states[index] = State.WAITING
        self.versions[index] = None
        self._nudge(index)

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
            self._missing.setdefault(consumer, set()).add(index)
            if self.states[consumer] in (State.READY, State.TAKEN):
                self.states[consumer] = State.WAITING
                self.versions[consumer] = None
        self._nudge(index)

    def makers(self, tree: Any) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield (call, steps) for each part of a tree that a call made, through shapes."""
        for index, steps in pendings_of(tree):
            index = self.target_of(index)
            node = self.graph.nodes[index]
            if node.kind is Kind.CALL:
                yield index, steps
                continue
            inner = node.trees[0]
            if steps and type(inner) is list and type(steps[0][1]) is int:
                inner = inner[steps[0][1]] if -len(inner) <= steps[0][1] < len(inner) else []
            yield from self.makers(inner)

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
