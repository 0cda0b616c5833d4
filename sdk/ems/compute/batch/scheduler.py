"""AWS Batch as a scheduler: definitions, jobs and arrays, states in hundreds, terminating.

Knows Batch's operations by `calls.py`, and writes the lists of arrays. What jobs read and write
lies at the site, in S3, where their starter finds it. Batch keeps a job for seven days after its
end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ems.compute.backend import Capabilities, Room
from ems.compute.batch.calls import BatchCalls, Rejected
from ems.compute.batch.definitions import Definition, definition
from ems.compute.batch.ground import Architecture, Ground, Spot, choose, image_of
from ems.compute.batch.states import OURS, STATES
from ems.compute.batch.submissions import (
    Submitter,
    Wanted,
    grouped,
    list_path,
    name_of,
    refused,
    request,
)
from ems.compute.batch.tracks import Tracks
from ems.compute.batch.watch import Watch
from ems.compute.job import JobState, Reason
from ems.compute.refusals import inner
from ems.compute.remote.order import Native, Order, PlaceError, Refused
from ems.compute.remote.site import Site

Command = Callable[[Order], Sequence[str]]
"""What a container runs for an order; the same for all that are to share a definition."""


@dataclass(frozen=True)
class Choices:
    """What a target's settings say of its jobs."""

    image: str = ""
    spot: Spot = "auto"
    architecture: Architecture = "x86_64"
    attempts: int = 3
    """How often Batch itself starts a job on spot instances that are taken back."""


