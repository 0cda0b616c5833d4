"""Make the reference from what it describes: commands, Python names, settings, what is kept.

`make docs` writes the pages beside this file; a test holds them up to date. Reads help texts,
signatures and docstrings. What the code has no sentence for stands in `words.py`, and a test holds
that complete.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import ems
import ems.errors
import ems.settings
from ems.cli.main import main as root
from ems.compute.job import Reason
from ems.compute.jobfile import schema
from ems.pipeline.runner import RETRIED

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import words  # noqa: E402  (beside this file, which is no package)

NOTE = "<!-- Made by `make docs` from the code: change the text there. -->\n"


def commands() -> str:
    """Return the page of commands, from their help texts."""
    page = [f"# Commands\n\n{NOTE}\n{_help(root)}"]
    page.append("These options stand before the command:\n")
    page.append(_table(("option", ""), _options(root, click.Context(root))))
    for typed, command in _walk(root, ("emsctl",)):
        context = click.Context(command, info_name=" ".join(typed))
        usage = " ".join([*typed, *command.collect_usage_pieces(context)])
        page.append(f"## {' '.join(typed[1:])}\n\n```text\n{usage}\n```\n\n{_help(command)}")
        if rows := _options(command, context):
            page.append(_table(("option", ""), rows))
    return "\n".join(page)


def python() -> str:
    """Return the page of the public Python names, from signatures and docstrings."""
    page = [
        f"# Python\n\n{NOTE}\n`import ems` gives these names; what is not listed here may change.\n"
    ]
    for name in ems.__all__:
        value = getattr(ems, name)
        if inspect.ismodule(value):  # a package that may be called, as its main function
            value = getattr(importlib.import_module(f"{value.__name__}.{name}"), name)
        page.append(f"## ems.{name}\n\n{_signature(f'ems.{name}', value)}{_doc(value)}")
        if inspect.isclass(value) and not issubclass(value, BaseException):
            page.append(_members(value))
        for kind, text in words.RETURNED.get(name, {}).items():
            page.append(f"{text}:\n\n{_members(_named(kind))}")
    return "\n".join(part for part in page if part)


def settings() -> str:
    """Return the page of `.ems.yaml`, environment variables, exit codes, states and reasons."""
    keys = [(f"`{key}`", f"`{default}`", text) for key, default, text in _settings_keys()]
    reasons = [
        (f"`{reason}`", words.REASONS[reason], "yes" if reason in RETRIED else "")
        for reason in Reason
    ]
    return "\n".join(
        [
            f"# Settings, exit codes, states\n\n{NOTE}",
            "## .ems.yaml\n",
            f"{_doc(ems.settings.Settings)}",
            _table(("key", "default", ""), keys),
            "Keys of `environment`, and of `@ems.task(environment={…})`, which takes its place:\n",
            _table(("key", ""), _coded(words.ENVIRONMENT)),
            "## Environment variables\n",
            _table(("variable", ""), _coded(words.VARIABLES)),
            "What programs and Python tasks get, besides the variables of the shell:\n",
            _table(("variable", ""), _coded(words.GIVEN)),
            "## Exit codes\n",
            _table(("code", ""), [(str(code), text) for code, text in _constants(ems.errors)]),
            "## States of a run\n",
            _table(("state", ""), _coded(words.RUNS)),
            "## How a call went\n",
            _table(("how", ""), _coded(words.CALLS)),
            "## Reasons of a failure\n",
            "The word after `FAILED`, in `emsctl show` and in JSON. With `retries=`, those marked "
            "are tried again.\n",
            _table(("reason", "", "retried"), reasons),
        ]
    )


def records() -> str:
    """Return the page of what is kept of a version, and where JSON is described."""
    return "\n".join(
        [
            f"# What is kept of a version\n\n{NOTE}",
            "These are the keys of `emsctl show VERSION -o json`, and of `manifest.json` in the "
            "folder that `emsctl export` writes. The JSON of other commands stands with "
            "[each command](commands.md).\n",
            _table(("key", ""), _coded(words.MANIFEST)),
            "`spec` says what the version was made of, but for its arguments:\n",
            _table(("key", ""), _coded(words.SPEC)),
            "Each of `attempts`:\n",
            _table(("key", ""), _coded(words.ATTEMPT)),
            "## Values\n",
            "Arguments and results are trees of JSON. What JSON has no form for is an object with "
            "one key that starts with `$`:\n",
            _table(("key", ""), _coded(words.TREES)),
        ]
    )


def job() -> str:
    """Return the page of job files, from their types."""
    page = [f"# Job files\n\n{NOTE}", words.JOB]
    for kind in schema.KINDS:
        page.append(f"## {kind.__name__}\n\n{_doc(kind)}")
        page.append(_table(("key", "value", "default", ""), schema.rows(kind)))
    return "\n".join(page)


def _settings_keys() -> list[tuple[str, str, str]]:
    return [
        (
            key,
            {"None": "", "field(default_factory=dict[str, Any])": "{}"}.get(default, default),
            text,
        )
        for key, default, text in _fields(ems.settings, "Settings")
    ]


def _coded(rows: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(f"`{name}`", text) for name, text in rows.items()]


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *(tuple(_cell(cell) for cell in row) for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines).replace("|  |", "| |")


def _walk(
    group: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(group, click.Group):
        context = click.Context(group, info_name=words[-1])
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield (*words, name), command
                yield from _walk(command, (*words, name))


def _help(command: click.Command) -> str:
    """Return a command's help; paragraphs whose lines stay as they are become blocks."""
    text = inspect.cleandoc(command.help or "").split("\f", 1)[0].rstrip()
    paragraphs = re.split(r"\n\s*\n", text)
    return (
        "\n\n".join(
            f"```text\n{each.removeprefix(chr(8)).strip(chr(10))}\n```"
            if each.startswith("\b")
            else each
            for each in paragraphs
        )
        + "\n"
    )


