"""The job API of the paper: `ems.submit_job`, `status_job`, `cancel_job`, `watch_job`.

Finds the store and the backend as the project's settings say. What a process submits to its own
machine lives as long as the process.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast, overload

from ems.compute.backend import ANYWHERE
from ems.compute.jobfile.making import job_of
from ems.errors import UsageError
from ems.jobs.finding import Named
from ems.jobs.followed import JOIN
from ems.jobs.jobs import GRACE_S, Jobs, Wanted
from ems.jobs.preparing import Prepared
from ems.jobs.types import JobEvent, JobHandle, JobInfo

if TYPE_CHECKING:
    from ems.compute.broker import Broker
    from ems.session import Session

_open: dict[tuple[int, str], Jobs] = {}


def jobs_of(session: Session) -> Jobs:
    """Return the jobs of a session's store, on this machine and the targets of its settings."""
    from ems.session import user_name

    broker = session.broker()

    def choose(prepared: Sequence[Prepared]) -> list[str]:
        return [_target(broker, each) for each in prepared]

    return Jobs(
        session.store, lambda: broker, cache=session.cache, who=user_name(), choose=choose,
        now=broker.now, seat=lambda jobs, apart: broker.seats(jobs, apart=apart), knows=broker.has,
    )  # fmt: skip


def _target(broker: Broker, prepared: Prepared) -> str:
    """Return the first target that could start a job now, or else the first that it names.

    Without a word (`auto`) that is this machine, as for tasks. Of a gang it is the first target of
    each role: where its members go is settled once all of them fit.
    """
    try:
        mays = [broker.choices(() if on == (ANYWHERE,) else on) for on in prepared.asked]
    except UsageError as error:
        subject, problem = f"job {prepared.spec.name}", f"{error.subject} {error.problem}"
        raise UsageError(subject, problem, error.next_step) from None
    if prepared.spec.roles:
        return JOIN.join(dict.fromkeys(may[0] for may in mays))
    may = mays[0]
    if len(may) == 1:
        return may[0]
    job = job_of(prepared.spec, prepared.inputs, prepared.declared)
    return next((target for target in may if not broker.fits(job._replace(on=(target,)))), may[0])


def submit_job(
    job: Wanted, *, on: str | Sequence[str] | None = None, store: str | None = None
) -> JobHandle | list[JobHandle]:
    """Submit a job, or a list of them, and return its handle, or theirs.

    `job` is the path of a job.json or job.yaml, a mapping with its keys, or a list of mappings;
    `on` goes before the file's. On return the jobs are written down in the store, and their places
    have them. Raises JobFileError, with every fault, for what can't be submitted.
    """
    from ems.compute.jobfile.reading import read_file

    listed = isinstance(job, (list, tuple))
    if isinstance(job, (str, os.PathLike)):
        listed = read_file(Path(job)).listed
    handles = _jobs(store).submit(job, on=on)
    return handles if listed else handles[0]


@overload
def status_job(job: str | JobHandle, *, store: str | None = None) -> JobInfo: ...
@overload
def status_job(
    job: Sequence[str | JobHandle] | None = None, *, store: str | None = None
) -> list[JobInfo]: ...
def status_job(
    job: Named | Sequence[Named] | None = None, *, store: str | None = None
) -> JobInfo | list[JobInfo]:
    """Return the state of a job and why, by handle, id, start of an id or name.

    Of a list of them, or of the recent ones without any, it returns a list.
    """
    named = None if job is None else _listed(job)
    found = _jobs(store, *(named or ())).status(named)
    return found[0] if _is_one(job) and len(found) == 1 else found


def cancel_job(
    job: str | JobHandle | Sequence[str | JobHandle],
    *,
    grace_s: float = GRACE_S,
    store: str | None = None,
) -> list[JobInfo]:
    """End jobs and return what became of them; those that have ended stay as they are.

    Running ones get SIGTERM, and SIGKILL after `grace_s` seconds.
    """
    named = _listed(job)
    return _jobs(store, *named).cancel(named, grace_s=grace_s)


def watch_job(
    job: str | JobHandle | Sequence[str | JobHandle],
    *,
    from_start: bool = True,
    store: str | None = None,
) -> Iterator[JobEvent]:
    """Yield what happens to jobs until all have ended: a change of state, or a line.

    What fails is tried again, as its job says, while somebody watches.
    """
    named = _listed(job)
    return _jobs(store, *named).watch(named, from_start=from_start)


def _jobs(store: str | None, *named: Named) -> Jobs:
    from ems.session import Session

    handles = [each for each in named if isinstance(each, JobHandle)]
    session = Session.open(store=store or (handles[0].store if handles else None))
    key = os.getpid(), session.settings.store
    if key not in _open:
        _open[key] = jobs_of(session)
    return _open[key]


def _is_one(job: object) -> bool:
    return isinstance(job, (str, JobHandle, Mapping))


def _listed(job: Named | Sequence[Named]) -> list[Named]:
    return [cast("Named", job)] if _is_one(job) else list(cast("Sequence[Named]", job))


@atexit.register
def _close() -> None:
    for (pid, _), jobs in list(_open.items()):
        if pid == os.getpid():
            jobs.close()