class BatchScheduler:
    """The jobs of one target in the queues of one site."""

    kind = "batch"

    def __init__(
        self,
        target: str,
        ground: Ground,
        command: Command,
        site: Site,
        calls: BatchCalls,
        submitter: Submitter,
        choices: Choices | None = None,
    ) -> None:
        self._ground, self._command, self._site, self._calls = ground, command, site, calls
        self._submitter, self._choices = submitter, choices or Choices()
        self._names = [queue.name for queue in ground.queues.values()]
        self._tracks = Tracks(calls, self._names, site)
        self._watch = Watch(calls)
        self._registered: dict[str, str] = {}
        self._lock = threading.Lock()
        self.capabilities = Capabilities(
            durable=True,
            gpus=any(queue.gpu for queue in ground.queues.values()),
            most_jobs=sum(queue.max_vcpus for queue in ground.queues.values()),
            images=True,
            requeues=True,
            targets=(target,),
        )

    # -- starting ---------------------------------------------------------------------------------

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        """Hand jobs over, alike ones as arrays; those that Batch has already are left alone.

        One that has ended in Batch and left nothing at the place is no such job: it never ran, or
        was forgotten.
        """
        ids = [each.id for each in orders]
        there = set(self._tracks.find(ids))
        there -= self._tracks.forgotten(ids)
        answers: dict[str, Refused] = {}
        wanted: list[Wanted] = []
        for order in orders:
            if order.id in there:
                continue
            decided = self._decided(order)
            if isinstance(decided, Refused):
                answers[order.id] = decided
            else:
                wanted.append(decided)
        for group in grouped(wanted):
            no = self._submit(group)
            if no is not None:
                answers |= {each.order.id: no for each in group}
        return [answers.get(each.id) for each in orders]

    def _decided(self, order: Order) -> Wanted | Refused:
        chosen = choose(self._ground, order, self._choices.spot, self._choices.architecture)
        if isinstance(chosen, Refused):
            return chosen
        image = image_of(order.image, self._choices.image, self._ground.site)
        if isinstance(image, Refused):
            return image
        if order.modules:
            detail = f"environment modules can't be loaded there ({', '.join(order.modules)})"
            return Refused(Reason.IMPOSSIBLE, detail)
        made = definition(order, self._command(order), image, self._ground)
        if isinstance(made, Refused):
            return made
        _, queue = chosen
        attempts = self._choices.attempts if queue.market == "spot" else 1
        return refused(order) or Wanted(order, queue, made, attempts)

    def _submit(self, group: Sequence[Wanted]) -> Refused | None:
        """Submit a group; return why it can never be."""
        queue, ids = group[0].queue.name, [each.order.id for each in group]
        if len(ids) > 1:
            self._site.write({list_path(name_of(ids)): "\n".join(ids).encode()})
        try:
            registered = self._definition(group[0].definition)
            made = request(group, registered, self._submitter, self._site.root)
            job = self._calls.submit(made)
        except Rejected as error:
            return self._rejected(error, queue, group[0].definition)
        self._tracks.note(job, ids, array=len(ids) > 1)
        return None

    def _rejected(self, error: Rejected, queue: str, made: Definition) -> Refused:
        """Return what a refusal means for the jobs; raises where it is the place's to mend."""
        with self._lock:
            self._registered.pop(made.name, None)  # somebody may have removed it
        why = _why_closed(self._calls.queues([queue]), queue)
        if why:
            raise PlaceError(f"queue {queue}", why, "emsctl stack show") from None
        return Refused(Reason.IMPOSSIBLE, f"AWS Batch refuses it: {error.problem}")

    def _definition(self, made: Definition) -> str:
        """Return the ARN of a definition: remembered, found by its name, or registered now."""
        with self._lock:
            found = self._registered.get(made.name)
            if found is None:
                found = self._calls.definition(made.name) or self._calls.register(made.request)
                self._registered[made.name] = found
            return found

    # -- following --------------------------------------------------------------------------------

    def look(self, ids: Sequence[str]) -> dict[str, Native]:
        """Return what is known of each job; one that Batch does not know is left out."""
        tracks = self._tracks.find(ids)
        said = self._watch.look(list(tracks.values()))
        return {id: said[track] for id, track in tracks.items() if track in said}

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        """End jobs; ECS's agent, not the grace, says how long one has after SIGTERM: 30 seconds.

        Ends all that can be ended before it tells of one that can't.
        """
        reason = f"{OURS} by {self._submitter.user}"
        problem: PlaceError | None = None
        for each in self._jobs_to_end(ids):
            try:
                self._calls.terminate(each, reason)
            except Rejected as error:
                problem = error
        if problem is not None:
            raise problem

    def _jobs_to_end(self, ids: Sequence[str]) -> list[str]:
        """Return Batch's ids; that of an array itself where all of its jobs are still to be made.

        An array takes its jobs with it (docs.aws.amazon.com/batch/latest/APIReference/
        API_CancelJob.html, read 2026-11-21), but those it has not made can't be named.
        """
        tracks = [t for t in self._tracks.find(ids).values() if not self._watch.ended(t)]
        arrays = {track.job for track in tracks if track.place is not None}
        unmade = {
            job
            for job, told in self._calls.jobs(sorted(arrays)).items()
            if not any(inner(told, "arrayProperties", "statusSummary").values())
        }
        whole = {job for job in unmade if set(self._tracks.members(job)) <= set(ids)}
        return [*sorted(whole), *(track.id for track in tracks if track.job not in whole)]

    def forget(self, ids: Sequence[str]) -> None:
        """End what would begin anew of jobs that are over for EMS, and let go of the rest.

        A worker whose machine is taken back has its last word; Batch starts the job again all the
        same, for the case that nobody was watching.
        """
        tracks = self._tracks.known(ids)
        unsure = [track for track in tracks.values() if not self._watch.ended(track)]
        for id, told in self._calls.jobs([track.id for track in unsure]).items():
            if told.get("attempts") and STATES.get(told["status"]) is JobState.SUBMITTED:
                self._calls.terminate(id, f"{OURS}: its end is known already")
        self._watch.forget(list(tracks.values()))
        self._tracks.forget(tracks)

    # -- the place --------------------------------------------------------------------------------

    def room(self) -> Room:
        """Return the vCPUs that the queues may still start, by what their environments wish for.

        GPUs aren't counted: Batch tells of vCPUs alone.
        """
        queues = self._calls.queues(self._names)
        closed = {name: _why_closed(queues, name) for name in self._names}
        open_ones = [each for each in queues if not closed[each["jobQueueName"]]]
        if not open_ones:
            return Room(0, None, None, "; ".join(f"{name} {why}" for name, why in closed.items()))
        arns = [order["computeEnvironment"] for each in open_ones for order in _order(each)]
        environments = self._calls.environments(arns)
        working = [each for each in environments if not why_unfit(each)]
        if not working:
            return Room(0, None, None, "; ".join(map(_named_unfit, environments)))
        total = sum(_vcpus(each, "maxvCpus") for each in working)
        used = sum(_vcpus(each, "desiredvCpus") for each in working)
        return Room(float(max(0, total - used)), float(total))

    def version(self) -> str:
        """Return the queues that answer, or raise for one that is not there."""
        found = self._calls.queues(self._names)
        missing = set(self._names) - {each["jobQueueName"] for each in found}
        if missing:
            problem = f"queue {', '.join(sorted(missing))} is not there"
            raise PlaceError(f"site {self._ground.name}", problem, "emsctl stack show")
        where = f"{self._ground.name} ({self._ground.site.region})"
        if len(found) == 1:
            return f"AWS Batch, queue {found[0]['jobQueueName']} of {where}"
        return f"AWS Batch, {len(found)} queues of {where}"

    def close(self) -> None:
        """Nothing is held."""


def _why_closed(queues: Sequence[Any], name: str) -> str:
    """Return why a queue takes no jobs; nothing where it does."""
    for each in queues:
        if each["jobQueueName"] == name:
            return why_unfit(each)
    return "is not there"


def why_unfit(told: Any) -> str:
    """Return why a queue or a compute environment does not work; nothing where it does."""
    if told.get("state") == "DISABLED":
        return "is disabled"
    status = told.get("status", "VALID")
    if status not in ("VALID", "UPDATING"):
        reason = told.get("statusReason")
        return f"is {status.lower()}" + (f" ({reason})" if reason else "")
    return ""


def _named_unfit(environment: Any) -> str:
    return f"{environment['computeEnvironmentName']} {why_unfit(environment)}"


def _order(queue: Any) -> Sequence[Any]:
    return queue.get("computeEnvironmentOrder") or ()


def _vcpus(environment: Any, key: str) -> int:
    return int(inner(environment, "computeResources").get(key) or 0)
