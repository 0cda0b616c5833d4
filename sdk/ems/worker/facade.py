"""What `import ems` means inside a worker: decorators only mark, and a task is its function.

Knows the names that users' modules need to be imported and to run. Does not plan or keep anything.
"""

from __future__ import annotations

from .context import Canceled, context, report
from .files import Dir, File
from .peers import Peer, peers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, List

__all__ = [
    "Canceled",
    "Dir",
    "EmsError",
    "File",
    "JobHandle",
    "JobInfo",
    "Peer",
    "Run",
    "RunFailed",
    "RunOptions",
    "UsageError",
    "cancel_job",
    "command",
    "context",
    "files",
    "fold",
    "map",
    "peers",
    "pipeline",
    "report",
    "run",
    "status_job",
    "submit_job",
    "task",
    "watch_job",
]


class EmsError(Exception):
    """What EMS raises elsewhere; here so that modules which name it can be imported."""


class UsageError(EmsError):
    """As `EmsError`."""


class RunFailed(EmsError):
    """As `EmsError`."""


class Run:
    """A run as `ems.run` returns it; there are none inside a worker."""


class RunOptions:
    """Options of `ems.run`; here so that a module which makes some can be imported."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


def run(*_: Any, **__: Any) -> Any:
    """Refuse: a task does not start runs."""
    raise RuntimeError(
        "ems.run was called inside a worker, while a task ran or its module was imported; call it "
        "under `if __name__ == '__main__':`"
    )


class JobHandle:
    """A job as `ems.submit_job` returns it; there are none inside a worker."""


class JobInfo:
    """How a job stands; here so that modules which name it can be imported."""


def submit_job(*_: Any, **__: Any) -> Any:
    """Refuse: a worker has no store to write a job down in."""
    raise RuntimeError("ems: jobs are submitted and watched from a runner, not inside a task")


status_job = cancel_job = watch_job = submit_job


def task(function: Any = None, **_: Any) -> Any:
    """Return the function itself: `@ems.task` and `@ems.task(cpus=2)` both."""
    return function if function is not None else _same


def pipeline(function: Any = None, **_: Any) -> Any:
    """Return the function itself: a pipeline is planned before workers start."""
    return function if function is not None else _same


def _same(function: Any) -> Any:
    return function


def command(template: str, **_: Any) -> Any:
    """Return a stand-in: commands run as tasks of a pipeline, not inside another task."""

    def call(**__: Any) -> Any:
        raise RuntimeError(
            "ems.command: %r was called inside a task; call it in the pipeline, or use subprocess "
            "here" % (template,)
        )

    return call


def map(task: Callable[..., Any], items: Iterable[Any], **common: Any) -> List[Any]:
    """Call the task's function on each item, one after the other."""
    return [task(item, **common) for item in items]


def fold(step: Callable[..., Any], items: Iterable[Any], initial: Any, **common: Any) -> Any:
    """Go over the items with a state, one after the other."""
    state = initial
    for item in items:
        state = step(state, item, **common)
    return state


def files(pattern: str, order: str = "arrival") -> Any:
    """Refuse: files are listed when the pipeline is planned, so that they count as inputs."""
    raise RuntimeError(
        "ems.files: %r was listed inside a task, where it would not count as an input; list it in "
        "the pipeline and pass the files on" % (pattern,)
    )
