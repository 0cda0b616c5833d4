"""A site and a scheduler as one backend: ship, start, follow, fetch, decide how it ended.

One thread looks after all jobs of a place, a few more move bytes; `poll`, `events` and `logs`
answer from memory. While the place can't be reached nothing is decided: jobs stay what they were
and are asked for again. Knows sites and schedulers by their interfaces alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ems.compute import live, plain, ship
from ems.compute.backend import Capabilities, Room
from ems.compute.job import Handle, Job, JobState, JobStatus, Reason
from ems.compute.remote.beside import Beside
from ems.compute.remote.environments import PLAIN, Environments
from ems.compute.remote.followed import Followed, spoiled
from ems.compute.remote.moving import Moving, Objects
from ems.compute.remote.order import Order, PlaceError, Refused, Unreachable
from ems.compute.remote.ordering import order_of, wanted_id
from ems.compute.remote.scheduler import Scheduler
from ems.compute.remote.shipping import localized
from ems.compute.remote.site import Folders, Site
from ems.errors import EmsError, StoreError
from ems.hashing import digest_file
from ems.worker import protocol, scratch
from ems.worker.places import object_path
from ems.worker.progress import steady_now

_AT_ONCE = 4
_EAGER_S = 0.1
"""How often a place is asked right after something was handed over."""
_LONGEST_WAIT_S = 15.0
"""How long a place that can't be reached is left alone at most."""
_ROOM_S = 2.0
_MAKING_S = 1.0
"""How often a place is asked whether an environment is there by now."""


