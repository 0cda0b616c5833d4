"""Submit, ask about, cancel and watch jobs of one store, one or thousands at a time.

Knows the store's records and one backend, which it opens when it is first needed. Does not know
how either is found (`ems.jobs.calls` does), nor how anything is shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ems.compute.gangs import Seating, seat
from ems.compute.jobfile.fault import Steps
from ems.compute.jobfile.making import job_of, meet_s_of, members_of
from ems.compute.jobfile.reading import Read, read_file, read_value
from ems.errors import EmsError, UsageError
from ems.jobs.fetching import fetch
from ems.jobs.finding import Finding, Named, followed
from ems.jobs.followed import Followed, ends_here
from ems.jobs.following import Following
from ems.jobs.gang import Gang
from ems.jobs.gangs import Gangs, Seat
from ems.jobs.preparing import Prepared, Preparing, choose_first, name_of, submission_of
from ems.jobs.types import JobEvent, JobHandle, JobInfo
from ems.store.jobs import Entry, JobRecords, Ledger

if TYPE_CHECKING:
    from ems.compute.backend import Backend
    from ems.compute.job import Handle, Job
    from ems.store.store import Store

Wanted = str | os.PathLike[str] | Mapping[str, object] | Sequence[Mapping[str, object]]
"""What can be submitted: a file's path, a job, or a list of jobs."""
Choose = Callable[[Sequence[Prepared]], Sequence[str]]
PATIENCE_S = 120.0
GRACE_S = 30.0
_BEAT_S = 0.5
_ANSWER_S = 10.0


