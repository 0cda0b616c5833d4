"""What a run tells while it goes on: to a terminal, a notebook, or nobody.

Knows the events. Does not know how they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_NO_VALUES: Mapping[str, Any] = {}


class Failure(NamedTuple):
    """A task that failed for good, or an attempt that is tried again."""

    label: str
    task: str
    version: str
    args: Mapping[str, Any]
    reason: str
    attempt: int
    attempts: int
    message: str = ""
    kind: str = ""
    traceback: Sequence[str] = ()
    exit_code: int | None = None
    signal: int | None = None
    log_tail: Sequence[str] = ()
    values: Mapping[str, Any] = _NO_VALUES
    """The arguments as the worker got them; in `args`, results of other calls are references."""
    seconds: float = 0.0


class Running(NamedTuple):
    """A task that runs now."""

    label: str
    elapsed_s: float
    expected_s: float | None = None


class Snapshot(NamedTuple):
    """A run at one moment; counts of nodes that stand for a task's call."""

    total: int
    ran: int
    cached: int
    failed: int
    skipped: int
    waiting_elsewhere: int
    elapsed_s: float
    eta_s: float | None = None
    running: Sequence[Running] = ()


class Observer:
    """Hears of a run; each method does nothing, so that a listener overrides what it shows."""

    def began(self, run_id: str, pipeline: str, total: int) -> None:
        """The graph stands and work begins."""

    def ran(self, label: str, seconds: float) -> None:
        """A task ended well."""

    def failed(self, failure: Failure) -> None:
        """A task failed for good."""

    def retried(self, failure: Failure) -> None:
        """An attempt failed and another follows."""

    def waited(self, label: str, runner: str) -> None:
        """A task is being run by someone else, whose result is waited for."""

    def warned(self, text: str) -> None:
        """Something that the user should know, once."""

    def output(self, label: str, text: str) -> None:
        """A task wrote to standard output or standard error."""

    def tick(self, snapshot: Snapshot) -> None:
        """Time passed: about twice a second while something runs."""
