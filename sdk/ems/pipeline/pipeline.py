"""Pipelines: functions whose calls of tasks make a graph.

Knows names and parameters. Does not know how a graph is run: `ems.run` and the command line do that
through the session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ems.errors import UsageError, did_you_mean
from ems.pipeline import active
from ems.pipeline.pending import Pending, node_of, steps_of
from ems.pipeline.task import Parameters, argument_names, bind, parameters_of
from ems.worker.values import Unkept, canon

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline(Generic[P, R]):
    """A function under `@ems.pipeline`; inside another pipeline its tasks join that graph."""

    __slots__ = ("__dict__", "__weakref__", "fn", "name", "parameters")

    def __init__(self, fn: Callable[P, R], name: str = "") -> None:
        self.fn = fn
        self.name = name or getattr(fn, "__name__", "pipeline")
        self.parameters: Parameters = parameters_of(fn)
        for each in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            if hasattr(fn, each):
                self.__dict__[each] = getattr(fn, each)
        self.__dict__["__wrapped__"] = fn

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        graph = active.graph
        if graph is None:
            raise UsageError(
                f"pipeline {self.name}",
                "is called outside a run",
                f"ems.run({self.name}, …) or `emsctl run`",
            )
        values = bind(self.name, self.parameters, args, kwargs)
        named = dict(zip(argument_names(self.parameters), values, strict=True))
        with graph.writing(self.name, identity(named)):
            return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"


def identity(arguments: Mapping[str, Any]) -> str:
    """Text that is equal for equal arguments, so that a pipeline that calls itself is noticed."""

    def special(value: Any) -> str | None:
        if type(value) is Pending:
            return f'"pending {node_of(value).index} {steps_of(value)}"'.replace("'", "")
        return f'"object {id(value)}"'

    try:
        return canon(dict(arguments), special)
    except Unkept:
        return repr([(name, id(value)) for name, value in arguments.items()])


@overload
def pipeline(fn: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(
    fn: None = None, /, *, name: str = ""
) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...
def pipeline(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a pipeline: calls of tasks in it are written down, not run.

    `name` is what `emsctl run file.py:name` and listings call it, by default the function's.
    Raises UsageError for an argument that does not exist.
    """
    for word in options:
        if word != "name":
            raise UsageError(
                "@ems.pipeline",
                f"unknown argument '{word}'{did_you_mean(word, ['name'])}; known is name",
            )
    name = str(options.get("name", ""))

    def decorate(function: Callable[..., Any]) -> Pipeline[..., Any]:
        return Pipeline(function, name)

    return decorate if fn is None else decorate(fn)
