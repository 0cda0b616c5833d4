"""Classes among a task's arguments whose code is not in its version: named once, with the remedy.

A task may call methods of what it gets without naming the class anywhere. Annotations and `uses=`
say it; without them a change to the class re-runs nothing. Knows trees of arguments and specs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ems.pipeline.specs import Specs

_TYPED = ("$data", "$named", "$enum")


class Unread:
    """Looks through the arguments of calls as they are handed to workers."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        self._known: set[tuple[int, str]] = set()

    def warnings(self, task: Any, args: Mapping[str, Any]) -> Iterator[str]:
        """Yield what a person should know of a call's arguments, each class once for a task."""
        for name, tree in args.items():
            if type(tree) is dict or type(tree) is list:
                for kind in _kinds(tree):
                    if (id(task), kind) not in self._known:
                        self._known.add((id(task), kind))
                        if self._specs.misses(task, kind):
                            yield _text(task.name, name.lstrip("*"), kind)


def _kinds(tree: Any) -> Iterator[str]:
    if type(tree) is list:
        for item in cast("list[Any]", tree):
            yield from _kinds(item)
    elif type(tree) is dict:
        for key, item in cast("dict[str, Any]", tree).items():
            if key in _TYPED:
                yield item[0]
            yield from _kinds(item)


def _text(task: str, parameter: str, kind: str) -> str:
    module, _, name = kind.partition(":")
    return (
        f"{task} gets a {name} in '{parameter}', and the code of {name} is not in its version. "
        f"Annotate it, as in `{parameter}: {name}`, or declare uses=['{module}.{name}']"
    )
