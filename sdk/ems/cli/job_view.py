"""What the commands of `emsctl job` share: jobs of the session, tables, and a watch on a terminal.

Knows events and streams. Does not know how jobs are followed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.context import session
from ems.cli.live import colored
from ems.cli.tables import print_json, print_table
from ems.cli.texts import took, when
from ems.compute.job import JobState
from ems.errors import CANCELED, DONE, TASK_FAILED, UNFINISHED
from ems.jobs.followed import JOIN
from ems.jobs.types import Changed, JobEvent, JobInfo, MemberInfo, prefix_of

if TYPE_CHECKING:
    from ems.jobs.jobs import Jobs

_COLORS = {"succeeded": "green", "running": "cyan", "failed": "red", "canceled": "yellow"}
_WIDE = 60


@contextlib.contextmanager
def jobs_here(ctx: click.Context) -> Generator[Jobs]:
    """Give the jobs of the folder that the command was started in."""
    from ems.jobs.calls import jobs_of

    opened = session(ctx)
    try:
        jobs = jobs_of(opened)
        try:
            yield jobs
        finally:
            jobs.close()
    finally:
        opened.close()


def print_infos(infos: Sequence[JobInfo], output: str) -> None:
    """Print what is known of jobs, one a row."""
    if output == "json":
        print_json([info.to_json() for info in infos])
        return
    columns = ("id", "state", "why", "where", "since", "took")
    rows: list[tuple[str, ...]] = []
    for info in infos:
        rows.append(
            (
                info.handle.id, info.state.value, _why(info), info.place or info.handle.target,
                when(info.ended or info.started or info.submitted), took_text(info),
            )
        )  # fmt: skip
        rows += [
            (f"  {each.name}", each.state.value, _why_member(each), each.place, "", "")
            for each in info.members
        ]
    if rows:
        print_table(columns, rows, right=("took",))


def took_text(info: JobInfo) -> str:
    """Return how long a job ran; nothing until it has ended."""
    return took(info.started, info.ended) if info.started is not None else ""


def _why(info: JobInfo) -> str:
    text = info.reason.value if info.reason else ""
    if info.exit_code:
        text += f" {info.exit_code}"
    elif info.signal:
        text += f" {info.signal}"
    if not info.state.ended and info.detail:
        text = _cut(info.detail)
    if info.attempt > 1:
        text = f"{text} (attempt {info.attempt} of {info.attempts})".strip()
    return text


def _why_member(member: MemberInfo) -> str:
    text = member.reason.value if member.reason else ""
    if member.exit_code or member.signal:
        text += f" {member.exit_code or member.signal}"
    return text or _cut(member.detail)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"


def exit_code(infos: Sequence[JobInfo]) -> int:
    """Return how a command ends that saw jobs to their end."""
    states = {info.state for info in infos}
    if JobState.FAILED in states:
        return TASK_FAILED
    if JobState.CANCELED in states:
        return CANCELED
    return DONE if states <= {JobState.SUCCEEDED} else UNFINISHED


# -- watching -------------------------------------------------------------------------------------


class Interrupts:
    """Ctrl-C, counted: the first one asks to stop, the second ends the command at once."""

    def __init__(self) -> None:
        self.count = 0

    def stop(self) -> bool:
        """Return whether somebody wants to go."""
        return self.count > 0

    def _note(self, _number: int, _frame: object) -> None:
        self.count += 1
        if self.count > 1:
            os._exit(CANCELED)

    @contextlib.contextmanager
    def caught(self) -> Generator[Interrupts]:
        """Count SIGINT and SIGTERM from now on."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        former = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def show(events: Iterator[JobEvent], output: str, several: bool) -> None:
    """Print events as they come: lines on standard output, states on standard error.

    For programs it is one JSON object a line.
    """
    for event in events:
        if output == "json":
            print(json.dumps(_document(event), ensure_ascii=False), flush=True)
        elif isinstance(event, Changed):
            say_state(event.info)
        else:
            prefix = f"{event.job.id}: ".encode() if several else b""
            prefix += prefix_of(event.member)
            end = b"" if event.data.endswith(b"\n") else b"\n"
            _write(prefix + event.data + end)


def _document(event: JobEvent) -> dict[str, object]:
    if isinstance(event, Changed):
        return {"event": "state", **event.info.to_json()}
    member = {"member": event.member} if event.member else {}
    return {"event": "line", "job": event.job.id, **member, "text": event.text}


def say_state(info: JobInfo) -> None:
    """Tell a person what state a job is in, and since when or why."""
    state = info.state.value
    words = [f"{info.handle.id}: {colored(state, _COLORS.get(state, ''), sys.stderr)}"]
    if info.attempt > 1:
        words.append(f"(attempt {info.attempt} of {info.attempts})")
    if not info.state.ended:
        words.append(f"on {info.place}")
    if spent := took_text(info):
        words.append(f"in {spent}")
    detail = info.detail
    click.echo(" ".join(words) + (f": {detail}" if detail else ""), err=True)
    if info.state is JobState.RUNNING:
        for each in info.members:
            where = f" at {each.address}:{each.port}" if each.port else ""
            click.echo(f"  {each.name}: {each.place}{where}", err=True)


def _write(data: bytes) -> None:
    """Write a line as it is: what a program wrote need not be text."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    out.write(data)
    out.flush()


def follow(
    jobs: Jobs, ids: Sequence[str], output: str, *, from_start: bool = True
) -> tuple[list[JobInfo], bool]:
    """Watch jobs to their end; return what became of them, and whether somebody went before.

    Who goes leaves jobs alone where they can be, and ends those of this machine.
    """
    with Interrupts().caught() as interrupts:
        events = jobs.watch(ids, from_start=from_start, stop=interrupts.stop)
        show(events, output, len(ids) > 1)
        if not interrupts.stop():
            return jobs.status(ids), False
        mortal = jobs.mortal(ids)
        if mortal:
            jobs.cancel(mortal)
        return jobs.status(ids), True


def say_how_to_come_back(infos: Sequence[JobInfo]) -> None:
    """Tell which jobs go on, and how to see them again."""
    going = [info for info in infos if not info.state.ended]
    if going:
        base = {info.handle.id.rpartition(".")[0] or info.handle.id for info in going}
        words = " ".join(sorted(base)[:3])
        count = "the job goes on" if len(going) == 1 else f"{len(going)} jobs go on"
        click.echo(f"{count}. Come back: emsctl job watch {words}", err=True)
    for info in going:
        if info.state is JobState.SUBMITTED and (info.members or JOIN in info.handle.target):
            said = "its members meet only while somebody watches, and wait a while for that"
            click.echo(f"{info.handle.id} is a gang: {said}", err=True)


def say_outputs(jobs: Jobs, infos: Sequence[JobInfo], folder: Path | None) -> None:
    """Copy outputs of succeeded jobs to a folder, or say how to get them."""
    ids = [info.handle.id for info in infos if info.outputs]
    if not ids:
        return
    if folder is not None:
        made = jobs.get([info.handle.id for info in infos], folder)
        click.echo(f"outputs: {len(made)} in {folder}", err=True)
        return
    names = sorted({name for info in infos for name in info.outputs})
    base = sorted({id.rpartition(".")[0] or id for id in ids})
    command = f"emsctl job watch {' '.join(base[:3])} --get DIR"
    click.echo(f"outputs are in the store ({', '.join(names[:5])}): {command}", err=True)
