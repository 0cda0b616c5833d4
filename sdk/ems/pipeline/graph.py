"""The graph that a pipeline writes down: nodes, what they need, and the recipe of each.

Knows tasks' calls, the shapes that grow while running (map, fold) and recipes. Does not know
versions' results, stores or backends: what it needs of files and code digests it is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Protocol

from ems.errors import UsageError
from ems.pipeline import active
from ems.pipeline.keys import key_of, line_of, recipe_line
from ems.pipeline.pending import Pending, node_of, steps_of
from ems.pipeline.task import AFTER, Parameters, bind
from ems.worker.files import Dir, File
from ems.worker.values import Unkept, brief, canon, dump

_SCALARS = frozenset((int, str, bool))


class Work(Protocol):
    """What the graph asks of a task, be it a function or a command."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> Parameters: ...


class Inputs(Protocol):
    """Reads the files and folders that are arguments, and the values that shapes grow from.

    `listings` holds, by digest, the listing of each folder that was read.
    """

    listings: dict[str, bytes]

    def prefetch(self, paths: Iterable[str]) -> None: ...
    def file(self, path: str) -> tuple[str, int]: ...
    def folder(self, path: str) -> tuple[str, int]: ...
    def place(self, path: str, digest: str) -> list[Any]: ...
    def arrived(self, paths: list[str]) -> list[File]: ...
    def value(self, tree: Any) -> Any: ...


class Kind(Enum):
    """What a node does once its needs are there."""

    CALL = "call"
    GATHER = "gather"
    MAP = "map"
    FOLD = "fold"


class Node:
    """One unit of the graph. `trees` are its arguments, with pending parts as `$pending`.

    `needs` are indices of the nodes whose results it takes, `after` of those it only waits for.
    """

    __slots__ = (
        "after", "expand", "index", "kind", "lines", "needs", "ordinal", "owner", "recipe",
        "task", "trees",
    )  # fmt: skip

    def __init__(
        self, owner: Scope, index: int, kind: Kind, task: Work, trees: tuple[Any, ...]
    ) -> None:
        self.owner = owner
        self.index = index
        self.kind = kind
        self.task = task
        self.trees = trees
        self.needs: tuple[int, ...] = ()
        self.after: tuple[int, ...] = ()
        self.ordinal = 0
        self.recipe = b""
        self.lines: tuple[str, ...] | None = None
        self.expand: Callable[[list[Any]], Pending] | None = None

    @property
    def label(self) -> str:
        """The name that people use: `collect[3]`, or `sub/train` in a pipeline of a pipeline."""
        name = self.owner.prefix + self.task.name
        return f"{name}[{self.ordinal}]" if self.owner.counts[self.task.name] > 1 else name


class Scope:
    """The names given inside one pipeline's body."""

    __slots__ = ("counts", "prefix")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.counts: dict[str, int] = {}


