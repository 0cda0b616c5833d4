"""Pending results: typed placeholders for what a task will have returned (contract 11).

Knows which node and which part of its result it stands for. Whatever Python would decide or compute
with a value is an error that says what to do instead, since there is no value yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ems.errors import UsageError

if TYPE_CHECKING:
    from ems.pipeline.graph import Node

Step = tuple[str, "str | int"]

_INSIDE = "do it inside a task: a function under @ems.task that gets the result as an argument"
_MAP = "ems.map(task, result), or take the step inside a task"


class Pending:
    """The result of a task that has not run: pass it on, or an item or an attribute of it."""

    __slots__ = ("_node", "_steps")
    __hash__ = object.__hash__

    def __init__(self, node: Node, steps: tuple[Step, ...] = ()) -> None:
        self._node = node
        self._steps = steps

    def __getitem__(self, key: str | int) -> Pending:
        if type(key) is not str and type(key) is not int:
            _refuse(self, f"takes items by a word or a whole number, not by {key!r}", _INSIDE)
        return Pending(self._node, (*self._steps, ("item", key)))

    def __getattr__(self, name: str) -> Pending:
        if name[:1] == "_":
            raise AttributeError(name)
        return Pending(self._node, (*self._steps, ("attr", name)))

    def __repr__(self) -> str:
        return f"<pending {name_of(self)}>"

    def __bool__(self) -> NoReturn:
        _refuse(
            self, "is not known yet, so it can't decide an `if`, `while`, `and` or `or`", _INSIDE
        )

    def __iter__(self) -> NoReturn:
        _refuse(self, "is not known yet, so it can't be looped over or unpacked", _MAP)

    def __len__(self) -> NoReturn:
        _refuse(self, "is not known yet, so it has no length", _INSIDE)

    def __contains__(self, item: object) -> NoReturn:
        _refuse(self, "is not known yet, so nothing can be looked up in it", _INSIDE)

    def __format__(self, spec: str) -> NoReturn:
        _refuse(self, "is not known yet, so it can't become text", _INSIDE)

    def __str__(self) -> str:
        _refuse(self, "is not known yet, so it can't become text", _INSIDE)

    def _compute(self, *_others: object) -> NoReturn:
        _refuse(self, "is not known yet, so it can't be computed with", _INSIDE)

    def _compare(self, _other: object) -> NoReturn:
        _refuse(self, "is not known yet, so it can't be compared", _INSIDE)

    def _call(self, *_arguments: object, **_named: object) -> NoReturn:
        _refuse(self, "is not known yet, so it can't be called", _INSIDE)

    __call__ = _call
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _compare  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _compute
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _compute
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __and__ = __rand__ = __or__ = __ror__ = _compute
    __neg__ = __pos__ = __abs__ = __invert__ = _compute
    __int__ = __float__ = __complex__ = __index__ = __round__ = _compute
    __fspath__ = _compute


def node_of(pending: Pending) -> Node:
    """Return the node that a pending result comes from."""
    return pending._node  # pyright: ignore[reportPrivateUsage]


def steps_of(pending: Pending) -> tuple[Step, ...]:
    """Return the items and attributes that lead from the node's result to this part."""
    return pending._steps  # pyright: ignore[reportPrivateUsage]


def name_of(pending: Pending) -> str:
    """Return how a person would write the part: `split[0]["train"]`."""
    text = node_of(pending).label
    for how, key in steps_of(pending):
        text += f"[{key!r}]" if how == "item" else f".{key}"
    return text


def _refuse(pending: Pending, problem: str, next_step: str) -> NoReturn:
    raise UsageError(f"the result of {name_of(pending)}", problem, next_step)
