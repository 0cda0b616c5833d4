"""Shapes that follow the data: `map` over items, `fold` over a growing sequence, `files` that came.

Knows lists and pending lists. Each item is a call of its own with a version of its own, which is
all that makes preprocessing incremental: what was computed for an item or a prefix is found again.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ems.errors import UsageError
from ems.pipeline import active
from ems.pipeline.command import Command
from ems.pipeline.graph import Graph, Kind
from ems.pipeline.pending import Pending
from ems.pipeline.pipeline import Pipeline
from ems.pipeline.task import bind


def map(task: Any, items: Any, **common: Any) -> Any:
    """Call a task on each item: `ems.map(clean, files, size=3)`.

    `items` is a list, or the result of a task that is one; in that case how many there are is known
    only at run time, and the result is pending. Other arguments are the same for every item. Items
    are cached one by one. Outside a pipeline it returns the list of plain results.
    """
    graph = active.graph
    if graph is None:
        return [task(item, **common) for item in items]
    if type(items) is not Pending:
        listed = _listed("ems.map", items)
        if isinstance(task, Command):  # takes keywords alone
            return [task(**{_first(task, common): item}, **common) for item in listed]
        return [task(item, **common) for item in listed]
    if isinstance(task, Pipeline):
        return _map_pipeline(graph, task, items, common)
    values, order = _split(task, {_first(task, common): items}, common)

    def expand(trees: list[Any]) -> Pending:
        calls = [graph.call_trees(task, _placed([item, *trees[1:]], order)) for item in trees[0]]
        return graph.gather(f"map({task.name}) results", calls)

    return graph.growing(Kind.MAP, task, values, expand)


def _map_pipeline(graph: Graph, whole: Any, items: Pending, common: dict[str, Any]) -> Pending:
    from pathlib import Path

    from ems.pipeline.loadfile import in_user_code

    folder = Path(whole.fn.__code__.co_filename).parent

    def expand(trees: list[Any]) -> Pending:
        with graph.writing(), in_user_code(folder):
            results = [whole(graph.value(tree), **common) for tree in trees[0]]
            return graph.gather(f"map({whole.name}) results", results)

    return graph.growing(Kind.MAP, whole, [items, *_pendings(common)], expand)


def _pendings(value: Any) -> list[Pending]:
    """Return the pending results inside lists, tuples and dicts."""
    if type(value) is Pending:
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [pending for each in value for pending in _pendings(each)]
    return []


def fold(step: Any, items: Any, initial: Any, **common: Any) -> Any:
    """Go over a sequence with a task: `state = step(state, item)` from `initial` on.

    Every prefix has its version, so a sequence that grew at its end continues from the longest
    prefix that is known, and only the newly arrived items are processed. `items` is a list or a
    result that is one. Outside a pipeline it returns the plain final state.
    """
    graph = active.graph
    if graph is None or type(items) is not Pending:
        state = initial
        for item in items if graph is None else _listed("ems.fold", items):
            state = step(state, item, **common)
        return state
    names = list(step.parameters.names)
    if len(names) < 2:
        raise UsageError(f"ems.fold of {step.name}", "needs a task of a state and an item")
    values, order = _split(step, {names[1]: items, names[0]: initial}, common)

    def expand(trees: list[Any]) -> Pending:
        state: Any = trees[1]
        last = None
        for item in trees[0]:
            last = graph.call_trees(step, _placed([item, state, *trees[2:]], order))
            state = graph.tree(last, [], step.name)
        return last if last is not None else graph.gather_tree(f"fold({step.name}) initial", state)

    return graph.growing(Kind.FOLD, step, values, expand)


def _split(
    task: Any, first: dict[str, Any], common: dict[str, Any]
) -> tuple[list[Any], tuple[int, ...]]:
    """Return the values of a call, `first` ones first, and where each belongs in the signature."""
    for name in first:
        if name in common:
            raise UsageError(f"task {task.name}", f"got two values for '{name}'")
    bound = bind(task.name, task.parameters, (), {**first, **common})
    names = list(task.parameters.names)
    taken = [names.index(name) for name in first]
    order = (*taken, *(at for at in range(len(bound)) if at not in taken))
    return [bound[at] for at in order], order


def _placed(values: list[Any], order: tuple[int, ...]) -> tuple[Any, ...]:
    placed: list[Any] = [None] * len(order)
    for value, at in zip(values, order, strict=True):
        placed[at] = value
    return tuple(placed)


def _first(task: Any, common: Mapping[str, Any]) -> str:
    """Return the parameter for the item: the first; of a command, the first that is not given."""
    names = task.parameters.names
    if isinstance(task, Command):
        names = [name for name in names if name not in common]
    if not names:
        raise UsageError(f"ems.map of {task.name}", "needs a task with a parameter for the item")
    return names[0]


def _listed(subject: str, items: Any) -> Sequence[Any]:
    if isinstance(items, (list, tuple, range)):
        return items
    if isinstance(items, (str, bytes, dict)) or not hasattr(items, "__iter__"):
        raise UsageError(subject, f"goes over a list, not over {items!r}")
    return list(items)


Lister = Callable[[str, str], list[Any]]


def files(pattern: str, order: str = "arrival") -> list[Any]:
    """List the files that match a glob pattern (`**` goes through folders), as `ems.File`s.

    `order="arrival"`: by when this store first saw each content, so that new files come last and an
    `ems.fold` over them goes on where it was; the same content twice counts once. `order="name"`:
    by path. Relative patterns start at the working directory. Outside a pipeline, arrival is the
    time of last modification. No match is an empty list.
    """
    if order not in ("arrival", "name"):
        raise UsageError("ems.files", f"order={order!r} (allowed: 'arrival', 'name')")
    paths = _matching(pattern)
    from ems.worker.files import File

    graph = active.graph
    if order == "name":
        return [File(path) for path in paths] if graph is None else graph.listed(paths)
    if graph is None:
        from os import stat

        return [
            File(path) for path in sorted(paths, key=lambda path: (stat(path).st_mtime_ns, path))
        ]
    return graph.arrived(paths)


def _matching(pattern: str) -> list[str]:
    import glob
    import os

    found = glob.glob(os.path.expanduser(pattern), recursive=True)
    return sorted(path for path in found if os.path.isfile(path))
