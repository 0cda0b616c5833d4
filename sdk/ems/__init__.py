"""EMS: an experiment manager for robot-learning research.

    @ems.task            a function as a unit of work
    @ems.pipeline        a function whose calls of tasks make a graph
    ems.command          any program as a task
    ems.map, ems.fold    tasks over items, known now or at run time
    ems.files            files by content, in the order in which they came
    ems.File, ems.Dir    files and folders as values
    ems.context, ems.report, ems.Canceled    inside a task
    ems.peers, ems.Peer                      inside a member of a gang
    ems.run, ems.RunOptions, ems.RunFailed   run a pipeline from Python
    ems.submit_job, ems.status_job, ems.cancel_job, ems.watch_job    plain jobs
    ems.EmsError, ems.UsageError             what EMS raises

Names are imported when first used, so that `import ems` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ems.errors import EmsError as EmsError
    from ems.errors import UsageError as UsageError
    from ems.jobs.calls import cancel_job as cancel_job
    from ems.jobs.calls import status_job as status_job
    from ems.jobs.calls import submit_job as submit_job
    from ems.jobs.calls import watch_job as watch_job
    from ems.jobs.types import JobHandle as JobHandle
    from ems.jobs.types import JobInfo as JobInfo
    from ems.pipeline.command import command as command
    from ems.pipeline.pipeline import pipeline as pipeline
    from ems.pipeline.run import Run as Run
    from ems.pipeline.run import RunFailed as RunFailed
    from ems.pipeline.shapes import files as files
    from ems.pipeline.shapes import fold as fold
    from ems.pipeline.shapes import map as map
    from ems.pipeline.task import task as task
    from ems.session import RunOptions as RunOptions
    from ems.session import run as run
    from ems.worker.context import Canceled as Canceled
    from ems.worker.context import context as context
    from ems.worker.context import report as report
    from ems.worker.files import Dir as Dir
    from ems.worker.files import File as File
    from ems.worker.peers import Peer as Peer
    from ems.worker.peers import peers as peers

_HOMES = {
    "Canceled": "ems.worker.context",
    "Dir": "ems.worker.files",
    "EmsError": "ems.errors",
    "File": "ems.worker.files",
    "JobHandle": "ems.jobs.types",
    "JobInfo": "ems.jobs.types",
    "Peer": "ems.worker.peers",
    "Run": "ems.pipeline.run",
    "RunFailed": "ems.pipeline.run",
    "RunOptions": "ems.session",
    "UsageError": "ems.errors",
    "cancel_job": "ems.jobs.calls",
    "command": "ems.pipeline.command",
    "context": "ems.worker.context",
    "files": "ems.pipeline.shapes",
    "fold": "ems.pipeline.shapes",
    "map": "ems.pipeline.shapes",
    "peers": "ems.worker.peers",
    "pipeline": "ems.pipeline",
    "report": "ems.worker.context",
    "run": "ems.session",
    "status_job": "ems.jobs.calls",
    "submit_job": "ems.jobs.calls",
    "task": "ems.pipeline.task",
    "watch_job": "ems.jobs.calls",
}

__all__ = [  # noqa: RUF022  (in the order in which one meets them)
    "task", "pipeline", "command", "map", "fold", "files", "File", "Dir", "context", "report",
    "Canceled", "run", "Run", "RunOptions", "RunFailed", "submit_job", "status_job", "cancel_job",
    "watch_job", "peers", "Peer", "JobHandle", "JobInfo", "EmsError", "UsageError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ems' has no attribute '{name}'")
    from importlib import import_module

    module = import_module(home)
    found = module if name == "pipeline" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
