"""Commands: any program as a task, with no change to it.

Knows templates, their placeholders and outputs. The worker fills a template in (contract 7); here
it is only read and checked. Does not know stores or backends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ems.errors import UsageError
from ems.pipeline import active
from ems.pipeline.task import AFTER, KNOWN, Options, Parameters, options_of, unknown_argument
from ems.worker.command import Template, TemplateError

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_OUT = "out."
KNOWN_HERE = sorted({*KNOWN, "code", "outputs"} - {"pickle", "uses"})


class Command:
    """A program with placeholders: called like a task, with its placeholders as keywords."""

    __slots__ = ("__weakref__", "code", "name", "options", "outputs", "parameters", "template")

    def __init__(
        self,
        template: str,
        code: tuple[str, ...],
        outputs: Mapping[str, str],
        options: Options,
    ) -> None:
        self.template = template
        self.code = code
        self.outputs = dict(outputs)
        self.options = options
        names = placeholders(template)
        self.name = options.name or _program(template)
        self.parameters = Parameters(names, 0, {})
        _check_outputs(self.name, template, self.outputs)
        try:
            Template(template)
        except TemplateError as error:
            raise UsageError("ems.command", str(error)) from None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        graph = active.graph
        if args:
            raise UsageError(
                f"command {self.name}",
                f"takes its placeholders as keywords: {', '.join(self.parameters.names) or 'none'}",
            )
        if graph is None:
            raise UsageError(
                f"command {self.name}",
                "runs inside a pipeline only",
                "call it in a function under @ems.pipeline, and run that",
            )
        return graph.call(self, (), kwargs)

    def __repr__(self) -> str:
        return f"<command {self.name}>"


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names of a template's arguments, in order, each once; `{{` and `}}` are braces."""
    names: dict[str, None] = {}
    for match in _PLACEHOLDER.finditer(template):
        name = match[1]
        if name is None or name.startswith(_OUT):
            continue
        if not name.isidentifier() or name == AFTER:
            raise UsageError(
                "ems.command",
                f"{match[0]!r} is no placeholder (allowed: {{name}}, {{out.name}}; "
                "{{ and }} stand for braces)",
            )
        names[name] = None
    return tuple(names)


def _check_outputs(name: str, template: str, outputs: Mapping[str, str]) -> None:
    for match in _PLACEHOLDER.finditer(template):
        wanted = (match[1] or "").removeprefix(_OUT)
        if (match[1] or "").startswith(_OUT) and wanted not in outputs:
            known = ", ".join(outputs) or "none; give outputs={...}"
            raise UsageError(f"command {name}", f"{match[0]} names no output; outputs are {known}")
    for output, path in outputs.items():
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise UsageError(
                f"command {name}", f"output {output}={path!r} is no path inside its scratch folder"
            )


def _program(template: str) -> str:
    words = [word for word in template.split() if "{" not in word and "=" not in word]
    scripts = [word for word in words if word.endswith((".py", ".sh", ".R", ".jl", ".m"))]
    chosen = (scripts or words or ["command"])[0].rsplit("/", 1)[-1]
    return chosen.rsplit(".", 1)[0] or "command"


def command(
    template: str,
    *,
    code: str | Sequence[str] = (),
    outputs: Mapping[str, str] | None = None,
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
    version: str | None = None,
    environment: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Command:
    """Make a program a task: `ems.command("python train.py --seed {seed} --out {out.model}", …)`.

    `{name}` is an argument, quoted safely whatever it holds; `{out.name}` is where the program
    shall write the output `name`, and `outputs` gives each its path in the scratch folder. `code`
    names the program's own files by glob, relative to the pipeline's folder: they are laid out in
    the scratch folder, and a change to them runs it again. The result is a dict of files by output.
    The other arguments are those of `ems.task`. Raises UsageError for a template that does not fit.
    """
    if unknown:
        raise unknown_argument("ems.command", next(iter(unknown)), KNOWN_HERE)
    options = options_of(
        "ems.command", {}, cpus=cpus, memory=memory, gpus=gpus, gpu_kind=gpu_kind, disk=disk,
        timeout=timeout, retries=retries, on=on, spot=spot, name=name, cache=cache, version=version,
        environment=environment,
    )  # fmt: skip
    if isinstance(code, str):
        code = (code,)
    return Command(template, tuple(code), outputs or {}, options)
