"""`emsctl run --driver TARGET`: the runner as a job, so that a run does not end with this machine.

It is a plain job of the store (`emsctl job` knows it) that does what `emsctl run` does, on a copy
of the project. Knows the command line, jobs and their output. Does not know how a run works.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from ems.cli.driver_project import FOLDER, files_of, pack
from ems.cli.driver_start import ARCHIVE, MARK, ORDER, Order
from ems.cli.driver_store import store_at
from ems.cli.job_view import Interrupts, say_how_to_come_back, say_state
from ems.cli.texts import size
from ems.compute.backend import ANYWHERE, LOCAL
from ems.compute.job import JobState, Reason
from ems.errors import CANCELED, DONE, UNFINISHED, EmsError, UsageError, did_you_mean
from ems.jobs.types import Changed, JobEvent, JobHandle, JobInfo

if TYPE_CHECKING:
    from ems.compute.targets import Target
    from ems.jobs.jobs import Jobs
    from ems.pipeline.pipeline import Pipeline
    from ems.pipeline.written import Written
    from ems.session import RunOptions, Session

TRIES = 3
_REASONS = ("lost", "preempted", "no_capacity", "signal", "worker")
"""A driver that ended so said nothing of the run: another one goes on with it."""
_LARGE = 256 * 2**20
_START = 'exec "${EMS_PYTHON:-python3}" -m ems.cli.driver_start'


class Asked(NamedTuple):
    """What a person asked for on the command line, beside the run itself.

    `file` is FILE[:PIPELINE] as typed, `target` where the driver runs.
    """

    file: str
    target: str
    output: str
    quiet: bool
    detach: bool


def drive(
    session: Session,
    pipeline: Pipeline[..., Any],
    path: Path,
    given: Mapping[str, Any],
    options: RunOptions,
    asked: Asked,
) -> int:
    """Submit the driver and see it to its end or leave; return the exit code.

    The graph is written down here first, so that what is wrong with it is said at once.
    """
    from ems.jobs.calls import jobs_of

    target = _target(session, asked.target)
    store = store_at(target, session.settings.store, session.settings.base)
    _, written = session.plan(pipeline, given, options, words=True)
    _leave_room(target, asked.target, written, options)
    with tempfile.TemporaryDirectory(prefix="ems-driver-") as made:
        order = _order(session, path, given, options, asked, store)
        spec = _job(session, pipeline.name, written, order, options, Path(made))
        jobs = jobs_of(session)
        try:
            (handle,) = _submitted(jobs, spec, asked.target)
            if asked.detach:
                return _left(handle, asked.output)
            if not asked.quiet:
                click.echo(f"driver {handle.id} is handed over to {handle.target}", err=True)
            return _followed(jobs, handle, asked)
        finally:
            jobs.close()


def _submitted(jobs: Jobs, spec: dict[str, Any], target: str) -> list[JobHandle]:
    """Submit the driver; who is interrupted before its place has it is told where to look."""
    try:
        return jobs.submit(spec, on=target, detach=True)
    except KeyboardInterrupt:
        problem = "was interrupted while the driver was handed over, which may have come about"
        raise EmsError("--driver", problem, "emsctl job status") from None


def _target(session: Session, name: str) -> Target:
    known = session.targets
    if name in (LOCAL, ANYWHERE):
        raise UsageError("--driver", f"{name!r} is no place of its own", "without --driver")
    if name not in known:
        allowed = ", ".join(known) or "none: there are no `targets:` in .ems.yaml"
        near = did_you_mean(name, list(known))
        raise UsageError("--driver", f"there is no target {name!r}{near} (allowed: {allowed})")
    found = known[name]
    if found.settings is None and found.lack is not None:
        raise UsageError(f"target {found.name}", *found.lack)
    return found


def _leave_room(target: Target, name: str, written: Written, options: RunOptions) -> None:
    """Refuse a driver that would hold the one slot that its tasks wait for."""
    if getattr(target.settings, "slots", None) != 1:
        return
    for task in written.specs.tasks():
        if tuple(written.specs.options(task).on or options.on) in ((name,), (target.name,)):
            problem = f"{name} has one slot; the driver would hold it, and {task.name} wait for it"
            raise UsageError("--driver", problem, f"slots: 2 for {name}, or another target")


# -- the job --------------------------------------------------------------------------------------


def _order(
    session: Session,
    path: Path,
    given: Mapping[str, Any],
    options: RunOptions,
    asked: Asked,
    store: str,
) -> Order:
    import yaml

    top, here = _top(session), Path.cwd().resolve()
    cwd = here if here.is_relative_to(top) else top
    file, colon, name = os.path.relpath(path.resolve(), cwd), *asked.file.partition(":")[1:]
    return Order(
        asked.target,
        store,
        session.store.id,
        str(session.settings.base),
        Path(FOLDER, os.path.relpath(cwd, top)).as_posix(),
        (f"{file}{colon}{name}", *_words(options, asked)),
        yaml.safe_dump(dict(given)),
        tuple(options.argv),
        _sky(session),
    )


def _sky(session: Session) -> str:
    """Return the outputs of the project's stack as JSON; nothing where there are none to be had."""
    if session.settings.stack is None:
        return ""
    from ems.stack import reading, sources

    try:
        reference = sources.reference(session.settings.stack)
        return reading.encode(sources.read(reference, session.settings.base).outputs)
    except EmsError as error:
        _warn(f"stack {session.settings.stack} can't be read: {error}")
        return ""


