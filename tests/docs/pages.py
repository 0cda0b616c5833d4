"""A page of Markdown as one shell script: its files written, its commands run, in order.

In a page, fenced blocks mean:

    ```python file=pipeline.py      the file is written (any language; folders are made)
    ```console                      lines after `$ ` are run, the lines between are their output
    ```console norun=why            shown only
    ```python                       must compile, is not run

and an HTML comment `<!-- $ command -->` on its own line is a command that readers do not see.
Output is compared loosely: a line `...` stands for any lines, `...` in a line for any text; times,
sizes, dates, ids and who ran it where are equal to each other, and lines of tasks that ran side by
side may come in any order. A command may fail only if the next one is `echo $?`. All of a page's
commands run in one shell, so `cd` and variables last.

Knows Markdown and a shell; nothing of EMS.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

FENCE = re.compile(r"^(\s*)(`{3,})\s*(\S*)\s*(.*)$")
HIDDEN = re.compile(r"^<!--\s*\$ (.*?)\s*-->\s*$")
MARK = "\x1e"


@dataclass
class Block:
    """A fenced block: where it stands, its language, its `key=value` words and its lines."""

    line: int
    language: str
    words: dict[str, str]
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


@dataclass
class Command:
    """One command of a page and the output that the page shows; None where it shows nothing."""

    line: int
    text: str
    shown: list[str] | None


@dataclass
class File:
    """One file that a page tells the reader to write."""

    line: int
    path: str
    text: str


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, hidden commands among them as blocks of their own."""
    found: list[Block] = []
    fence = indent = ""
    for number, line in enumerate(page.splitlines(), start=1):
        opening = FENCE.match(line)
        if fence:
            if opening and opening[2].startswith(fence) and not opening[3]:
                fence = ""
            else:
                found[-1].lines.append(line.removeprefix(indent))
        elif opening:
            indent, fence, language, rest = opening.groups()
            found.append(Block(number, language, _words(rest)))
        elif hidden := HIDDEN.match(line):
            found.append(Block(number, "hidden", {}, [hidden[1]]))
    return found


def steps(page: str) -> list[Command | File]:
    """Return what a reader who follows the page does, in order."""
    done: list[Command | File] = []
    for block in blocks(page):
        if block.language == "hidden":
            done.append(Command(block.line, block.lines[0], None))
        elif "file" in block.words:
            done.append(File(block.line, block.words["file"], block.text))
        elif block.language == "console" and "norun" not in block.words:
            done += _commands(block)
    return done


def script(todo: Sequence[Command | File]) -> str:
    """Return the shell script that does the steps and marks where each command starts and ends."""
    out = ["exec 2>&1 </dev/null", "_last=0"]
    for number, step in enumerate(todo):
        if isinstance(step, File):
            path = shlex.quote(step.path)
            out.append(f'mkdir -p -- "$(dirname -- {path})"')
            out.append(f"printf '%s' {shlex.quote(step.text)} > {path}")
        else:
            out.append(f"printf '{MARK}%d\\n' {number}; (exit $_last)")
            out.append(step.text)
            out.append(f"_last=$?; printf '{MARK}= %d\\n' $_last")
    return "\n".join(out) + "\n"


def outputs(text: str) -> dict[int, tuple[int, list[str]]]:
    """Return exit status and lines of output by number of step, from what the script printed."""
    found: dict[int, tuple[int, list[str]]] = {}
    for part in re.split(rf"^{MARK}(?=\d)", text, flags=re.M)[1:]:
        number, _, rest = part.partition("\n")
        body, mark, status = rest.rpartition(f"{MARK}= ")
        if mark:
            found[int(number)] = (int(status), body.splitlines())
        else:
            found[int(number)] = (-1, rest.splitlines())
    return found


def matches(shown: Sequence[str], real: Sequence[str]) -> bool:
    """Whether real output is what the page shows, times, sizes, dates and ids aside."""
    lines = [normal(line) for line in _any_order(shown)]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in lines
        if line
    )
    text = "".join(f"{line}\n" for line in map(normal, _any_order(real)) if line)
    return re.fullmatch(pattern, text) is not None


def _any_order(lines: Sequence[str]) -> list[str]:
    """Return the lines with those of tasks, where several stand together, in a fixed order."""
    found: list[str] = []
    for of_tasks, group in groupby(lines, lambda line: _OF_TASKS.match(line) is not None):
        together = list(group)
        found += sorted(together, key=normal) if of_tasks else together
    return found


_OF_TASKS = re.compile(r"  (ran |\S+ \| )")


def normal(line: str) -> str:
    """Return the line without what differs from run to run."""
    for pattern, name in _NORMAL:
        line = pattern.sub(name, line)
    return " ".join(line.split())


_NORMAL = [
    (re.compile(r"\b\d{8}-\d{6}-[a-z]{4}\b"), "‹id›"),
    (re.compile(r"\b(?:hello|collect|run-main)-[a-z0-9]{4}\b"), "‹job›"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?\b"), "‹when›"),
    (re.compile(r"\b\d\d:\d\d(?::\d\d)?\b"), "‹when›"),
    (re.compile(r"~?\b\d+(?:\.\d+)?(?:e-\d+)? ?(?:µs|ms|s|min|m|h)\b(?: \d+ ?s\b)?"), "‹time›"),
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:B|KiB|MiB|GiB|bytes)\b"), "‹size›"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,64}\b|\b\d{8,}\b"), "‹id›"),
    (re.compile(r"\bby \S+ (on|at) \S+"), "by ‹who›"),
    (re.compile(r"\bby \S+ in run\b"), "by ‹who› in run"),
    (re.compile(r"\S+/emsctl\b"), "emsctl"),
]


def _words(text: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in shlex.split(text))
    return {key: value for key, _, value in pairs}


def _commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for offset, line in enumerate(block.lines, start=1):
        if line.startswith("$ "):
            found.append(Command(block.line + offset, line[2:], []))
        elif found and found[-1].shown == [] and found[-1].text.endswith("\\"):
            found[-1].text += "\n" + line.removeprefix("> ")
        elif found and found[-1].shown is not None:
            found[-1].shown.append(line)
    return found