class Graph:
    """Nodes in the order in which they were written down; needs always point backwards."""

    def __init__(self, prefix_of: Callable[[Any], bytes], inputs: Inputs) -> None:
        self.nodes: list[Node] = []
        self.places: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self._prefix_of = prefix_of
        self._prefixes: dict[int, bytes] = {}
        self.inputs = inputs
        self._scope = Scope("")
        self._scopes: dict[str, int] = {}
        self._stack: list[tuple[str, str]] = []

    # -- calls ----------------------------------------------------------------------------------

    def call(self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Add a call of a task and return its pending result."""
        after = kwargs.pop(AFTER, None) if kwargs else None
        values = bind(task.name, task.parameters, args, kwargs)
        trees: list[Any] = []
        lines: list[str] | None = []
        needs: list[int] = []
        for at, value in enumerate(values):
            if type(value) is int:  # a hundred thousand of them are written down in a second
                trees.append(value)
                lines.append(brief(int.__repr__(value)))
                continue
            tree, line = self._argument(task, at, value, needs)
            trees.append(tree)
            lines.append(line)
        node = self._add(Kind.CALL, task, tuple(trees), needs, after)
        node.recipe = key_of(self.prefix(task), lines)
        if not needs:
            node.lines = tuple(lines)
        return Pending(node)

    def call_trees(self, task: Any, trees: tuple[Any, ...]) -> Pending:
        """Add a call whose arguments are trees already (pending parts allowed)."""
        needs: list[int] = []
        lines = [line_of(tree, self._recipe_filler(needs)) for tree in trees]
        node = self._add(Kind.CALL, task, trees, needs, None)
        node.recipe = key_of(self.prefix(task), lines)
        if not needs:
            node.lines = tuple(lines)
        return Pending(node)

    def prefix(self, task: Any) -> bytes:
        """Return what the keys of a task start with, worked out at its first call."""
        found = self._prefixes.get(id(task))
        if found is None:
            found = self._prefixes[id(task)] = self._prefix_of(task)
        return found

    def _argument(self, task: Work, at: int, value: Any, needs: list[int]) -> tuple[Any, str]:
        if value is None or type(value) in _SCALARS:
            return value, brief(canon(value))
        if type(value) is Pending:
            node = node_of(value)
            needs.append(node.index)
            steps = steps_of(value)
            return {"$pending": [node.index, steps]}, brief(recipe_line(node.recipe, steps))
        tree = self.tree(value, needs, f"{task.name}: argument {_argument_name(task, at)}")
        return tree, line_of(tree, self._recipe_filler(None))

    def tree(self, value: Any, needs: list[int], subject: str) -> Any:
        """Return the tree of a value that may hold pending results, files and arrays."""
        try:
            return dump(value, _Arguments(self, needs))
        except Unkept as error:
            raise UsageError(subject + error.path.removeprefix("value"), error.problem) from None
        except OSError as error:
            raise UsageError(
                subject, f"{error.filename or value}: {(error.strerror or str(error)).lower()}"
            ) from None

    def _recipe_filler(self, needs: list[int] | None) -> Callable[[int, Any], str]:
        def fill(index: int, steps: Any) -> str:
            if needs is not None:
                needs.append(index)
            return brief(recipe_line(self.nodes[index].recipe, steps))

        return fill

    def _add(
        self, kind: Kind, task: Work, trees: tuple[Any, ...], needs: list[int], after: Any
    ) -> Node:
        node = Node(self._scope, len(self.nodes), kind, task, trees)
        counts = self._scope.counts
        node.ordinal = counts.get(task.name, 0)
        counts[task.name] = node.ordinal + 1
        if needs:
            node.needs = tuple(dict.fromkeys(needs))
        if after is not None:
            node.after = tuple(dict.fromkeys(_after(task, after)))
        self.nodes.append(node)
        return node

    # -- shapes that grow -----------------------------------------------------------------------

    def gather(self, name: str, parts: list[Any]) -> Pending:
        """Add a node whose result is the list of others' results."""
        return self.gather_tree(name, self.tree(parts, [], name))

    def gather_tree(self, name: str, tree: Any) -> Pending:
        """Add a node whose result is what a tree stands for."""
        needs: list[int] = []
        lines = [line_of(tree, self._recipe_filler(needs))]
        node = self._add(Kind.GATHER, Shape(name), (tree,), needs, None)
        node.recipe = key_of(b"ems-gather-1\n", lines)
        return Pending(node)

    def arrived(self, paths: list[str]) -> list[File]:
        """Return files in the order in which the store first saw their contents."""
        files = self.inputs.arrived(paths)
        for file in files:
            self.places.setdefault(file.digest, file.__fspath__())
        return files

    def listed(self, paths: list[str]) -> list[File]:
        """Return files as they were listed; their contents are read side by side."""
        self.inputs.prefetch(paths)
        return [File(path) for path in paths]

    def value(self, tree: Any) -> Any:
        """Return the value of a resolved tree, for a pipeline that is called while running."""
        return self.inputs.value(tree)

    def growing(
        self, kind: Kind, task: Any, values: list[Any], expand: Callable[[list[Any]], Pending]
    ) -> Pending:
        """Add a node that becomes other nodes once its first value, a list, is known.

        `expand` gets the trees of all values, the first one resolved, and returns what stands for
        the whole.
        """
        needs: list[int] = []
        trees = [self.tree(value, needs, f"ems.{kind.value} of {task.name}") for value in values]
        shape = Shape(f"{kind.value}({task.name})", task.name)
        node = self._add(kind, shape, tuple(trees), needs, None)
        lines = [line_of(tree, self._recipe_filler(None)) for tree in trees]
        node.recipe = key_of(f"ems-{kind.value}-1\n".encode() + self.prefix(task), lines)
        node.expand = expand
        return Pending(node)

    @contextmanager
    def writing(self, name: str = "", arguments: str = "") -> Generator[None]:
        """Let calls of tasks add to this graph; a name opens a scope for labels."""
        former, scope = active.graph, self._scope
        if name and (name, arguments) in self._stack:
            path = [each for each, _ in self._stack if each]
            cycle = [*path[path.index(name) :], name]
            raise UsageError(
                f"pipeline {name}", f"calls itself with the same arguments: {' → '.join(cycle)}"
            )
        self._stack.append((name, arguments))
        active.graph = self
        if len(self._stack) > 1 and name:
            self._scope = Scope(self._scope_prefix(scope.prefix + name))
        try:
            yield
        finally:
            active.graph, self._scope = former, scope
            self._stack.pop()

    def expanded(self, node: Node, values: list[Any]) -> Pending:
        """Return what a shape becomes with its values; labels do not depend on when that is.

        What it grows is named as if it stood in the pipeline (`clean[3]`), unless others of the
        same task do; then the shape's own label stands before (`map(clean)[1]/clean[3]`).
        """
        assert node.expand is not None
        owner, former = node.owner, self._scope
        alone = owner.counts[node.task.name] == 1 and not owner.counts.get(_inner(node.task.name))
        self._scope = Scope(owner.prefix if alone else f"{node.label}/")
        try:
            return node.expand(values)
        finally:
            self._scope = former

    def _scope_prefix(self, name: str) -> str:
        count = self._scopes[name] = self._scopes.get(name, -1) + 1
        return f"{name}[{count}]/" if count else f"{name}/"

    def consumers(self) -> Mapping[int, list[int]]:
        """Return for each node the nodes that wait for it."""
        found: dict[int, list[int]] = {}
        for node in self.nodes:
            for index in (*node.needs, *node.after):
                found.setdefault(index, []).append(node.index)
        return found


class Shape:
    """Stands where a task would: the name of a node that computes nothing itself.

    `of` is the task that it will call, as far as there is one.
    """

    __slots__ = ("name", "of", "parameters")

    def __init__(self, name: str, of: str = "") -> None:
        self.name = name
        self.of = of
        self.parameters = Parameters((), 0, {})


class _Arguments:
    """The sink of arguments: pending parts are noted, files hashed where they lie, arrays kept."""

    pickle = False

    def __init__(self, graph: Graph, needs: list[int]) -> None:
        self._graph = graph
        self._needs = needs

    def special(self, value: Any) -> Any:
        if type(value) is Pending:
            node = node_of(value)
            self._needs.append(node.index)
            return {"$pending": [node.index, steps_of(value)]}
        if type(value) is File or type(value) is Dir:
            return self._outside(value)
        return None

    def _outside(self, value: File | Dir) -> Any:
        """A file or folder of this machine: content counts, the path is recorded beside it."""
        if value.digest and not value.resolved:
            return None
        path = value.__fspath__()
        if value.digest:
            digest, size = value.digest, value.size
            self._graph.places.setdefault(digest, path)
        else:
            digest, size = (self.put_path if type(value) is File else self.put_folder)(path)
        tag = "$file" if type(value) is File else "$dir"
        return {tag: [digest, size, value.name, os.path.abspath(path)]}

    def put_path(self, path: str) -> tuple[str, int]:
        digest, size = self._graph.inputs.file(path)
        self._graph.places[digest] = path
        return digest, size

    def put_folder(self, path: str) -> tuple[str, int]:
        digest, size = self._graph.inputs.folder(path)
        self._graph.places[digest] = path
        return digest, size

    def put_bytes(self, data: bytes) -> tuple[str, int]:
        from ems.hashing import digest_bytes

        digest = digest_bytes(data)
        self._graph.blobs[digest] = data
        return digest, len(data)


def _inner(shape: str) -> str:
    """The task's name in a shape's: `clean` of `map(clean)`."""
    return shape.partition("(")[2].removesuffix(")")


def _argument_name(task: Work, at: int) -> str:
    names = task.parameters.names
    return f"'{names[at]}'" if at < len(names) else f"{at + 1}"


def _after(task: Work, after: Any) -> list[int]:
    listed: list[Any] = [*after] if isinstance(after, (list, tuple)) else [after]
    indices: list[int] = []
    for each in listed:  # pyright: ignore[reportUnknownVariableType]
        if type(each) is not Pending:  # pyright: ignore[reportUnknownArgumentType]
            raise UsageError(f"task {task.name}", f"after={each!r} is no result of a task")
        indices.append(node_of(each).index)
    return indices