class SpoolBackend:
    """The jobs of one place; `name` is the target's name and stands in handles.

    `poll_s` is how often the place is asked while jobs run. `beside` is what the store and the
    place have in common. `environments` say which Python starts a job there. `warn` hears, once
    each time, that the place can't be reached, and that it can again.
    """

    def __init__(
        self,
        name: str,
        site: Site,
        scheduler: Scheduler,
        objects: Objects,
        cache: Path,
        *,
        beside: Beside | None = None,
        environments: Environments = PLAIN,
        poll_s: float = 1.0,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.capabilities: Capabilities = scheduler.capabilities
        self._site, self._scheduler = site, scheduler
        self._environments, self._poll_s, self._warn = environments, poll_s, warn
        self._folder = live.folder_in(cache)
        self._folder.mkdir(parents=True)
        self._worker = self._folder / "worker.pyz"
        self._lock = threading.Condition()
        self._jobs: dict[str, Followed] = {}
        self._shipping: Future[None] | None = None
        self._gone: list[str] = []
        self._room = Room(asked=False)
        self._room_at = 0.0
        self._changed = False
        self._closed = False
        self._eager_until = 0.0
        self._trouble = ""
        self._wake = threading.Event()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"ems-{name}")
        self._moving = Moving(site, objects, beside, self._pool, self._wake.set)
        self._thread = threading.Thread(target=self._work, name=f"ems-{name}", daemon=True)
        self._thread.start()

    # -- the interface ----------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Take jobs over; they are shipped and started as soon as the place can be reached."""
        handles: list[Handle] = []
        with self._lock:
            for job in jobs:
                handle = Handle(self.name, wanted_id(job), "", time.time())
                handles.append(handle)
                if handle.native in self._jobs:
                    continue
                followed = self._follow(handle, job)
                followed.learn(plain.parcel_of(job, handle.native, ""))
                self._refuse_impossible(followed, job)
        self._hurry()
        return handles

    def _follow(self, handle: Handle, job: Job | None) -> Followed:
        followed = Followed(handle, self._folder / f"{handle.native}.output", job)
        followed.started = job is None
        self._jobs[handle.native] = followed
        return followed

    def _refuse_impossible(self, followed: Followed, job: Job) -> None:
        parcel: Mapping[str, object] = job.payload or {}
        declared = parcel.get("env") or job.declared
        lack = self.capabilities.lack((), declared if isinstance(declared, dict) else {})  # pyright: ignore[reportUnknownArgumentType]
        if lack is not None:
            detail = f"{lack.problem} (allowed: {lack.allowed})"
            followed.end(JobState.FAILED, Reason.IMPOSSIBLE, detail, steady_now())
            self._changed = True

    def handle_of(self, job: Job) -> Handle:
        """Return what a job with a key will be known by, here and at the place."""
        return Handle(self.name, wanted_id(job))

    def fits(self, job: Job) -> str:
        """Return nothing where the place could start a job now, as far as it is known."""
        need = job.resources
        with self._lock:
            room, waits = (
                self.room(),
                [
                    each.job.resources
                    for each in self._jobs.values()
                    if each.job is not None and each.status.state is JobState.SUBMITTED
                ],
            )
        if room.why:
            return room.why
        if need.gpus and not self.capabilities.gpus:
            return "has no GPUs"
        free = room.free if room.free is not None else need.cpus if not waits else 0.0
        if need.cpus > free - sum(each.cpus for each in waits):
            return f"{need.cpus:g} CPUs are not free"
        if room.gpus is not None and need.gpus > room.gpus - sum(each.gpus for each in waits):
            return f"{need.gpus} GPUs are not free"
        return ""

    def poll(self, handles: Sequence[Handle]) -> list[JobStatus]:
        """Return the status of each handle, in order; one of another process is looked for."""
        with self._lock:
            return [self._known(handle).status for handle in handles]

    def _known(self, handle: Handle) -> Followed:
        followed = self._jobs.get(handle.native)
        if followed is None:
            followed = self._follow(handle, None)
            if handle.native in self._gone:
                followed.end(JobState.FAILED, Reason.LOST, "was forgotten")
            self._hurry()
        return followed

    def events(self, handle: Handle, since: int) -> tuple[list[bytes], int]:
        """Return messages from cursor `since`; what they speak of is here."""
        with self._lock:
            found = self._jobs.get(handle.native)
            return (found.events[since:], len(found.events)) if found else ([], since)

    def logs(self, handle: Handle, since: int, until: int | None = None) -> tuple[bytes, int]:
        """Return output from offset `since` (to `until`), and the next offset."""
        with self._lock:
            found = self._jobs.get(handle.native)
            data = found.log(since, until) if found else b""
            return data, since + len(data)

    def handed(self, handles: Sequence[Handle]) -> list[bool]:
        """Return whether the place has each job, and has answered for it."""
        with self._lock:
            return [self._known(handle).handed for handle in handles]

    def waiting(self, handle: Handle) -> str:
        """Return why a job that was handed over does not run yet, as its place says."""
        with self._lock:
            found = self._jobs.get(handle.native)
            return self._trouble or (found.waiting if found else "")

    def cancel(self, handles: Sequence[Handle], grace_s: float) -> None:
        """End jobs: at once those that were not handed over yet."""
        with self._lock:
            for handle in handles:
                followed = self._known(handle)
                if followed.status.state.ended or not followed.ask_to_end(grace_s):
                    continue
                if not followed.started and self._shipping is None:
                    self._end_unstarted(followed)
        self._hurry()

    def brief(self, handles: Sequence[Handle], data: bytes) -> None:
        """Tell members of a gang of each other, as soon as the place can be reached."""
        with self._lock:
            for followed in map(self._known, handles):
                if not followed.status.state.ended:
                    followed.to_brief = data
        self._hurry()

    def _end_unstarted(self, followed: Followed) -> None:
        sentence = "was canceled before it started"
        followed.end(JobState.CANCELED, Reason.CANCELED, sentence, steady_now())
        self._changed = True

    def forget(self, handles: Sequence[Handle]) -> None:
        """Let go of ended jobs, here and at the place."""
        with self._lock:
            for handle in handles:
                followed = self._jobs.get(handle.native)
                if followed is not None and followed.status.state.ended:
                    del self._jobs[handle.native]
                    followed.drop()
                    self._gone.append(handle.native)
        self._wake.set()

    def room(self) -> Room:
        """Return how much the place could start, as of a moment ago."""
        with self._lock:
            if not self._trouble and time.monotonic() - self._room_at > _ROOM_S:
                self._wake.set()  # without jobs of ours nobody else would ask it again
            return Room(why=self._trouble) if self._trouble else self._room

    def wait(self, timeout_s: float) -> None:
        """Return when something changed, at the latest after `timeout_s`; at once if all ended."""
        with self._lock:
            live_ones = any(not each.status.state.ended for each in self._jobs.values())
            if not self._changed and live_ones:
                self._lock.wait_for(lambda: self._changed, timeout_s)
            self._changed = False

    def close(self) -> None:
        """Stop following; jobs at the place go on."""
        with self._lock:
            self._closed = True
        self._wake.set()
        self._thread.join(timeout=60)
        # the place keeps it until somebody looks again; RuntimeError: the program is at its end,
        # where thread pools take nothing more
        with contextlib.suppress(EmsError, RuntimeError):
            self._clear_away()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._scheduler.close()
        self._site.close()
        scratch.remove(str(self._folder))

    # -- the thread that looks after them ---------------------------------------------------------

    def _hurry(self) -> None:
        self._eager_until = time.monotonic() + 1.0
        self._wake.set()

    def _work(self) -> None:
        pause = 0.0
        while not self._closed:
            self._wake.wait(pause)
            self._wake.clear()
            if self._closed:
                return
            pause = self._guarded(pause)

    def _guarded(self, pause: float) -> float:
        """Do one round; return how long to wait for the next."""
        try:
            self._round()
        except Unreachable as error:
            self._say(str(error))
            return min(_LONGEST_WAIT_S, max(1.0, 2 * pause))
        except EmsError as error:
            self._say(str(error))
            return min(_LONGEST_WAIT_S, max(2.0, 2 * pause))
        except Exception as error:  # a bug of ours, or of a kind of place, must not look like work
            self._say(f"{type(error).__name__}: {error}")
            return _LONGEST_WAIT_S
        self._say("")
        if time.monotonic() < self._eager_until or self._moving.busy:
            return min(_EAGER_S, self._poll_s)
        return self._poll_s if self._live() or self._gone else 3600.0

    def _say(self, trouble: str) -> None:
        with self._lock:
            before, self._trouble = self._trouble, trouble
        if trouble and not before:
            self._warn(f"{self.name}: {trouble}")
        elif before and not trouble:
            self._warn(f"{self.name}: answers again")

    def _live(self) -> list[Followed]:
        with self._lock:
            return [each for each in self._jobs.values() if not each.status.state.ended]

    def _round(self) -> None:
        self._clear_away()
        self._ship_what_waits()
        started = [each for each in self._live() if each.started]
        refused = None
        if started:
            refused = self._end_what_is_canceled(started)
            self._brief_those_that_wait(started)
            self._look(started)
        if refused is not None:  # only now: the others are followed all the same
            raise refused
        if time.monotonic() - self._room_at > _ROOM_S:
            room = self._scheduler.room()
            self._room_at = time.monotonic()
            with self._lock:
                self._room = room

    # -- shipping ---------------------------------------------------------------------------------

    def _ship_what_waits(self) -> None:
        if self._shipping is not None:
            if not self._shipping.done():
                return
            shipped, self._shipping = self._shipping, None
            shipped.result()
        with self._lock:
            waiting = [each for each in self._live() if not each.started]
            for each in waiting:
                if each.canceled:
                    self._end_unstarted(each)
            now = time.monotonic()
            waiting = [each for each in waiting if not each.canceled and each.later <= now]
            if not waiting:
                return
            self._shipping = self._pool.submit(self._ship, waiting)
        self._shipping.add_done_callback(lambda _: self._hurry())

    def _ship(self, waiting: Sequence[Followed]) -> None:
        """Bring what jobs need to the place, and start them there."""
        worker = self._zipapp()
        needed: dict[str, Path | None] = {worker: self._worker}
        asked: list[tuple[Followed, str, dict[str, object], set[str]]] = []
        for each, python in self._with_pythons(waiting):
            assert each.job is not None
            parcel = plain.parcel_of(each.job, each.id, "")
            try:
                own = self._moving.needs(parcel)
            except (StoreError, OSError) as error:
                self._refuse(each, Reason.INPUT_MISSING, str(error))
                continue
            needed |= {digest: path or needed.get(digest) for digest, path in own.items()}
            asked.append((each, python, parcel, set(own)))
        lost = self._moving.bring(needed)
        parcels: list[tuple[Followed, str, dict[str, object]]] = []
        for each, python, parcel, own in asked:
            if gone := own & lost.keys():
                self._refuse(each, Reason.INPUT_MISSING, lost[min(gone)])
            else:
                parcels.append((each, python, self._localized(each.job, parcel)))
        # `python` names an environment of the place, which its gc leaves alone for the job
        files = {
            f"jobs/{each.id}/parcel.json": protocol.encode({**made, "python": python})
            for each, python, made in parcels
        }
        self._site.write(files)
        zipapp = object_path(f"{self._site.root}/objects", worker)
        orders = [self._order(each, (python, zipapp)) for each, python, _ in parcels]
        for (each, _, _), refused in zip(parcels, self._scheduler.start(orders), strict=True):
            if refused is not None:
                self._refuse(each, refused.reason, refused.detail)
            each.started = True

    def _localized(self, job: Job | None, parcel: dict[str, object]) -> dict[str, object]:
        assert job is not None
        root, folders = self._site.root, self._moving.folders()
        if job.payload is None:  # the store's log does not know of it, and its gc would go by that
            own = Folders.below(root)
            folders = folders._replace(outbox=own.outbox, attempts=own.attempts)
        return localized(
            parcel, root, job.timeout_s, job.resources.memory_gib,
            requeue=self.capabilities.requeues, folders=folders,
        )  # fmt: skip

    def _with_pythons(self, waiting: Sequence[Followed]) -> list[tuple[Followed, str]]:
        """Return those whose environment is there, with its Python; the others wait, or end."""
        jobs = [each.job for each in waiting if each.job is not None]
        found: list[tuple[Followed, str]] = []
        later = time.monotonic() + _MAKING_S
        for each, python in zip(waiting, self._environments.pythons(jobs), strict=True):
            if isinstance(python, str):
                found.append((each, python))
            elif isinstance(python, Refused):
                self._refuse(each, python.reason, python.detail)
            else:
                each.later, each.waiting = later, "its environment is made"
        held = [each for each in waiting if each.later == later or each.status.state.ended]
        short = {each.gang for each in held} - {""}
        for each, _ in found:
            if each.gang in short:  # its members start in one request
                each.later, each.waiting = later, "the environment of its gang is made"
        return [(each, python) for each, python in found if each.later != later]

    def _order(self, followed: Followed, runner: tuple[str, str]) -> Order:
        assert followed.job is not None
        return order_of(followed.job, followed.id, f"{self._site.root}/jobs/{followed.id}", runner)

    def _zipapp(self) -> str:
        """Return the worker's digest; its file is `_worker`, the same until this is closed.

        A newer EMS may be installed meanwhile.
        """
        if not self._worker.exists():
            made = self._worker.with_suffix(".new")
            made.write_bytes(ship.zipapp())
            made.rename(self._worker)
        return digest_file(self._worker)

    def _refuse(self, followed: Followed, reason: Reason, detail: str) -> None:
        with self._lock:
            followed.end(JobState.FAILED, reason, detail, steady_now())
            self._tell()

    # -- following --------------------------------------------------------------------------------

    def _end_what_is_canceled(self, started: Sequence[Followed]) -> PlaceError | None:
        """Tell the scheduler what is to end; return what it refuses, which the next round asks."""
        asked = [each for each in started if each.to_tell is not None]
        if not asked:
            return None
        self._site.write({f"jobs/{each.id}/events.jsonl.cancel": b"" for each in asked})
        refused: PlaceError | None = None
        for grace_s in {each.to_tell for each in asked if each.to_tell is not None}:
            told = [each for each in asked if each.to_tell == grace_s]
            try:
                self._scheduler.stop([each.id for each in told], grace_s)
            except PlaceError as error:
                refused = error
                continue
            for each in told:
                each.to_tell = None
        return refused

    def _brief_those_that_wait(self, started: Sequence[Followed]) -> None:
        asked = {each: each.to_brief for each in started if each.to_brief is not None}
        if asked:
            found = {f"jobs/{each.id}/events.jsonl.peers": data for each, data in asked.items()}
            self._site.write(found)
            for each in asked:
                each.to_brief = None

    def _look(self, started: Sequence[Followed]) -> None:
        for each in started:
            if not each.known:
                self._recall(each)
        natives = self._scheduler.look([each.id for each in started])
        seen = self._site.look([each.look() for each in started])
        now = steady_now()
        with self._lock:
            for each, what in zip(started, seen, strict=True):
                before = (each.status.state, len(each.events))
                each.take(what, natives.get(each.id), now)
                self._let_through(each)
                each.settle(now)
                grown = what.output or (each.status.state, len(each.events)) != before
                self._changed = self._changed or bool(grown)
                if not what.complete:
                    self._wake.set()
            if self._changed:
                self._lock.notify_all()

    def _recall(self, followed: Followed) -> None:
        """Read what is in a job that another process handed over."""
        data = self._site.read(f"jobs/{followed.id}/parcel.json")
        if data is None:
            detail = f"{self.name} does not know it; jobs are kept there until they are forgotten"
            self._refuse(followed, Reason.LOST, detail)
            return
        followed.learn(protocol.read_parcel(data))

    def _let_through(self, followed: Followed) -> None:
        while (line := followed.held()) is not None:
            problem = self._moving.arrived(line.objects)
            if problem is None:
                return
            followed.release(spoiled(line.text, problem) if problem else None)

    def _clear_away(self) -> None:
        """Remove ended jobs there, once their scheduler has seen them end, too."""
        with self._lock:
            asked = list(self._gone)
        if not asked:
            return
        natives = self._scheduler.look(asked)
        gone = [e for e in asked if (at := natives.get(e)) is None or at.state.ended]
        if gone:
            self._scheduler.forget(gone)
            self._site.remove([f"jobs/{each}" for each in gone])
        with self._lock:
            self._gone = [each for each in self._gone if each not in gone]

    def _tell(self) -> None:
        self._changed = True
        self._lock.notify_all()