def _top(session: Session) -> Path:
    """Return the folder that holds both the project and its settings."""
    settings = session.settings
    root = Path(session.project.root)
    home = settings.file.parent.resolve() if settings.file else root
    return home if root.is_relative_to(home) else root


def _words(options: RunOptions, asked: Asked) -> Iterator[str]:
    """Yield the options of `emsctl run` there; tasks beside the driver share the CPUs it has."""
    yield from ("--jobs", str(options.jobs or 1), "--output", asked.output)
    for flag, values in (
        ("--on", options.on),
        ("--rerun", options.rerun),
        ("--until", options.until),
    ):
        for value in values:
            yield from (flag, value)
    if options.keep_going:
        yield "--keep-going"
    if asked.quiet:
        yield "--quiet"


def _job(
    session: Session,
    name: str,
    written: Written,
    order: Order,
    options: RunOptions,
    made: Path,
) -> dict[str, Any]:
    """Return the job, with its inputs written into a folder."""
    import msgspec

    archive = made / ARCHIVE
    _pack(session, written, archive)
    (made / ORDER).write_bytes(msgspec.json.encode(order))
    return {
        "name": f"run-{name}"[:40].strip("-_."),
        "command": ["sh", "-c", _START],
        "inputs": {ARCHIVE: str(archive), ORDER: str(made / ORDER)},
        "environment": _environment(session, made),
        "resources": {"cpus": options.jobs or 1},
        "retries": {"count": TRIES, "reasons": list(_REASONS)},
    }


def _pack(session: Session, written: Written, archive: Path) -> None:
    settings = session.settings
    root, top = Path(session.project.root), _top(session)
    but = [Path(settings.store)] if "://" not in settings.store else []
    for keys in cast("Iterable[dict[str, object]]", settings.targets.values()):
        folder = keys.get("folder")
        if isinstance(folder, str) and "://" not in folder:
            but.append(settings.base / Path(folder).expanduser())
    files = files_of(root, [Path(os.path.realpath(each)) for each in but])
    for task in written.specs.tasks():
        files += written.specs.of(task).code.files.values()
    asked = getattr(written.graph.inputs, "asked", ())
    files += [Path(os.path.realpath(each)) for each in asked]
    much, left_out = pack(top, root, files, archive)
    for each in dict.fromkeys(left_out):
        _warn(f"{each} lies outside of {top}: the driver looks for it at the same path there")
    if much > _LARGE:
        _warn(f"the project's files are {size(much)}; what .gitignore names stays here")


def _environment(session: Session, made: Path) -> dict[str, Any]:
    """Return that emsctl must be there, of this very version, and the project's Python.

    Where the project declares none, versions are of the Python that the runner has: it must be the
    same there.
    """
    from importlib.metadata import version

    file = made / "requirements.txt"
    file.write_text(f"emsctl=={version('emsctl')}\n")
    python = session.settings.environment.get("python")
    return {"requirements": str(file), **({"python": str(python)} if python else {})}


def _warn(text: str) -> None:
    click.echo(f"emsctl: {text}", err=True)


# -- following ------------------------------------------------------------------------------------


def _left(handle: JobHandle, output: str) -> int:
    """Say what was handed over; the id alone goes to standard output."""
    if output == "json":
        click.echo(json.dumps(handle.to_json(), indent=2))
        return DONE
    click.echo(handle.id)
    back = f"emsctl job watch {handle.id}"
    click.echo(
        f"the driver {handle.id} is handed over to {handle.target}. Come back: {back}", err=True
    )
    return DONE


def _followed(jobs: Jobs, handle: JobHandle, asked: Asked) -> int:
    """Print what the driver writes until it ends, or somebody leaves it; return the exit code."""
    with Interrupts().caught() as interrupts:
        _show(jobs.watch([handle.id], stop=interrupts.stop), asked.quiet)
        infos = jobs.status([handle.id])
        if interrupts.stop() and not infos[0].state.ended:
            say_how_to_come_back(infos)
            return UNFINISHED
    return _exit_code(infos[0])


def _show(events: Iterator[JobEvent], quiet: bool) -> None:
    """Print the run's own standard output as such, all else as progress."""
    for event in events:
        if isinstance(event, Changed):
            if not quiet:
                say_state(event.info)
            continue
        out, data = sys.stderr, event.data
        if data.startswith(MARK):
            out, data = sys.stdout, data[len(MARK) :]
        out.flush()
        out.buffer.write(data)
        out.buffer.flush()


def _exit_code(info: JobInfo) -> int:
    """Return the run's own exit code; EmsError where the driver never came to one."""
    if info.state is JobState.SUCCEEDED:
        return DONE
    if info.state is JobState.CANCELED:
        return CANCELED
    if info.reason is Reason.EXIT and info.exit_code:
        return info.exit_code
    subject, problem = f"driver {info.handle.id}", f"{_why(info)} at {info.place}"
    if info.reason is Reason.ENVIRONMENT:
        step = f"install emsctl of this version there, or `python:` of {info.handle.target}"
        raise EmsError(subject, problem, step)
    raise EmsError(subject, problem, "the same command, which goes on from here")


def _why(info: JobInfo) -> str:
    word = info.reason.value if info.reason else info.state.value
    return f"{word}: {info.detail}" if info.detail else word
