"""Make the reference from what it describes: commands, public Python names, settings, exit codes.

`make docs` writes commands.md, python.md and settings.md beside this file; a test holds them up to
date. Reads help texts, signatures and docstrings; knows no command or name itself.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import ems
import ems.errors
import ems.settings
from ems.cli.main import main as root

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Made by `make docs` from the code: change the text there. -->\n"


def commands() -> str:
    """Return the page of commands, from their help texts."""
    page = [f"# Commands\n\n{NOTE}\n{_help(root)}"]
    for words, command in _walk(root, ("emsctl",)):
        context = click.Context(command, info_name=" ".join(words))
        usage = " ".join([*words, *command.collect_usage_pieces(context)])
        page.append(f"## {' '.join(words[1:])}\n\n```text\n{usage}\n```\n\n{_help(command)}")
        rows = [_option(each, context) for each in command.params]
        if rows := [row for row in rows if row]:
            page.append("| option | |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(page)


def python() -> str:
    """Return the page of the public Python names, from signatures and docstrings."""
    page = [
        f"# Python\n\n{NOTE}\n`import ems` gives these names; what is not listed here may change.\n"
    ]
    for name in sorted(ems.__all__, key=str.lower):
        value = getattr(ems, name)
        page.append(f"## ems.{name}\n\n{_signature(f'ems.{name}', value)}{_doc(value)}")
        if inspect.isclass(value) and not issubclass(value, BaseException):
            page += list(_members(value))
    return "\n".join(page)


def settings() -> str:
    """Return the page of `.ems.yaml`, environment variables and exit codes."""
    keys = _fields(ems.settings, "Settings")
    codes = _constants(ems.errors)
    return "\n".join(
        [
            f"# Settings and exit codes\n\n{NOTE}",
            "## .ems.yaml\n",
            f"{inspect.getdoc(ems.settings.Settings)}\n",
            "| key | default | |\n|---|---|---|",
            *(f"| `{key}` | `{default}` | {text} |" for key, default, text in keys),
            "\n## Exit codes\n",
            "| code | |\n|---|---|",
            *(f"| {code} | {text} |" for code, text in codes),
            "",
        ]
    )


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
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return text.split("\f", 1)[0].rstrip() + "\n"


def _option(parameter: click.Parameter, context: click.Context) -> str:
    record = parameter.get_help_record(context)
    return f"| `{_cell(record[0])}` | {_cell(record[1])} |" if record else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _signature(name: str, value: Any) -> str:
    try:
        signature = str(inspect.signature(value))
    except (TypeError, ValueError):
        return ""
    return f"```python\n{name}{signature}\n```\n\n"


def _doc(value: Any) -> str:
    return (inspect.getdoc(value) or "").rstrip() + "\n"


def _members(kind: type) -> Iterator[str]:
    for name, value in inspect.getmembers(kind):
        own = name in {each for base in kind.__mro__[:-1] for each in vars(base)}
        if name.startswith("_") or not own or not inspect.getdoc(value):
            continue
        yield f"- `{name}`: {' '.join(_doc(value).split())}"


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


PAGES = {"commands.md": commands, "python.md": python, "settings.md": settings}


def main() -> int:
    """Write the pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
