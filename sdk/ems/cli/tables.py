"""Printing: tables and facts for people, JSON for programs.

On a terminal tables are drawn by rich; elsewhere they are aligned plain text in which nothing is
cut or wrapped. Does not know what is in them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

STYLES = {
    "done": "green", "running": "cyan", "failed": "red", "died": "red", "canceled": "yellow",
    "unfinished": "yellow", "ran": "cyan", "cached": "green", "skipped": "yellow", "broken": "red",
}  # fmt: skip
"""Words that get a colour on a terminal."""


def print_json(document: Any) -> None:
    """Print a document, indented, in UTF-8 text."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[str] = ()
) -> None:
    """Print rows under their columns' names; `right` names columns of numbers."""
    numbers = set(right)
    if sys.stdout.isatty():
        _print_rich(columns, rows, numbers)
        return
    for line in plain_table(columns, rows, numbers):
        print(line)


def plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: set[str]
) -> list[str]:
    """Return aligned lines without trailing blanks."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    ]


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]], right: set[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for at, name in enumerate(columns):
        table.add_column(
            name, justify="right" if name in right else "left", no_wrap=at == 0, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values below each other; empty values are left out."""
    rows = [(name, text) for name, text in facts if text]
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        first, *more = text.splitlines() or [""]
        print(f"{name.ljust(width)}  {first}".rstrip())
        for line in more:
            print(f"{'':{width}}  {line}".rstrip())


def print_section(title: str) -> None:
    """Print a heading, set off from what stands above."""
    print()
    if sys.stdout.isatty():
        print(f"\x1b[1m{title}\x1b[0m")
    else:
        print(title)
