"""What a process does around a runner: signals that stop it, and no cycle collector meanwhile.

Knows a runner by its `interrupt`. Does not know what it runs.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ems.pipeline.runner import Runner


@contextmanager
def stoppable(runner: Runner) -> Generator[None]:
    """Let Ctrl-C, SIGTERM and a lost terminal stop the runner, and give them back afterwards.

    A person's Ctrl-C makes the run canceled, and so does the end of a job that EMS asked for;
    whoever else stops it leaves it unfinished.
    Who ignores a signal (`nohup`, a job in a script's background) goes on ignoring it. From another
    thread than the main one nothing is changed.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        asked = number == signal.SIGINT or os.path.exists(os.environ.get("EMS_CANCEL", ""))
        runner.interrupt("canceled" if asked else "unfinished")

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # None: a handler that is not Python's and could not be given back
    former = {n: h for n in numbers if (h := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    for number in former:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def quick_gc() -> Generator[None]:
    """Keep Python's cycle collector from walking a growing graph again and again."""
    import gc

    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
