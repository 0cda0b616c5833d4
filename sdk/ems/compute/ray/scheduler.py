"""Jobs on a Ray cluster: one alone as a Ray job, many that are alike as the tasks of one.

A Ray job starts a process that takes most of a second and 100 MB before it does anything, so jobs
that come together and need the same go as one, whose driver runs them as Ray tasks (driver.py). In
both cases child.py starts the job on its node and writes down how it ended; Ray's own word counts
where that is missing. Knows calls, files and states. A stop of a job that waits for room is only
noted by Ray until there is room, so that is judged by our own files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ems.compute.backend import Capabilities, Room
from ems.compute.job import JobState, Reason
from ems.compute.ray import batches, cluster, states
from ems.compute.ray.cluster import Needs
from ems.compute.ray.dashboard import Dashboard
from ems.compute.remote.order import Native, Order, Refused
from ems.compute.remote.site import Site

_STOP, _STATE = "ray.stop", "ray.json"
_MOST_DRIVERS = 5
"""A driver that died is started again; so many there are in all."""
_DEAD = ("FAILED", "STOPPED")
_NOT_YET = Native(JobState.SUBMITTED, waiting="was handed over to Ray")
Records = Mapping[str, Mapping[str, Any]]


class RayScheduler:
    """Jobs of one cluster; `site` is the folder that it shares with this machine.

    `resources` are custom ones that each job takes, `python` starts our scripts on its nodes.
    """

    kind = "ray"

    def __init__(
        self,
        dashboard: Dashboard,
        site: Site,
        *,
        target: str = "ray",
        python: str = "python3",
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self.capabilities = Capabilities(
            durable=True, gpus=True, most_jobs=10_000, targets=(target,)
        )
        self._dashboard, self._site = dashboard, site
        self._custom = dict(resources or {})
        self._runner = batches.Runner(site, python)
        self._batch_of: dict[str, str] = {}
        self._batches: dict[str, tuple[list[str], dict[str, Any]]] = {}
        self._ended: dict[str, Native] = {}
        self._asked: set[str] = set()

    # -- start ------------------------------------------------------------------------------------

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        """Hand jobs over: those that need the same as one Ray job."""
        jobs = self._dashboard.jobs()
        fits = _Fits(self._dashboard)
        new = [order for order in orders if order.id not in jobs]
        refused = {order.id: _refusal(fits.of(self._needs(order))) for order in new}
        groups: dict[Needs, list[Order]] = {}
        for order in new:
            if refused[order.id] is not None:
                continue
            if batch := self._batch(order.id):
                self._drive(batch, jobs, [order.id])
            else:
                groups.setdefault(self._needs(order), []).append(order)
        for needs, group in groups.items():
            if len(group) == 1:
                self._dashboard.submit(self._runner.single(group[0], needs))
                continue
            name = batches.name_of(group)
            batches.write_batch(self._site, name, group, needs)
            self._batch_of.update(dict.fromkeys((order.id for order in group), name))
            self._drive(name, jobs, [order.id for order in group])
        return [refused.get(order.id) for order in orders]

    def _needs(self, order: Order) -> Needs:
        return Needs.of(order.resources, self._custom)

    def _batch(self, id: str) -> str:
        """Return the batch that a job is in; empty where it is in none."""
        if id not in self._batch_of:
            mark = self._site.read(f"jobs/{id}/{batches.MARK}")
            if mark is None:
                return ""
            self._batch_of[id] = mark.decode()
        return self._batch_of[id]

    def _content(self, batch: str) -> tuple[list[str], dict[str, Any]]:
        if batch not in self._batches:
            self._batches[batch] = batches.read_batch(self._site, batch)
        return self._batches[batch]

    # -- drivers ----------------------------------------------------------------------------------

    def _drive(self, batch: str, jobs: Records, live: Sequence[str]) -> str:
        """See that a batch with jobs that have not ended has a driver.

        Returns what is wrong with it where its drivers die again and again.
        """
        names = [batch, *(f"{batch}-{n}" for n in range(2, _MOST_DRIVERS + 1))]
        tried = [name for name in names if name in jobs]
        last = jobs[tried[-1]] if tried else None
        if last is not None and last["status"] not in _DEAD:
            return ""
        if last is not None and last["status"] == "STOPPED":
            # somebody stopped it in the dashboard; the workers shall not take it for a preemption
            self._site.write({f"jobs/{id}/events.jsonl.cancel": b"" for id in live})
            self._ask_children({batch: list(live)}, "canceled", 30.0)
        if len(tried) == _MOST_DRIVERS:
            return states.native_of(jobs[tried[-1]]).detail or "its driver was stopped"
        name = names[names.index(tried[-1]) + 1] if tried else batch
        self._dashboard.submit(self._runner.batch(batch, name, len(self._content(batch)[0])))
        return ""

    # -- look -------------------------------------------------------------------------------------

    def look(self, ids: Sequence[str]) -> Mapping[str, Native]:
        """Return what is known of jobs: one call for all, and a file for each batch."""
        jobs = self._dashboard.jobs()
        fits = _Fits(self._dashboard)
        found: dict[str, Native] = {}
        children: dict[str, list[str]] = {}
        for id in ids:
            if id in self._ended:
                found[id] = self._ended[id]
            elif id in jobs:
                found[id] = self._single(id, jobs[id], fits)
            elif batch := self._batch(id):
                children.setdefault(batch, []).append(id)
        for batch, members in children.items():
            found |= self._children(batch, members, jobs, fits)
        self._ended.update({id: each for id, each in found.items() if each.state.ended})
        return found

    def _single(self, id: str, job: Mapping[str, Any], fits: _Fits) -> Native:
        native = states.native_of(job)
        if native.state is JobState.RUNNING and id not in self._asked:
            return native
        if native.state is JobState.SUBMITTED:
            return self._waiting(id, native, job, fits)
        written = self._site.read(f"jobs/{id}/{_STATE}")
        state: dict[str, Any] = json.loads(written) if written else {}
        ended = state.get("state") == "ended"
        return states.native_of_child(state) if ended else native

    def _waiting(self, id: str, native: Native, job: Mapping[str, Any], fits: _Fits) -> Native:
        if self._site.read(f"jobs/{id}/{_STOP}") is not None:
            return Native(JobState.CANCELED, Reason.CANCELED, "was canceled before it started")
        fit = fits.of(_needs_of(job))
        if fit.never:
            self.stop([id], 0.0)
            return Native(JobState.FAILED, Reason.IMPOSSIBLE, fit.why)
        return native._replace(waiting=fit.why or native.waiting)

    def _children(
        self, batch: str, members: Sequence[str], jobs: Records, fits: _Fits
    ) -> dict[str, Native]:
        said = batches.read_states(self._site, batch)
        found = {id: states.native_of_child(said[id]) for id in members if id in said}
        live = [id for id in members if id not in found or not found[id].state.ended]
        wrong = self._drive(batch, jobs, live) if live else ""
        if wrong:
            detail = f"the driver of {batch} died {_MOST_DRIVERS} times: {wrong}"
            return found | {id: Native(JobState.FAILED, Reason.WORKER, detail) for id in live}
        absent = [id for id in members if id not in found]
        if absent:
            found |= dict.fromkeys(absent, self._waiting_child(batch, absent, fits))
        return found

    def _waiting_child(self, batch: str, absent: Sequence[str], fits: _Fits) -> Native:
        needs = _needs_of_task(self._content(batch)[1])
        fit = fits.of(needs)
        if fit.never:
            self._ask_children({batch: absent}, "canceled", 0.0)
            return Native(JobState.FAILED, Reason.IMPOSSIBLE, fit.why)
        return _NOT_YET._replace(waiting=fit.why or f"waits for a node with {needs.text()}")

    # -- the rest ---------------------------------------------------------------------------------

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        """Ask jobs to end, by a file that child.py reads, and by Ray those that it knows."""
        children: dict[str, list[str]] = {}
        for id in ids:
            if batch := self._batch(id):
                children.setdefault(batch, []).append(id)
        self._ask_children(children, "canceled", grace_s)
        inside = {id for members in children.values() for id in members}
        alone = [id for id in ids if id not in inside]
        self._ask(alone, "canceled", grace_s)
        self._asked.update(alone)
        for id in alone:
            self._dashboard.stop(id)

    def _ask_children(
        self, children: Mapping[str, Sequence[str]], why: str, grace_s: float
    ) -> None:
        self._ask([id for members in children.values() for id in members], why, grace_s)
        batches.write_stop(self._site, children)

    def _ask(self, ids: Iterable[str], why: str, grace_s: float) -> None:
        told = json.dumps({"why": why, "grace": grace_s}).encode()
        files = {f"jobs/{id}/{_STOP}": told for id in ids}
        if files:
            self._site.write(files)

    def forget(self, ids: Sequence[str]) -> None:
        """Let go of jobs, and of batches whose last job is let go of."""
        touched: set[str] = set()
        for id in ids:
            self._ended.pop(id, None)
            self._asked.discard(id)
            if batch := self._batch(id):
                touched.add(batch)
                del self._batch_of[id]
            else:
                self._dashboard.delete(id)
        for batch in touched:
            self._forget_batch(batch, set(ids))

    def _forget_batch(self, batch: str, gone: set[str]) -> None:
        others = [id for id in self._content(batch)[0] if id not in gone]
        if any(self._site.read(f"jobs/{id}/{batches.MARK}") is not None for id in others):
            return
        jobs = self._dashboard.jobs()
        for name in (batch, *(f"{batch}-{n}" for n in range(2, _MOST_DRIVERS + 1))):
            if name in jobs:
                self._dashboard.delete(name)
        self._batches.pop(batch, None)
        self._site.remove([f"ray/{batch}"])

    def room(self) -> Room:
        """Return what is free, as of Ray's last look."""
        return cluster.room(self._dashboard.status())

    def version(self) -> str:
        """Return what answers: `ray 2.60.0`."""
        return f"ray {self._dashboard.version()}"

    def close(self) -> None:
        """Nothing is held."""