def _options(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    records = [each.get_help_record(context) for each in command.params]
    return [(f"`{record[0]}`", record[1]) for record in records if record]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


class _Bare(str):
    """An annotation that is shown as it was written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(name: str, value: Any) -> str:
    """Return a call as a block; of overloads it is the one with the most parameters."""
    if inspect.isclass(value) and issubclass(value, BaseException):
        return ""
    found = [inspect.signature(each) for each in typing.get_overloads(value) or [value]]
    most = max(found, key=lambda each: len(each.parameters))
    shown = [
        each.replace(annotation=_bare(each.annotation))
        for each in most.parameters.values()
        if not each.name.startswith("_") and each.name != "unknown"
    ]
    text = (
        f"{name}{most.replace(parameters=shown, return_annotation=_bare(most.return_annotation))}"
    )
    text = text.removesuffix(" -> None").replace("<factory>", "()")
    if len(text) > 88:
        parts = [f"    {str(each).replace('<factory>', '()')},\n" for each in shown]
        if any(each.kind is each.KEYWORD_ONLY for each in shown):
            first = next(at for at, each in enumerate(shown) if each.kind is each.KEYWORD_ONLY)
            parts.insert(first, "    *,\n")
        if any(each.kind is each.POSITIONAL_ONLY for each in shown):
            last = max(at for at, each in enumerate(shown) if each.kind is each.POSITIONAL_ONLY)
            parts.insert(last + 1, "    /,\n")
        text = f"{name}(\n{''.join(parts)}){text[text.rindex(')') + 1 :]}"
    return f"```python\n{text}\n```\n\n"


def _bare(annotation: Any) -> Any:
    found = getattr(annotation, "__forward_arg__", annotation)  # of a named tuple
    return _Bare(found) if isinstance(found, str) else found


def _doc(value: Any) -> str:
    return (inspect.getdoc(value) or "").rstrip() + "\n"


def _members(kind: type) -> str:
    """Return fields, properties and methods of a class, one a line."""
    rows: list[str] = []
    for name in _names(kind):
        value = inspect.getattr_static(kind, name, None)
        text = " ".join((inspect.getdoc(value) or "").split())
        if isinstance(value, (property, cached_property)) or inspect.isfunction(value):
            rows.append(f"- `{name}`: {text}\n" if text else f"- `{name}`\n")
        elif name in kind.__annotations__ and not isinstance(value, classmethod):
            rows.append(f"- `{name}: {_bare(kind.__annotations__[name])}`\n")
        elif inspect.ismemberdescriptor(value):
            rows.append(f"- `{name}`\n")
    return "".join(rows)


def _names(kind: type) -> list[str]:
    """Return a class's public names and those of its own bases, in the order of the source."""
    ours = [base for base in reversed(kind.__mro__) if base.__module__.startswith("ems.")]
    names = [name for base in ours for name in (*base.__annotations__, *vars(base))]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _named(path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _fields(module: ModuleType, name: str) -> list[tuple[str, str, str]]:
    """Return a dataclass's fields: name, default as written, and the string below each."""
    tree = ast.parse(inspect.getsource(module))
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name)
    rows: list[tuple[str, str, str]] = []
    for node, text in _documented(found.body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = ast.unparse(node.value) if node.value else "required"
            rows.append((node.target.id, default, _cell(text)))
    return rows


def _constants(module: ModuleType) -> list[tuple[int, str]]:
    """Return a module's whole-number constants and the string below each."""
    rows: list[tuple[int, str]] = []
    for node, text in _documented(ast.parse(inspect.getsource(module)).body):
        value = getattr(node, "value", None)
        if isinstance(node, ast.Assign) and isinstance(value, ast.Constant):
            name = ast.unparse(node.targets[0])
            if isinstance(value.value, int):
                rows.append((value.value, _cell(text) or name.lower().replace("_", " ")))
    return rows


def _documented(body: Iterable[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    statements = list(body)
    for node, after in zip(statements, [*statements[1:], None], strict=True):
        documents = (
            isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        )
        yield node, inspect.cleandoc(after.value.value) if documents else ""  # type: ignore[union-attr]


PAGES = {
    "commands.md": commands,
    "python.md": python,
    "settings.md": settings,
    "records.md": records,
    "job.md": job,
    "job.schema.json": schema.schema,
}


def main() -> int:
    """Write the pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
