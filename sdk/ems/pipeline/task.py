"""Tasks: functions and commands with what they need to run.

Knows a task's function, options and how a call binds to its parameters. Does not know graphs'
execution, code digests, stores or backends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, overload

from ems.compute.job import Resources
from ems.errors import UsageError, did_you_mean
from ems.pipeline import active
from ems.units import seconds

P = ParamSpec("P")
R = TypeVar("R")

AFTER = "after"


_NOTHING: Mapping[str, Any] = {}


class Options(NamedTuple):
    """What EMS's decorators say of a task; recorded, and but for the last five never hashed."""

    resources: Resources = Resources()
    timeout_s: float | None = None
    retries: int = 0
    on: tuple[str, ...] = ()
    spot: bool = False
    name: str = ""
    cache: bool = True
    uses: tuple[str, ...] = ()
    version: str | None = None
    environment: Mapping[str, Any] = _NOTHING
    pickle: bool = False


class Parameters(NamedTuple):
    """A signature, reduced to what binding needs; defaults are part of the code, not of a call."""

    names: tuple[str, ...]
    positional: int
    defaults: Mapping[str, Any]
    extra_positional: str = ""
    extra_named: str = ""


class Task(Generic[P, R]):
    """A function as a unit of work: a node of the graph in a pipeline, plainly itself outside."""

    __slots__ = ("__dict__", "__weakref__", "fn", "name", "options", "parameters")

    def __init__(self, fn: Callable[P, R], options: Options) -> None:
        self.fn = fn
        self.options = options
        self.name = options.name or getattr(fn, "__name__", "task")
        self.parameters = parameters_of(fn)
        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            if hasattr(fn, name):
                self.__dict__[name] = getattr(fn, name)
        self.__dict__["__wrapped__"] = fn
        if AFTER in self.parameters.names:
            raise UsageError(
                f"task {self.name}",
                f"has a parameter called '{AFTER}', which calls keep for order without data",
                "another name for the parameter",
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        graph = active.graph
        if graph is None:
            kwargs.pop(AFTER, None)
            return self.fn(*args, **kwargs)
        return graph.call(self, args, kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name}>"


def parameters_of(fn: Callable[..., Any]) -> Parameters:
    """Return a function's parameters; one made by a wrapper is looked through as `inspect` does."""
    code = getattr(fn, "__code__", None)
    if code is None or hasattr(fn, "__wrapped__"):
        return _parameters_by_signature(fn)
    count = code.co_argcount
    names = code.co_varnames
    total = count + code.co_kwonlyargcount
    defaults = dict(getattr(fn, "__kwdefaults__", None) or {})
    given: tuple[Any, ...] = getattr(fn, "__defaults__", None) or ()
    defaults.update(zip(names[count - len(given) : count], given, strict=True))
    extra = names[total] if code.co_flags & 0x04 else ""
    named = names[total + bool(extra)] if code.co_flags & 0x08 else ""
    return Parameters(names[:total], count, defaults, extra, named)


def _parameters_by_signature(fn: Callable[..., Any]) -> Parameters:
    from inspect import Parameter, signature

    every = signature(fn).parameters.values()
    plain = [
        each for each in every if each.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    ]
    ordered = [each for each in plain if each.kind is not Parameter.KEYWORD_ONLY]
    extra = [each.name for each in every if each.kind is Parameter.VAR_POSITIONAL]
    named = [each.name for each in every if each.kind is Parameter.VAR_KEYWORD]
    defaults = {each.name: each.default for each in plain if each.default is not Parameter.empty}
    return Parameters(
        tuple(each.name for each in [*ordered, *(e for e in plain if e not in ordered)]),
        len(ordered),
        defaults,
        extra[0] if extra else "",
        named[0] if named else "",
    )


def argument_names(parameters: Parameters) -> tuple[str, ...]:
    """Return parameters' names; `*rest` and `**more` keep their stars."""
    names = list(parameters.names)
    if parameters.extra_positional:
        names.append("*" + parameters.extra_positional)
    if parameters.extra_named:
        names.append("**" + parameters.extra_named)
    return tuple(names)


def bind(
    name: str, parameters: Parameters, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Return a call's arguments in the order of the parameters, defaults filled in.

    Extra ones come last, as a tuple and a dict. Raises UsageError where the call does not fit.
    """
    names = parameters.names
    if (
        not kwargs
        and len(args) == len(names) == parameters.positional
        and not parameters.extra_positional
    ):
        return args if not parameters.extra_named else (*args, {})
    values = dict(zip(names[: parameters.positional], args, strict=False))
    extra = args[parameters.positional :]
    if extra and not parameters.extra_positional:
        raise UsageError(
            f"task {name}",
            f"takes {parameters.positional} positional arguments, {len(args)} were given",
        )
    more: dict[str, Any] = {}
    for key, value in kwargs.items():
        if key in values:
            raise UsageError(f"task {name}", f"got two values for '{key}'")
        if key in names:
            values[key] = value
        elif parameters.extra_named:
            more[key] = value
        else:
            raise UsageError(
                f"task {name}",
                f"has no parameter '{key}'{did_you_mean(key, list(names))}; "
                f"it has {', '.join(names) or 'none'}",
            )
    return _filled(name, parameters, values, extra, more)


def _filled(
    name: str,
    parameters: Parameters,
    values: dict[str, Any],
    extra: tuple[Any, ...],
    more: dict[str, Any],
) -> tuple[Any, ...]:
    missing = [
        each for each in parameters.names if each not in values and each not in parameters.defaults
    ]
    if missing:
        raise UsageError(f"task {name}", f"is called without {', '.join(missing)}")
    bound = [
        values[each] if each in values else parameters.defaults[each] for each in parameters.names
    ]
    if parameters.extra_positional:
        bound.append(extra)
    if parameters.extra_named:
        bound.append(more)
    return tuple(bound)


def options_of(
    subject: str,
    unknown: Mapping[str, Any],
    *,
    cpus: float | str = 1,
    memory: float | str = 0,
    gpus: float | str = 0,
    gpu_kind: str = "",
    disk: float | str = 0,
    timeout: float | str | None = None,
    retries: int = 0,
    on: str | Sequence[str] = (),
    spot: bool = False,
    name: str = "",
    cache: bool = True,
    uses: str | Sequence[str] = (),
    version: str | None = None,
    environment: Mapping[str, Any] | None = None,
    pickle: bool = False,
) -> Options:
    """Check what a decorator was given and return it; raises UsageError that names the argument."""
    if unknown:
        raise unknown_argument(subject, next(iter(unknown)), KNOWN)
    if type(retries) is not int or retries < 0:
        raise UsageError(subject, f"retries={retries!r} is no whole number from 0 up")
    return Options(
        resources=Resources.of(cpus, memory, gpus, gpu_kind, disk),
        timeout_s=None if timeout is None else seconds(timeout),
        retries=retries,
        on=tuple(word for word in ((on,) if isinstance(on, str) else on) if word),
        spot=spot,
        name=name,
        cache=cache,
        uses=(uses,) if isinstance(uses, str) else tuple(uses),
        version=None if version is None else str(version),
        environment=environment or {},
        pickle=pickle,
    )


def unknown_argument(subject: str, word: str, known: list[str]) -> UsageError:
    """Return the error for an argument that a decorator or `ems.command` does not have."""
    return UsageError(
        subject,
        f"unknown argument '{word}'{did_you_mean(word, known)}; known are {', '.join(known)}",
    )


KNOWN = sorted(
    set(Options._fields) - {"resources", "timeout_s"}
    | {"cpus", "memory", "gpus", "gpu_kind", "disk", "timeout"}
)


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    fn: None = None,
    /,
    *,
    cpus: float | str = 1,
    memory: float | str = 0,
    gpus: float | str = 0,
    gpu_kind: str = "",
    disk: float | str = 0,
    timeout: float | str | None = None,
    retries: int = 0,
    on: str | Sequence[str] = (),
    spot: bool = False,
    name: str = "",
    cache: bool = True,
    uses: str | Sequence[str] = (),
    version: str | None = None,
    environment: Mapping[str, Any] | None = None,
    pickle: bool = False,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task: `@ems.task` or `@ems.task(cpus=2, memory="4", timeout="10m")`.

    `memory` and `disk` are GiB, `timeout` seconds or `"1h30m"`, `on` a target or several in order.
    `retries` counts further attempts after a failure. `cache=False` runs it in every run. `uses`
    names modules and files that the code reaches by computed names, `version` stands in for the
    digest of its code. `pickle=True` lets its results be pickled. Raises UsageError for an argument
    that does not exist or does not fit.
    """
    subject = f"@ems.task of {fn.__name__}" if fn is not None else "@ems.task"
    if fn is not None and not callable(fn):
        raise UsageError("@ems.task", f"stands above a function, not {fn!r}")
    known = {name: value for name, value in options.items() if name in KNOWN}
    unknown = {name: value for name, value in options.items() if name not in KNOWN}
    checked = options_of(subject, unknown, **known)

    def decorate(function: Callable[..., Any]) -> Task[..., Any]:
        return Task(function, checked)

    return decorate if fn is None else decorate(fn)
