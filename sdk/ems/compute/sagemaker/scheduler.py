"""SageMaker as a scheduler: training jobs by names of their own, states, stopping.

Knows SageMaker's operations by `calls.py`. What jobs read and write lies at the site, in S3, where
their starter finds it. SageMaker keeps jobs, and their names, for good.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence

from ems.compute.backend import Capabilities, Room
from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Native, Order, Refused
from ems.compute.remote.site import Look, Site
from ems.compute.sagemaker.calls import Calls, Exists, NoQuota, Rejected
from ems.compute.sagemaker.ground import Choices, Ground
from ems.compute.sagemaker.instances import TABLE
from ems.compute.sagemaker.requests import name_of, quota, request
from ems.compute.sagemaker.states import WAITING, native
from ems.compute.sagemaker.tracks import Late, Request, Tracks
from ems.compute.sagemaker.watch import Watch

Command = Callable[[Order], Sequence[str]]
"""What a container runs for an order."""
Quota = tuple[str, bool]
MOST_JOBS = 1000
_AGAIN_S = 20.0
"""How often a full quota is tried again, in looking."""
_LIMIT = re.compile(
    r"is (\d+) \w+, with current utilization of \d+ \w+ and a request delta of (\d+)"
)
"""A quota in whatever it is counted in (instances, seconds), and what was asked of it."""
_STOPS = ("Stopping", "Deleting")
_NOT_HERE = re.compile(r"not available in this region|not supported", re.IGNORECASE)


class SageMakerScheduler:
    """The training jobs of one target at one site."""

    kind = "sagemaker"

    def __init__(
        self,
        target: str,
        ground: Ground,
        command: Command,
        site: Site,
        calls: Calls,
        user: str,
        choices: Choices | None = None,
        again_s: float = _AGAIN_S,
    ) -> None:
        self._ground, self._command, self._site, self._calls = ground, command, site, calls
        self._user, self._choices, self._again_s = user, choices or Choices(), again_s
        self._tracks = Tracks(ground.prefix, site)
        self._watch = Watch(calls, ground.prefix)
        self._tried = 0.0
        self._refused: dict[str, Refused] = {}
        """Orders that waited, and that SageMaker then refused: why."""
        named = [each for each in TABLE if each.name == self._choices.instance]
        self.capabilities = Capabilities(
            durable=True,
            gpus=any(each.gpus for each in named) if named else True,
            most_jobs=MOST_JOBS,
            images=True,
            requeues=True,
            targets=(target,),
        )

    # -- starting ---------------------------------------------------------------------------------

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        """Create a job for each order; those that are there already are left alone.

        What a full quota leaves no room for is written at the place, and started in looking. One
        that has ended and left nothing at the place is no such job: it never ran, or was forgotten.
        """
        full: dict[Quota, str] = {}
        late: dict[str, Late] = {}
        answers = [self._start(order, full, late) for order in orders]
        self._tracks.write({id: each.request for id, each in late.items()})
        for id, each in late.items():
            self._tracks.wait(id, each.request, each.why)
        return answers

    def _start(self, order: Order, full: dict[Quota, str], late: dict[str, Late]) -> Refused | None:
        """Create one job; return why it can never be, or note that it waits."""
        if self._tracks.has(order.id):
            return None
        made = request(order, self._command(order), self._user, self._ground, self._choices)
        if isinstance(made, Refused):
            return made
        what = quota(made)
        if what not in full:
            try:
                self._tracks.note(order.id, self._created(order.id, made))
                return None
            except NoQuota as error:
                if no := _never(error):
                    return no
                full[what] = error.problem
            except Rejected as error:
                return _refused(error)
        late[order.id] = Late(made, full[what])
        return None

    def _created(self, id: str, made: Request, *, late: bool = False) -> str:
        """Create an order's job unless it is there; return its name."""
        life, name = 1, made["TrainingJobName"]
        while True:
            try:
                self._calls.create({**made, "TrainingJobName": name})
                break
            except Exists:
                written = self._tracks.generation(id) if life == 1 else 1
                if written == 1 and not self._is_forgotten(id, name):
                    break
                life = max(written, life + 1)
            name = name_of(self._ground.prefix, id, life)
            if written == 1:  # before it is made, or another process would look for the last one
                self._tracks.write({id: {**made, "TrainingJobName": name}})
        if late or life > 1:
            self._tracks.write_made(id, name)
        return name

    def _is_forgotten(self, id: str, name: str) -> bool:
        """Whether a job has ended and left nothing at the place: an earlier life of its order."""
        job = self._calls.describe(name)
        if job is None:
            return False
        (seen,) = self._site.look([Look(id, 0, 0)])
        return native(job).state.ended and not (seen.events or seen.output)

    # -- following --------------------------------------------------------------------------------

    def look(self, ids: Sequence[str]) -> dict[str, Native]:
        """Return what is known of each job; what waits for a quota may start meanwhile."""
        names = self._tracks.names(ids)
        late = self._tracks.late(ids)
        off = self._tracks.withdrawn(ids)
        asked = [id for id in ids if not (id in off or id in late or id in self._refused)]
        said = self._watch.look([names[id] for id in asked])
        found = {id: said[names[id]] for id in asked if names[id] in said}
        for id in found:
            self._tracks.note(id, names[id])
        self._start_late(late)
        still = self._tracks.late(ids)
        for id in late:
            if self._tracks.has(id):  # else somebody took it off the place
                why = still[id].why if id in still else ""
                found[id] = Native(JobState.SUBMITTED, waiting=why or WAITING["Starting"])
        for id in off:
            found[id] = Native(JobState.CANCELED, Reason.CANCELED, "was canceled as it waited")
        for id in self._refused.keys() & ids:
            found[id] = Native(JobState.FAILED, *self._refused[id])
        return found

    def _start_late(self, late: Mapping[str, Late]) -> None:
        """Create jobs that wait, in order, until each quota is full again."""
        now = time.monotonic()
        if not late or (self._tried and now - self._tried < self._again_s):
            return
        self._tried = now
        full: dict[Quota, str] = {}
        for id, each in late.items():
            what = quota(each.request)
            if what not in full:
                written = self._tracks.written(id)
                if written is None:
                    self._tracks.lose(id)
                    continue
                try:
                    made = written.name  # by another process, meanwhile
                    if written.request is not None:
                        made = self._created(id, written.request, late=True)
                    self._tracks.note(id, made)
                    continue
                except (NoQuota, Rejected) as error:
                    no = _never(error) if isinstance(error, NoQuota) else _refused(error)
                    if no is not None:
                        self._refused[id] = no
                        self._tracks.lose(id)
                        continue
                    full[what] = error.problem
            self._tracks.wait(id, each.request, full[what])

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        """End jobs; SageMaker, not the grace, says how long one has after SIGTERM: 120 seconds.

        Ends all that can be ended before it tells of one that can't.
        """
        self._tracks.names(ids)
        self._tracks.refresh(ids)  # another process may have started what waited here
        names, late = self._tracks.names(ids), self._tracks.late(ids)
        off: list[str] = []
        problem: Rejected | None = None
        for id, name in names.items():
            if self._watch.ended(name) and id not in late:
                continue
            try:
                self._calls.stop(name)
            except Rejected as error:
                job = self._calls.describe(name)
                if job is None or id in late:  # under the name of one that waits, an earlier life
                    off.append(id)
                elif job["TrainingJobStatus"] in _STOPS:  # somebody was first
                    self._tracks.note(id, name)
                elif not self._watch.take(name, job).state.ended:
                    problem = error
            else:
                self._tracks.note(id, name)
        if off:
            self._tracks.withdraw(off)
        if problem is not None:
            raise problem

    def forget(self, ids: Sequence[str]) -> None:
        """Let go of what is remembered; SageMaker keeps its own list."""
        self._watch.forget(self._tracks.forget(ids))
        for id in ids:
            self._refused.pop(id, None)

    # -- the place --------------------------------------------------------------------------------

    def room(self) -> Room:
        """Return what is known without asking: whether a quota was full a moment ago."""
        why = self._tracks.why()
        return Room(0, None, None, why) if why else Room()

    def version(self) -> str:
        """Return what answers, or raise."""
        next(iter(self._calls.named(self._ground.prefix)), None)
        return f"SageMaker training at {self._ground.name} ({self._ground.site.region})"

    def close(self) -> None:
        """Nothing is held."""


def _refused(error: Rejected) -> Refused:
    return Refused(Reason.IMPOSSIBLE, f"SageMaker refuses it: {error.problem}")


def _never(error: NoQuota) -> Refused | None:
    """Return what a quota means that has no room for such a job even where it is not used."""
    if _NOT_HERE.search(error.problem):
        return Refused(Reason.IMPOSSIBLE, error.problem)
    found = _LIMIT.search(error.problem)
    if found and int(found[2]) > int(found[1]):
        return Refused(Reason.NO_CAPACITY, f"{error.problem} (Service Quotas, Amazon SageMaker)")
    return None
