"""Parameters of a pipeline: words of the command line or values, checked against annotations.

Knows signatures and conversion. Does not know files of parameters; the command line reads those.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ems.errors import UsageError, did_you_mean
from ems.worker.files import Dir, File

if TYPE_CHECKING:
    from ems.pipeline.pipeline import Pipeline


def checked(
    pipeline: Pipeline[..., Any], given: Mapping[str, Any], *, words: bool
) -> dict[str, Any]:
    """Return the arguments of a pipeline, converted to what its annotations say.

    With `words`, text is read as a person would write it on a command line (`8`, `true`, `[1, 2]`);
    else a value must have the annotated type. Raises UsageError that names the parameter.
    """
    parameters = pipeline.parameters
    subject = f"pipeline {pipeline.name}"
    for name in given:
        if name not in parameters.names and not parameters.extra_named:
            known = ", ".join(parameters.names) or "none"
            near = did_you_mean(name, list(parameters.names))
            raise UsageError(subject, f"has no parameter '{name}'{near}; it has {known}")
    missing = [n for n in parameters.names if n not in given and n not in parameters.defaults]
    if missing:
        raise UsageError(
            subject, f"needs {', '.join(missing)}", " ".join(f"-p {name}=…" for name in missing)
        )
    hints = _hints(pipeline.fn) if given else {}
    return {name: _convert(subject, name, value, hints, words) for name, value in given.items()}


def _hints(fn: Any) -> dict[str, Any]:
    if not getattr(fn, "__annotations__", None):
        return {}
    from typing import get_type_hints

    try:
        return get_type_hints(fn)
    except (NameError, TypeError, AttributeError) as error:
        raise UsageError(
            f"pipeline {fn.__name__}", f"has an annotation that can't be read: {error}"
        ) from None


def _convert(subject: str, name: str, value: Any, hints: Mapping[str, Any], words: bool) -> Any:
    kind = hints.get(name)
    if kind is None or kind is Any:
        return _guess(value) if words and isinstance(value, str) else value
    if kind in (File, Dir):
        return kind(value)
    if type(value) is kind:
        return value
    if words and kind in (int, float) and isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            pass
    import msgspec

    if words and isinstance(value, str):
        guess = _guess(value)
        for candidate in (value, guess) if _takes_text(kind) else (guess, value):
            try:
                return msgspec.convert(candidate, kind, strict=False)
            except msgspec.ValidationError:
                continue
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        shown = getattr(kind, "__name__", None) or str(kind)
        if not shown.isidentifier() or hasattr(kind, "__args__"):
            shown = str(kind).replace("typing.", "")
        raise UsageError(subject, f"parameter '{name}' is {value!r}, not {shown}") from None


def _takes_text(kind: Any) -> bool:
    return kind is str or str in getattr(kind, "__args__", ())


def _guess(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
