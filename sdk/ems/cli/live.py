"""Showing a run while it goes on: a live display on a terminal, plain lines elsewhere.

Knows what an Observer hears. Does not know how a run works. `rich` is imported when a run has
lasted half a second on a terminal, so short runs never wait for it.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from ems.pipeline.observer import Failure, Observer, Snapshot
from ems.units import seconds_text

if TYPE_CHECKING:
    from rich.live import Live

_FEW = 40
_PLAIN_EVERY_S = 5.0
_SHOWN_RUNNING = 8


class Lines(Observer):
    """Plain lines: each task where there are few, a count now and then where there are many."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._few = True
        self._last = time.monotonic()

    def say(self, text: str, style: str = "") -> None:
        """Write one line; `style` is a colour for a terminal."""
        print(text, file=self.stream, flush=True)

    def began(self, run_id: str, pipeline: str, total: int) -> None:
        self._few = total <= _FEW
        self.say(f"run {run_id}: {pipeline}")

    def ran(self, label: str, seconds: float) -> None:
        if self._few:
            self.say(f"  ran {label} ({seconds_text(seconds)})")

    def failed(self, failure: Failure) -> None:
        first, *more = failure_lines(failure)
        self.say(first, "bold red")
        for line in more:
            self.say(line)

    def retried(self, failure: Failure) -> None:
        self.say(
            f"  {failure.label}: attempt {failure.attempt} of {failure.attempts} failed "
            f"({reason_text(failure)}); trying again",
            "yellow",
        )

    def waited(self, label: str, runner: str) -> None:
        self.say(f"  {label}: being run by {runner}; waiting for its result")

    def warned(self, text: str) -> None:
        self.say(f"  warning: {text}", "yellow")

    def output(self, label: str, text: str) -> None:
        for line in text.splitlines():
            self.say(f"  {label} | {line}")

    def tick(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if not self._few and now - self._last >= _PLAIN_EVERY_S:
            self._last = now
            self.say("  " + counts_text(snapshot))

    def close(self) -> None:
        """Nothing is shown any more."""


class Terminal(Lines):
    """A display that is redrawn in place; lines that stay scroll above it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._live: Live | None = None

    def say(self, text: str, style: str = "") -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, style=style or None)
        else:
            super().say(colored(text, style, self.stream))

    def tick(self, snapshot: Snapshot) -> None:
        if self._live is None:
            self._live = _live(self.stream)
            self._live.start()
        self._live.update(_picture(snapshot), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.update("")
            self._live.stop()
            self._live = None


class Quiet(Lines):
    """Failures and warnings alone."""

    def began(self, run_id: str, pipeline: str, total: int) -> None: ...
    def ran(self, label: str, seconds: float) -> None: ...
    def output(self, label: str, text: str) -> None: ...
    def waited(self, label: str, runner: str) -> None: ...
    def tick(self, snapshot: Snapshot) -> None: ...


def observer_for(stream: TextIO, *, quiet: bool = False) -> Lines:
    """Return the display that fits a stream."""
    if quiet:
        return Quiet(stream)
    return Terminal(stream) if stream.isatty() else Lines(stream)


def colored(text: str, style: str, stream: TextIO) -> str:
    """Return the text in a colour where the stream is a terminal that wants one."""
    if not style or os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return f"\x1b[{_ANSI[style]}m{text}\x1b[0m"


_ANSI = {"bold red": "1;31", "red": "31", "green": "32", "yellow": "33"}


def _live(stream: TextIO) -> Live:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(file=stream), auto_refresh=False, transient=True)


def _picture(snapshot: Snapshot) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = snapshot.ran + snapshot.cached + snapshot.failed + snapshot.skipped
    table = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(1, snapshot.total), completed=done, width=30, complete_style="cyan")
    table.add_row(bar, Text(counts_text(snapshot)))
    for running in snapshot.running[:_SHOWN_RUNNING]:
        left = f" of about {seconds_text(running.expected_s)}" if running.expected_s else ""
        elapsed = seconds_text(round(running.elapsed_s, 1))
        table.add_row(Text("  " + running.label), Text(elapsed + left))
    more = len(snapshot.running) - _SHOWN_RUNNING
    if more > 0:
        table.add_row(Text(f"  and {more} more"), Text(""))
    return table


def counts_text(snapshot: Snapshot) -> str:
    """Return a snapshot in one line."""
    done = snapshot.ran + snapshot.cached
    parts = [f"{done}/{snapshot.total} done ({snapshot.ran} ran, {snapshot.cached} cached)"]
    if snapshot.running:
        parts.append(f"{len(snapshot.running)} running")
    if snapshot.waiting_elsewhere:
        parts.append(f"{snapshot.waiting_elsewhere} run by others")
    if snapshot.failed:
        parts.append(f"{snapshot.failed} failed")
    if snapshot.skipped:
        parts.append(f"{snapshot.skipped} skipped")
    parts.append(seconds_text(snapshot.elapsed_s))
    if snapshot.eta_s is not None and snapshot.eta_s > 0:
        parts.append(f"about {seconds_text(snapshot.eta_s)} left")
    return ", ".join(parts)


def reason_text(failure: Failure) -> str:
    """Return why an attempt failed, in a few words."""
    if failure.reason == "exception":
        return f"{failure.kind}: {failure.message}"
    if failure.reason == "exit":
        return f"exit code {failure.exit_code}"
    text = failure.reason.replace("_", " ")
    if failure.signal is not None:
        text += f" {failure.signal}" if text == "signal" else f", signal {failure.signal}"
    return f"{text}: {failure.message}" if failure.message else text


def failure_lines(failure: Failure) -> list[str]:
    """Return what a person needs of a failed task: what, with what, why, and what to do next."""
    lines = [f"FAILED {failure.label}: {reason_text(failure)}"]
    lines += [
        f"  {name} = {_argument(value, failure.values.get(name))}"
        for name, value in failure.args.items()
    ]
    if failure.traceback:
        lines.append("  traceback:")
        lines += [f"    {line}" for line in failure.traceback]
    if failure.log_tail:
        lines.append("  last lines of its output:")
        lines += [f"    {line}" for line in failure.log_tail]
    if failure.version:
        command = "logs" if failure.log_tail else "show"
        lines.append(f"  next: emsctl {command} {failure.version[:12]}")
    return lines


def _part(label: str | None, steps: Any) -> str:
    """Return how a person would write a part of a call's result."""
    text = label or "a map"
    for how, key in steps:
        text += f"[{key!r}]" if how == "item" else f".{key}"
    return text


def _argument(tree: Any, value: Any) -> str:
    """Return an argument: a short value itself, and which call's result it is."""
    text = _short(tree)
    if text.startswith("result of") and isinstance(value, (int, float, str, bool)):
        return f"{_short(value)} ({text})"
    return text


def _short(value: Any) -> str:
    if isinstance(value, dict):
        tags: dict[str, Any] = value
        if "$of" in tags:
            return f"result of {_part(*tags['$of'][:2])}"
        if "$file" in tags or "$dir" in tags:
            row = tags.get("$file") or tags.get("$dir")
            return f"{row[2]} ({row[0][:12]})" if row else "a file"
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
