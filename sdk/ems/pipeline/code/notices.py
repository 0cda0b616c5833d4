"""What can't be resolved in reached code, said once, with how to declare it.

Knows marks and how they read. Does not decide where they are shown.
"""

from __future__ import annotations

from typing import NamedTuple


class CodeWarning(NamedTuple):
    """A place in the code that EMS can't follow; `remedy` says how to declare what it reaches."""

    file: str
    line: int
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}. {self.remedy}"


_WHAT = {
    "getattr": "reads an attribute by a computed name",
    "import": "imports a module by a computed name",
    "exec": "runs code made from text",
    "eval": "evaluates code made from text",
    "globals": "looks a global up by a computed name",
}


def of_mark(file: str, kind: str, line: int, shown: str, module: str) -> CodeWarning:
    """Return the warning for a mark; `module` is the module that it is about, where known."""
    what = f"`{shown}` {_WHAT[kind]}"
    if kind in ("getattr", "globals"):
        remedy = f"All of {module} counts meanwhile; declare uses=[{module!r}] to agree"
    else:
        remedy = "What it reaches is not in the version; declare uses=[module or file, …]"
    return CodeWarning(
        file, line, what, f'{remedy}, or version="…" to answer for the code yourself'
    )


def of_shadow(file: str, name: str) -> CodeWarning:
    """Return the warning for a module of the project that has the name of one of Python's own."""
    what = f"has the name of Python's own module {name}; `import {name}` may get either"
    return CodeWarning(file, 1, what, "Rename the file")
