"""The runner: from a board of nodes to results, through the store's log and a backend.

One loop: what became ready is looked up, what is not recorded is claimed and sent off in parcels,
what comes back is recorded and makes more ready. Does not know how a task is hashed or shown.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ems.compute.job import Handle
from ems.pipeline.board import DONE, BadPick, Board, Changed, Lost, State, Trouble
from ems.pipeline.losses import Losses
from ems.pipeline.observer import Failure, Observer, Snapshot
from ems.pipeline.parcels import Lanes
from ems.pipeline.recording import Work, failure_of
from ems.pipeline.tally import Tally

if TYPE_CHECKING:
    from ems.compute.job import Job
    from ems.pipeline.flights import Flight, Flights
    from ems.pipeline.loading import Loading
    from ems.pipeline.recording import Recorder
    from ems.pipeline.results import Results
    from ems.store.store import Store, Writer

RETRIED = frozenset(
    ("exception", "exit", "signal", "timed_out", "out_of_memory", "lost", "preempted",
     "worker")
)  # fmt: skip
MOST_LOSSES = 3
"""How often a result may be lost in one run before the run gives it up."""
_BEAT_S = 0.5
_BEAT_SHARE = 20
"""Looking around takes at most a twentieth of the time, however many nodes there are."""


class Policy(NamedTuple):
    """How a run goes about it: what is forced, and what happens after a failure."""

    keep_going: bool = False
    rerun: frozenset[str] = frozenset()
    grace_s: float = 10.0


class Runner:
    """Brings every node of a board to an end."""

    def __init__(
        self,
        board: Board,
        store: Store,
        writer: Writer,
        flights: Flights,
        loading: Loading,
        recorder: Recorder,
        results: Results,
        observer: Observer,
        policy: Policy,
    ) -> None:
        self.board = board
        self.failures: list[Failure] = []
        self.stopped = ""
        self.tally = Tally(board)
        self._store, self._writer, self._flights = store, writer, flights
        self._loading, self._recorder, self._results = loading, recorder, results
        self._observer, self._policy = observer, policy
        self._lanes: dict[tuple[str, ...], Lanes] = {}
        """Queued versions by the targets that they may go to."""
        self._nodes_of: dict[bytes, list[int]] = {}
        self._found: dict[bytes, str] = {}
        self._busy: dict[bytes, int] = {}
        self._tries: dict[int, int] = {}
        self._gens: dict[bytes, int] = {}
        self._works: dict[int, Work] = {}
        self._queued: dict[int, bytes] = {}
        self._force: set[bytes] = set()
        self._in_vain: set[bytes] = set()
        """Versions that were found at a place and came to nothing there: it is not asked again."""
        self._lost: dict[bytes, int] = {}
        self._losses = Losses(store, results)
        self._stopping = False
        self._cancels = 0
        self._began = time.monotonic()
        self._beat = self._began + _BEAT_S

    # -- the loop -------------------------------------------------------------------------------

    def run(self, wanted: Any) -> None:
        """Run until nothing is left to do; `wanted` is the tree of the pipeline's result."""
        while True:
            self._resolve()
            self._dispatch()
            if not (self._flights or self._busy or self._waiting() or self.board.ready):
                if not self._stopping and self._restore(wanted):
                    continue
                break
            if self._stopping and not self._flights:
                break
            self._collect()

    def interrupt(self, state: str = "canceled") -> None:
        """Stop: first running tasks get their grace, then they are killed, then everything ends."""
        self._cancels += 1
        if self._cancels > 2:
            raise KeyboardInterrupt
        self.stopped = self.stopped or state
        self._stopping = True

    def close(self) -> None:
        """End whatever still runs."""
        self._flights.close()

    # -- ready → cached or queued ---------------------------------------------------------------

    def _resolve(self) -> None:
        while self.board.ready:
            calls, troubles = self.board.take_ready()
            fresh: dict[bytes, int] = {}
            for index in calls:
                version = self._version(index)
                content = self._found.get(version)
                if content is not None:
                    self.board.done(index, content, State.CACHED)
                    continue
                same = self._nodes_of.get(version)
                if same is None:
                    self._nodes_of[version] = [index]
                    fresh[version] = index
                elif index not in same:
                    same.append(index)
            self._look_up(fresh)
            for index, trouble in troubles:
                self._settle_trouble(index, trouble)

    def _settle_trouble(self, index: int, trouble: Trouble) -> None:
        """Make what stands in a node's way right, and let it go on after that."""
        if isinstance(trouble, BadPick):
            node = trouble.node
            text = trouble.problem
            self._fail(
                node.index, Failure(node.label, node.task.name, "", {}, "result", 1, 1, text)
            )
            return
        if isinstance(trouble, Lost):
            self._lose(trouble.index)
        else:
            self._adopt(self._version(trouble.index), trouble.content)
        self.board.wait_for(index, [trouble.index])

    def _look_up(self, fresh: Mapping[bytes, int]) -> None:
        asked = [version for version, index in fresh.items() if not self._forced(version, index)]
        hits = self._store.lookup(asked)
        for version, index in fresh.items():
            hit = hits.get(version)
            if hit is not None:
                self._settle(version, hit.content, State.CACHED)
            else:
                self._queue(version, index)

    def _waiting(self) -> bool:
        return any(self._lanes.values())

    def _queue(self, version: bytes, index: int, *, first: bool = False) -> None:
        self._queued[index] = version
        lanes, key = self._lanes_for(index), self._lane(index)
        if key not in lanes:
            self._recall_pace(lanes, index)
        lanes.add(key, index, first=first)

    def _recall_pace(self, lanes: Lanes, index: int) -> None:
        """Start from how long the task took in earlier runs, where a first guess is worth it."""
        task = self.board.graph.nodes[index].task
        if self._flights.ahead(self._loading.on(task)).parcel_s >= 1.0:
            for seconds in self._store.durations([task.name]).values():
                lanes.lane(self._lane(index)).pace.learn(seconds)

    def _lanes_for(self, index: int) -> Lanes:
        return self._lanes.setdefault(self._loading.on(self.board.graph.nodes[index].task), Lanes())

    def _forced(self, version: bytes, index: int) -> bool:
        """Whether a call runs though it is recorded; the record stays until another is there."""
        if version in self._force:
            return True
        node = self.board.graph.nodes[index]
        if self._policy.rerun.isdisjoint((node.task.name, node.label)):
            return False
        self._force.add(version)
        return True

    def _lane(self, index: int) -> Hashable:
        return id(self.board.graph.nodes[index].task)

    def _settle(self, version: bytes, content: str, how: State) -> None:
        """A version has a result: all nodes that stand for it are done; only the first one ran."""
        self._found[version] = content
        for index in self._nodes_of.pop(version, ()):
            self.board.done(index, content, how)
            how = State.CACHED

    # -- queued → under way ---------------------------------------------------------------------

    def _dispatch(self) -> None:
        if self._stopping:
            return
        parcels = [parcel for on, lanes in self._lanes.items() for parcel in self._take(on, lanes)]
        if parcels:
            self._claim(parcels)

    def _take(self, on: tuple[str, ...], lanes: Lanes) -> list[list[int]]:
        """Return the next parcels for these targets, as many as may be under way."""
        parcels: list[list[int]] = []
        if not lanes:
            return parcels
        room, ahead = self._flights.room(on), self._flights.ahead(on)
        while len(parcels) < room:
            taken = lanes.take(ahead.slots, ahead.parcel_s, time.monotonic())
            if taken is None:
                break
            ready = [index for index in taken[1] if self._inputs_stand(index)]
            if ready:
                parcels.append(ready)
        return parcels

    def _inputs_stand(self, index: int) -> bool:
        """Whether a queued call may start: what it reads from the store is there, and sound."""
        version = self._queued.pop(index, None)
        if version is None:
            return False
        if self.board.states[index] is not State.TAKEN or self.board.versions[index] != version:
            self._leave(version, index)
            return False
        lost = self._losses_of(index)
        if lost:
            self._leave(version, index)
            for upstream in lost:
                self._lose(upstream)
            self.board.wait_for(index, lost)
        return not lost

    def _losses_of(self, index: int) -> list[int]:
        node = self.board.graph.nodes[index]
        here = self._loading.near(self._loading.on(node.task))
        return self._losses.of_call(self.board, node, here=here)

    def _leave(self, version: bytes, index: int) -> None:
        """A queued call has to wait again; another node of the same version takes its place."""
        same = self._nodes_of.get(version, [])
        if index in same:
            same.remove(index)
        if same:
            self._queue(version, same[0])
        else:
            self._nodes_of.pop(version, None)

    def _lose(self, upstream: int) -> None:
        """A result that is needed is gone or damaged: forget it and compute it again."""
        if self.board.states[upstream] not in DONE:
            return
        self._store.refresh()  # where the whole store is gone, nothing is lost of it
        version = self._version(upstream)
        label = self._label(upstream)
        self._lost[version] = self._lost.get(version, 0) + 1
        if self._lost[version] > MOST_LOSSES:
            text = f"its result was lost {MOST_LOSSES} times; the store does not keep it"
            task = self.board.graph.nodes[upstream].task.name
            self._fail(upstream, Failure(label, task, version.hex(), {}, "lost", 1, 1, text))
            return
        self._observer.warned(f"{label}: its stored result is missing or damaged; computed again")
        self._writer.revoke([version], "object missing or damaged")
        self._force.add(version)
        self._found.pop(version, None)
        self._results.forget(version)
        for index in self._standing_for(version):
            self.board.reopen(index)

    def _standing_for(self, version: bytes) -> list[int]:
        """Return all done nodes of a version: more than one where the same work stands twice."""
        versions, states = self.board.versions, self.board.states
        return [i for i, each in enumerate(versions) if each == version and states[i] in DONE]

    def _claim(self, parcels: list[list[int]]) -> None:
        versions = [self._version(index) for parcel in parcels for index in parcel]
        result = self._writer.claim(versions, self._force.intersection(versions))
        self._gens.update(result.gens)
        for version, hit in result.done.items():
            self._settle(version, hit.content, State.CACHED)
        for version, runner in result.busy.items():
            self._busy[version] = self._nodes_of[version][0]
            self._queued[self._busy[version]] = version
            self._observer.waited(self._label(self._busy[version]), runner)
        won = [[i for i in parcel if self._version(i) in result.won] for parcel in parcels]
        found = self._find(result.gens)
        left = [[i for i in parcel if i not in found] for parcel in won]
        self._submit([parcel for parcel in left if parcel])

    def _find(self, gens: Mapping[bytes, int]) -> set[int]:
        """Go on with what runners before this one handed to places that outlive them."""
        again = [version for version, gen in gens.items() if gen > 1]
        held = self._store.held(again) if again else {}
        parcels: dict[Handle, list[int]] = {}
        for version, last in held.items():
            if last.gen == gens[version] - 1 and version not in self._force | self._in_vain:
                handle = Handle(last.backend, last.native, last.region)
                parcels.setdefault(handle, []).append(self._nodes_of[version][0])
        found: set[int] = set()
        for handle, indices in parcels.items():
            calls = {index: call for index in indices if (call := self._call(index)) is not None}
            carried = {call["v"]: index for index, call in calls.items()}
            on = self._loading.on(self.board.graph.nodes[indices[0]].task)
            if carried and self._flights.find(handle, on, list(calls.values()), carried):
                for index in calls:
                    self.board.flying(index)
                found.update(indices)
        return found

    def _submit(self, parcels: list[list[int]]) -> None:
        jobs: list[Job] = []
        carried: list[dict[str, int]] = []
        for parcel in parcels:
            calls = {index: call for index in parcel if (call := self._call(index)) is not None}
            if not calls:
                continue
            task = self.board.graph.nodes[parcel[0]].task
            jobs.append(self._loading.job(self.board, task, list(calls.values())))
            carried.append({call["v"]: index for index, call in calls.items()})
            for index in calls:
                self.board.flying(index)
        if jobs:
            self._flights.submit(jobs, carried)

    def _call(self, index: int) -> dict[str, Any] | None:
        """Return what a worker gets of one version; None where its arguments are gone by now."""
        version = self._version(index)
        node = self.board.graph.nodes[index]
        tries = self._tries.get(index, 0) + 1
        try:
            call = self._loading.call(self.board, node, version, self._gens.get(version, 1), tries)
        except (BadPick, Lost, Changed) as trouble:
            self._writer.release([version])
            self._leave(version, index)
            self._settle_trouble(index, trouble)
            return None
        self._tries[index] = tries
        self._works[index] = self._loading.work(self.board, node, version, call["args"])
        for text in self._loading.unread.warnings(node.task, call["args"]):
            self._observer.warned(text)
        return call

    def _version(self, index: int) -> bytes:
        version = self.board.versions[index]
        assert version is not None
        return version

    # -- under way → recorded -------------------------------------------------------------------

    def _collect(self) -> None:
        if self.stopped == "unfinished":
            self._flights.leave()
        if self._cancels:
            self._flights.cancel(self._policy.grace_s if self._cancels == 1 else 0.0)
        elif self._stopping:
            self._flights.take_back(self._policy.grace_s)
        self._flights.wait(0.5 if not self._busy else 0.25)
        for flight, index, message in self._flights.messages():
            if message["ev"] == "end":
                self._ended(flight, index, message)
            else:
                self._loading.reported(self._label(index), message)
        now = time.monotonic()
        if now >= self._beat:
            self._look_around()
            cost = time.monotonic() - now
            self._beat = now + max(_BEAT_S, _BEAT_SHARE * cost)

    def _ended(self, flight: Flight, index: int, end: Mapping[str, Any]) -> None:
        work = self._works.pop(index)
        version = bytes.fromhex(work.version)
        log, unseen = self._flights.log(flight, end.get("log"))
        if unseen:
            self._observer.output(work.label, unseen)
        lane = self._lanes_for(index).lane(self._lane(index))
        if end["ok"]:
            lane.pace.learn(end["t1"] - end["t0"])
            self._loading.publish(end)
            entry = self._recorder.record(work, end, log, self._flights.place(flight))
            self._writer.record(entry, replace=version in self._force)
            self._force.discard(version)
            self._results.keep(version, entry.out, entry.content)
            self._observer.ran(work.label, end["t1"] - end["t0"])
            self._settle(version, end["content"], State.RAN)
            return
        if end["reason"] in ("canceled", "preempted") and self._stopping:
            self._writer.release([version])
            self.board.states[index] = State.WAITING
            return
        if flight.found and end["reason"] in ("lost", "canceled", "preempted"):
            self._tries[index] -= 1  # whoever handed it over counted that attempt
            self._in_vain.add(version)
            self._again(version, index)
            return
        self._attempt_failed(index, work, self._loading.explained(end), log, flight)

    def _attempt_failed(
        self, index: int, work: Work, end: Mapping[str, Any], log: str, flight: Flight
    ) -> None:
        self._store.refresh()  # a store that is gone must not look like the task's fault
        place = self._flights.place(flight)
        self._writer.failed(self._recorder.failed(work, end, log, place))
        failure = failure_of(work, end, log, self._upstream(index))
        version = bytes.fromhex(work.version)
        if end["reason"] == "input_missing" and not self._stopping:
            self._losses.recheck()
            if self._losses_of(index):
                self._again(version, index)
                return
        if self._tries[index] < work.attempts and end["reason"] in RETRIED and not self._stopping:
            self._observer.retried(failure)
            self._again(version, index)
        else:
            self._writer.release([version])
            self._fail(index, failure)

    def _again(self, version: bytes, index: int) -> None:
        if self.board.queued_again(index):
            self._queue(version, index, first=True)
        else:
            self._leave(version, index)

    def _upstream(self, index: int) -> dict[str, str]:
        """Return the labels of the calls whose results a call takes, by version."""
        needs = [self.board.target_of(need) for need in self.board.graph.nodes[index].needs]
        known = self.board.versions
        return {version.hex(): self._label(n) for n in needs if (version := known[n]) is not None}

    def _fail(self, index: int, failure: Failure) -> None:
        self.failures.append(failure)
        self._observer.failed(failure)
        version = self.board.versions[index]
        same = self._nodes_of.pop(version, [index]) if version is not None else [index]
        for each in {index, *same}:
            self.board.failed(each)
        if not self._policy.keep_going:
            self._stopping = True

    # -- now and then ---------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Twice a second: what others did, what came second, what a person sees."""
        free = self._writer.poll() if self._busy else ()
        for version in free:
            index = self._busy.pop(version, None)
            if index is not None:
                self._queue(version, index, first=True)
        for version, hit in self._writer.overtaken().items():
            if self._found.get(version) != hit.content:
                self._adopt(version, hit.content)
        for index, text in self._flights.stream():
            work = self._works[index]
            self._loading.wrote(work.version, text)
            self._observer.output(work.label, text)
        self._observer.tick(self.snapshot())

    def _adopt(self, version: bytes, content: str) -> None:
        """Somebody else's result of a version came first: go on from theirs."""
        self._found[version] = content
        self._results.forget(version)
        for index in self._standing_for(version):
            self.board.done(index, content, State.CACHED)

    def snapshot(self) -> Snapshot:
        """Return where the run stands."""
        running = self._flights.running(self._label)
        return self.tally.snapshot(running, len(self._busy), time.monotonic() - self._began)

    def _label(self, index: int) -> str:
        return self.board.graph.nodes[index].label

    # -- the end --------------------------------------------------------------------------------

    def _restore(self, wanted: Any) -> bool:
        """Check that the pipeline's result is there and stands; recompute of it what doesn't."""
        try:
            lost = self._losses.of_tree(self.board, wanted)
        except LookupError as error:
            if self.failures:
                return False
            text = f"the pipeline returns a part that is not there: {error.args[0]}"
            self.failures.append(Failure("the result", "", "", {}, "result", 1, 1, text))
            self._observer.failed(self.failures[-1])
            return False
        for upstream in lost:
            self._lose(upstream)
        return bool(lost)