class Jobs:
    """The jobs of a store. `choose` says where each goes; by default to its first target. `seat`
    says the same of a gang's members, each time that it is tried. `knows` says whether a target or
    a place is there by its name.

    A target is settled before anything is handed over, so that whoever goes on asks at the same
    place.
    """

    def __init__(
        self,
        store: Store,
        open_backend: Callable[[], Backend],
        *,
        cache: Path,
        who: str = "",
        choose: Choose | None = None,
        now: Callable[[Handle], Handle] = lambda handle: handle,
        seat: Seat | None = None,
        knows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._store, self._make, self._cache, self._who = store, open_backend, cache, who
        self._choose, self._now, self._knows = choose, now, knows
        self._seat = seat or self._seat_there
        self._gangs: dict[tuple[str, int], Gang] = {}
        self._records = JobRecords(store.root)
        self._backend: Backend | None = None
        self._begun: dict[tuple[str, int], Handle] = {}

    def close(self) -> None:
        """Let go of the backend: jobs of this machine end, all others go on."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _open(self) -> Backend:
        if self._backend is None:
            self._backend = self._make()
        return self._backend

    def _seat_there(self, jobs: Sequence[Job], apart: bool) -> Seating:
        """Seat a gang at the one place that there is."""
        backend = self._open()
        good = backend.capabilities.durable or not apart
        return seat(jobs, lambda _: [backend] if good else [])

    # -- submitting -------------------------------------------------------------------------------

    def submit(
        self,
        wanted: Wanted,
        *,
        on: str | Sequence[str] | None = None,
        changes: Mapping[Steps, object] | None = None,
        detach: bool = False,
        patience_s: float | None = PATIENCE_S,
    ) -> list[JobHandle]:
        """Write jobs down, hand them over, and return once their places have them.

        `changes` are set in each job first. `detach`: they must outlive this process; then the
        members of a gang have met when this returns. With
        `patience_s` None nobody waits for their places: `watch` does. Raises UsageError, with
        nothing submitted, for what can't be.
        """
        changes = {**(changes or {}), **({("on",): on} if on else {})}
        read = _read(wanted, changes)
        preparing = Preparing(self._store.objects, self._cache, read.folder)
        self._store.committer.may_write()
        prepared = [preparing.prepare(spec) for spec in read.jobs]
        targets = self._targets(prepared, detach=detach)
        self._refuse_impossible(prepared, targets, detach=detach)
        self._store.objects.sync()
        submission = self._records.create(
            name_of(read),
            lambda id: submission_of(prepared, targets, id, self._who, read.folder, apart=detach),
        )
        jobs = followed(Ledger(submission), self._store.url)
        following = self._following(jobs)
        following.hand_over()
        if patience_s is not None:
            self._wait_handed(following, submission.id, patience_s, meet=detach)
        return [each.ref for each in jobs]

    def _targets(self, prepared: Sequence[Prepared], *, detach: bool) -> Sequence[str]:
        """Return where each job goes; UsageError where it can't be, or can't be left alone."""
        choose = self._choose or choose_first(self._open().capabilities)
        targets = choose(prepared)
        for each, target in zip(prepared, targets, strict=True):
            if detach and ends_here(target) and not each.spec.roles:
                raise _mortal(each, target)
        return targets

    def _refuse_impossible(
        self, prepared: Sequence[Prepared], targets: Sequence[str], *, detach: bool
    ) -> None:
        """Raise UsageError for a gang that could not run were all its places empty."""
        for each, target in zip(prepared, targets, strict=True):
            if not each.spec.roles:
                continue
            job = job_of(each.spec, each.inputs, each.declared)
            members = members_of(job, "", "", meet_s_of(each.spec))
            seating = self._seat(members, detach)
            mortal = seating.never and detach and ends_here(target)
            if mortal and not self._seat(members, False).never:
                raise _mortal(each, target)
            if seating.never:
                raise UsageError(
                    f"job {each.spec.name}", seating.why, "fewer members, or `on` larger places"
                )

    def _wait_handed(self, following: Following, id: str, patience_s: float, *, meet: bool) -> None:
        until = time.monotonic() + patience_s
        pause = 0.01
        while left := following.note_handed(meet=meet):
            if time.monotonic() > until:
                why = next((t for e in following.live if (t := following.why(e))), "no answer")
                raise EmsError(
                    f"job {id}",
                    f"is written down, and {left} of {len(following.jobs)} are not handed over "
                    f"yet: {why}",
                    f"emsctl job watch {id}, which goes on with it",
                )
            time.sleep(pause)
            pause = min(0.2, 2 * pause)

    def _following(self, jobs: Sequence[Followed], *, tries: bool = True) -> Following:
        gangs = Gangs(
            self._store, self._records, self._open, self._gangs, self._seat, self._now,
            self._knows, tries=tries,
        )  # fmt: skip
        return Following(
            self._store, self._records, self._open, self._begun, jobs, gangs=gangs, tries=tries,
            now=self._now, knows=self._knows,
        )  # fmt: skip

    # -- asking -----------------------------------------------------------------------------------

    def find(self, named: Sequence[Named]) -> list[JobHandle]:
        """Return the handles of jobs by id, start of an id, name or handle."""
        return [each.ref for each in self._found(named)]

    def _found(self, named: Sequence[Named]) -> list[Followed]:
        return Finding(self._records, self._store.url).jobs(named)

    def status(self, named: Sequence[Named] | None = None, *, recent: int = 20) -> list[JobInfo]:
        """Return what is known of jobs, after asking their places once; of the recent ones if None.

        A place that does not answer within ten seconds is not waited for.
        """
        finding = Finding(self._records, self._store.url)
        jobs = finding.recent(recent) if named is None else finding.jobs(named)
        following = self._following(jobs, tries=False)
        self._ask(following)
        return [self._info(following, each) for each in jobs]

    def _ask(self, following: Following) -> None:
        """Let places answer, and take in what they say."""
        asked, until = following.handles, time.monotonic() + _ANSWER_S
        if asked:
            backend = self._open()
            backend.poll(asked)
            while not all(backend.handed(asked)) and time.monotonic() < until:
                backend.wait(0.1)
        while following.asking and time.monotonic() < until:
            time.sleep(0.1)
        for _ in following.round(logs=False):
            pass

    def _info(self, following: Following, each: Followed) -> JobInfo:
        status = None
        if each.end is None and each.handle is not None and not each.foreign:
            status = self._open().poll([each.handle])[0]
        return following.info(each, status)

    # -- canceling --------------------------------------------------------------------------------

    def cancel(self, named: Sequence[Named], *, grace_s: float = GRACE_S) -> list[JobInfo]:
        """End jobs and return what became of them; those that have ended stay as they are.

        Running ones get SIGTERM, and SIGKILL after the grace.
        """
        jobs = self._found(named)
        following = self._following(jobs, tries=False)
        for each in following.live:
            if each.foreign and not following.is_gone(each):
                submission = each.ledger.submission
                raise UsageError(
                    f"job {each.ref.id}",
                    f"runs in process {submission.pid} on {submission.host}, and only that one can "
                    "end it",
                    f"Ctrl-C there, or kill {submission.pid}",
                )
            if why := following.nowhere(each):
                raise UsageError(
                    f"job {each.ref.id}",
                    f"can't be ended from here: {why}",
                    "emsctl job cancel where .ems.yaml names that target",
                )
        following.cancel(grace_s)
        until = time.monotonic() + grace_s + 2 * _ANSWER_S
        while True:
            for _ in following.round(logs=False):
                pass
            if not following.live or time.monotonic() > until:
                return [self._info(following, each) for each in jobs]
            self._pause(following)

    def mortal(self, named: Sequence[Named]) -> list[JobHandle]:
        """Return those of the jobs that would end with this process, and have not ended."""
        jobs = self._following(self._found(named), tries=False).live
        return [e.ref for e in jobs if e.is_here and not e.foreign]

    # -- watching ---------------------------------------------------------------------------------

    def watch(
        self,
        named: Sequence[Named],
        *,
        from_start: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[JobEvent]:
        """Yield what happens to jobs until all have ended, or `stop` says so.

        Lines come from the start, or from now on. What was written down and not handed over is
        handed over; what fails is tried again as its job says.
        """
        jobs = self._found(named)
        following = self._following(jobs)
        following.hand_over()
        if not from_start:
            self._skip(following)
        while True:
            yield from following.round()
            if not following.live or stop():
                return
            self._pause(following)

    def _pause(self, following: Following) -> None:
        """Wait until something may have changed; a place with nothing of ours would not wait."""
        if any(each.foreign for each in following.live) or not following.handles:
            time.sleep(_BEAT_S)
        else:
            self._open().wait(_BEAT_S)

    def _skip(self, following: Following) -> None:
        """Leave out what was written so far, as far as its place has answered."""
        handles = following.handles
        if handles:
            self._open().poll(handles)
            until = time.monotonic() + _ANSWER_S
            while not all(self._open().handed(handles)) and time.monotonic() < until:
                self._open().wait(0.1)
        following.skip()

    # -- results ----------------------------------------------------------------------------------

    def log(self, info: JobInfo) -> bytes:
        """Return all that an ended job wrote; of a gang one member after the other."""
        if not info.members:
            return self._store.objects.read(info.log) if info.log else b""
        parts: list[bytes] = []
        for member in info.members:
            data = self._store.objects.read(member.log) if member.log else b""
            parts += [member.prefix + line for line in data.splitlines(keepends=True)]
        return b"".join(parts)

    def get(self, named: Sequence[Named], folder: Path) -> list[Path]:
        """Copy the outputs of succeeded jobs into a folder, at their paths, and return these.

        Of several jobs each has a folder of its own below, by its id.
        """
        jobs = self._found(named)
        made: list[Path] = []
        for each, info in zip(jobs, self.status([e.ref for e in jobs]), strict=True):
            target = folder / each.ref.id if len(jobs) > 1 else folder
            paths = _paths(each.entry)
            made += fetch(self._store.objects, info.outputs, paths, target)
        return made


def _paths(entry: Entry) -> Mapping[str, str]:
    """Return where each output of a job goes; a member of a gang has a folder of its own."""
    found: dict[str, str] = dict(entry.spec.get("outputs", {}))
    for role in entry.spec.get("roles", ()):
        for nth in range(role.get("count", 1)):
            member = f"{role['name']}-{nth}"
            for name, path in role.get("outputs", {}).items():
                found[f"{member}.{name}"] = f"{member}/{path}"
    return found


def _mortal(prepared: Prepared, target: str) -> UsageError:
    return UsageError(
        f"job {prepared.spec.name}",
        f"on {target!r} ends with this process, and can't be left alone",
        "without -d, or a target of kind `ssh: here` in .ems.yaml and --on its name",
    )


def _read(wanted: Wanted, changes: Mapping[Steps, object]) -> Read:
    if isinstance(wanted, (str, os.PathLike)):
        return read_file(Path(wanted), changes)
    return read_value(wanted, Path.cwd(), changes=changes)
