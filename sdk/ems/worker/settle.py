"""What a task may leave behind in a warm worker, and how it is put right before the next one.

Knows processes, environment variables and import paths. Does not know tasks or messages.
"""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

_PATIENCE_S = 5.0
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> bool:
    """Make orphans of tasks children of this process, so that none gets away; Linux only.

    Returns whether that worked; elsewhere a task's process that made itself a daemon is not found.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        # the raw module: `ctypes` itself would cost each worker some milliseconds
        import _ctypes  # type: ignore[import-not-found]

        raw: Any = _ctypes
        prctl = raw.dlsym(raw.dlopen(None, 0), "prctl")
        return raw.call_function(prctl, (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0
    except (ImportError, AttributeError, OSError):
        return False


class Surroundings:
    """Environment variables, import path and signal handlers as they were before a task."""

    def __init__(self) -> None:
        # `_data` is compared and not the mapping: the latter decodes every variable, every task
        environ: Any = os.environ
        self._live: Dict[Any, Any] = environ._data
        self._environ = dict(self._live)
        self._path: List[str] = list(sys.path)
        self._handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    def restore(self) -> None:
        """Undo what the task changed."""
        if self._live != self._environ:
            decoded = {os.fsdecode(k): os.fsdecode(v) for k, v in self._environ.items()}
            for name in set(os.environ) - set(decoded):
                del os.environ[name]
            os.environ.update(decoded)
        if sys.path != self._path:
            sys.path[:] = self._path
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def end_children() -> int:
    """Kill and reap what the task started and left running; return how many there were."""
    try:
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return _kill_all()
    except ChildProcessError:
        return 0


def _kill_all() -> int:
    from .usage import kill_descendants

    _stop_helpers()
    deadline, count = time.monotonic() + _PATIENCE_S, 0
    try:
        while time.monotonic() < deadline:
            killed = kill_descendants(os.getpid(), signal.SIGKILL)
            count += killed
            pid = os.waitpid(-1, os.WNOHANG)[0]
            while pid:
                pid = os.waitpid(-1, os.WNOHANG)[0]
            if not killed:  # those that are left look after jobs of their own
                break
            time.sleep(0.002)
    except ChildProcessError:
        pass
    return count


def _stop_helpers() -> None:
    # multiprocessing's own helpers restart by themselves when ended in their own way
    for module, name in (
        ("multiprocessing.forkserver", "_forkserver"),
        ("multiprocessing.resource_tracker", "_resource_tracker"),
    ):
        stop = getattr(getattr(sys.modules.get(module), name, None), "_stop", None)
        if stop is not None:
            try:
                stop()
            except Exception:  # a private function; killing is what follows
                pass


def seed_all(seed: int) -> None:
    """Seed the global random generators of the libraries that are loaded."""
    for name in SEEDED:
        if name in sys.modules:
            seed_one(name, seed)


def seed_one(name: str, seed: int) -> None:
    """Seed the global generator of one library, which is loaded."""
    module: Any = sys.modules[name]
    seeder = getattr(module, "manual_seed" if name == "torch" else "seed", None)
    if seeder is not None:  # still being imported: seeded once it is
        seeder(seed % 2**32)


SEEDED = ("random", "numpy.random", "torch")