class _Fits:
    """Whether jobs can ever start, by what the dashboard says once it is asked."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._nodes: list[Mapping[str, Any]] | None = None
        self._grows = False
        self._known: dict[Needs, cluster.Fit] = {}

    def of(self, needs: Needs) -> cluster.Fit:
        """Return whether a job with these needs can."""
        if self._nodes is None:
            self._nodes = self._dashboard.nodes()
            self._grows = cluster.grows(self._dashboard.status())
        if needs not in self._known:
            self._known[needs] = cluster.fit(needs, self._nodes, self._grows)
        return self._known[needs]


def _refusal(fit: cluster.Fit) -> Refused | None:
    return Refused(Reason.IMPOSSIBLE, fit.why) if fit.never else None


def _needs_of(job: Mapping[str, Any]) -> Needs:
    """Return what a job asked for, which its record does not tell: its metadata does."""
    metadata: Mapping[str, str] = job.get("metadata") or {}
    told: dict[str, Any] = json.loads(metadata.get("needs") or "{}")
    return _needs_of_task(told)


def _needs_of_task(told: Mapping[str, Any]) -> Needs:
    resources: Mapping[str, float] = told.get("resources") or {}
    custom = tuple(sorted(resources.items()))
    return Needs(told.get("num_cpus", 0.0), told.get("num_gpus", 0), told.get("memory", 0), custom)
