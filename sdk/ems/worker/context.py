"""What a running task knows of itself, and how it reports metrics.

Knows the version being run in this process. Does not know who listens: the worker installs a
listener; outside a run there is none, and a report goes nowhere.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Callable, Dict, Optional

    Metrics = Dict[str, Any]
    Listener = Callable[[Optional[int], Metrics], None]


class Canceled(BaseException):
    """Raised in a task that is asked to end: catch it to write a last checkpoint, then re-raise."""


class Context:
    """One attempt at one version, as its task sees it.

    `version` is the hexadecimal version ("" outside a run), `seed` a whole number below 2**31 that
    depends on the task's arguments alone, `attempt` counts from 1, `task` is the task's name.
    """

    __slots__ = ("_checkpoint", "_listener", "_scratch", "attempt", "seed", "task", "version")

    def __init__(
        self,
        version: str = "",
        task: str = "",
        seed: int = 0,
        attempt: int = 1,
        scratch: str = "",
        checkpoint: str = "",
        listener: Optional[Listener] = None,
    ) -> None:
        self.version = version
        self.task = task
        self.seed = seed
        self.attempt = attempt
        self._scratch = scratch
        self._checkpoint = checkpoint
        self._listener = listener

    @property
    def scratch(self) -> Path:
        """The task's own empty folder, also its working directory; gone when the task has ended."""
        from pathlib import Path

        if not self._scratch:
            self._scratch = os.getcwd()
        return Path(self._scratch)

    @property
    def checkpoint(self) -> Path:
        """A folder that later attempts at this version find again; made when first asked for."""
        from pathlib import Path

        if not self._checkpoint:
            self._checkpoint = os.path.join(os.getcwd(), "checkpoint")
        os.makedirs(self._checkpoint, exist_ok=True)
        return Path(self._checkpoint)

    def report(self, step: Optional[int], metrics: Metrics) -> None:
        """Hand metrics to whoever runs this task, now."""
        if self._listener is not None:
            self._listener(step, {name: _plain(name, value) for name, value in metrics.items()})


def _plain(name: str, value: Any) -> Any:
    item = getattr(value, "item", None)
    if item is not None and not isinstance(value, (int, float, str)):
        value = item()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        finite = value == value and value not in (float("inf"), float("-inf"))
        return float(value) if finite else str(float(value))
    raise TypeError(
        "ems.report: %s is a %s; metrics are numbers, words or None" % (name, type(value).__name__)
    )


_current = Context()


def context() -> Context:
    """Return the context of the task that runs in this process.

    Outside a run it is a plain one: no version, seed 0, attempt 1, the working directory as scratch
    folder and `./checkpoint` for checkpoints, so that tasks can be called as functions.
    """
    return _current


def enter(new: Context) -> Context:
    """Make `new` the current context; the worker calls this, tasks do not. Return the former."""
    global _current
    former, _current = _current, new
    return former


def report(step: Optional[int] = None, **metrics: Any) -> None:
    """Record metrics of the running task at `step`, as they come; outside a run it does nothing.

    Values are numbers, words or None; NumPy and torch scalars are taken by value. Raises TypeError
    for anything else.
    """
    _current.report(step, metrics)
