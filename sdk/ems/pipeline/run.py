"""One run, from a written graph to its ended entry, and what is left to look at: `Run` and `Plan`.

Knows the parts and their order. Is handed a store, a backend and settings; does not choose them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ems import errors
from ems.errors import EmsError
from ems.pipeline.board import Board, State
from ems.pipeline.bundle import Bundle
from ems.pipeline.flights import Flights
from ems.pipeline.graph import Graph, Kind
from ems.pipeline.keys import filled
from ems.pipeline.loading import Loading
from ems.pipeline.nodes import pack
from ems.pipeline.observer import Failure, Observer
from ems.pipeline.recording import Author, Recorder
from ems.pipeline.runner import Policy, Runner
from ems.pipeline.tally import Tally
from ems.store.entries import Ended
from ems.store.entries import Run as RunEntry
from ems.worker.values import load

if TYPE_CHECKING:
    from ems.compute.backend import Backend
    from ems.pipeline.results import Results
    from ems.pipeline.specs import Specs
    from ems.store.entries import Record
    from ems.store.store import Store, Writer

EXIT_CODES = {
    "done": errors.DONE,
    "failed": errors.TASK_FAILED,
    "unfinished": errors.UNFINISHED,
    "canceled": errors.CANCELED,
}


class RunFailed(EmsError):
    """A run did not come to its end as asked; `run` has what did, `exit_code` says how it ended."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.exit_code = EXIT_CODES[run.state]
        first = run.failures[0] if run.failures else None
        why = (
            f"{first.label}: {first.kind or first.reason}: {first.message}" if first else run.state
        )
        super().__init__(f"run {run.id}", why, f"emsctl show {run.id}")


@dataclass(frozen=True, slots=True)
class Written:
    """A pipeline written down: its graph, the tree of its result, and what went into it."""

    name: str
    file: str
    params: Mapping[str, Any]
    graph: Graph
    wanted: Any
    board: Board
    specs: Specs
    results: Results


@dataclass(frozen=True, slots=True)
class Facts:
    """Who runs what from where; all of it is recorded."""

    id: str
    who: str
    host: str
    argv: Sequence[str] = ()


@dataclass(frozen=True)
class Run:
    """An ended run. `state` is done, failed, unfinished or canceled; counts are of tasks' calls."""

    id: str
    pipeline: str
    state: str
    counts: Mapping[str, int]
    seconds: float
    failures: Sequence[Failure] = ()
    _written: Written | None = field(default=None, repr=False)
    _store: Store | None = field(default=None, repr=False)

    @property
    def exit_code(self) -> int:
        """The process exit code that goes with the state."""
        return EXIT_CODES[self.state]

    @cached_property
    def tree(self) -> Any:
        """The result as a tree of plain data; files are `$file` with digest, size and name.

        None where the run was not done, or a part of the result was left out (`until`).
        """
        assert self._written is not None
        return result_tree(self._written) if _has_result(self._written, self.state) else None

    @cached_property
    def result(self) -> Any:
        """What the pipeline returned, with values in place of pending results.

        Files are local paths. Raises RunFailed where the run was not done; None where a part of the
        result was left out (`until`).
        """
        assert self._written is not None
        if self.state != "done":
            raise RunFailed(self)
        return load(self.tree, self._written.results.source)

    @property
    def versions(self) -> dict[str, str]:
        """The version of each call by its label, as far as it was known."""
        assert self._written is not None
        board = self._written.board
        return {
            node.label: version.hex()
            for node, version in zip(board.graph.nodes, board.versions, strict=True)
            if node.kind is Kind.CALL and version is not None
        }

    @cached_property
    def records(self) -> dict[str, Record]:
        """The record of each finished call by its label: times, resources, log, metrics, place."""
        assert self._store is not None
        known = self.versions
        found = self._store.records([bytes.fromhex(version) for version in known.values()])
        return {
            label: found[bytes.fromhex(version)]
            for label, version in known.items()
            if bytes.fromhex(version) in found
        }

    @property
    def timings(self) -> dict[str, float]:
        """Seconds that each finished call took when it ran, by its label."""
        return {label: record.t1 - record.t0 for label, record in self.records.items()}


def result_tree(written: Written) -> Any:
    """Return the tree of a pipeline's result; all that it needs must be done."""
    board = written.board

    def part(index: int, steps: Any) -> Any:
        from ems.worker.values import pick

        return pick(tree_of(written, index), [tuple(step) for step in steps])

    return filled(written.wanted, lambda index, steps: part(board.target_of(index), steps))


def tree_of(written: Written, index: int) -> Any:
    """Return the whole tree of a done node."""
    return make_tree_of(written.graph, lambda: written.board, written.results)(index)


def make_tree_of(
    graph: Graph, board: Callable[[], Board], results: Results
) -> Callable[[int], Any]:
    """Return the function that answers for the stored tree of any done node."""

    def whole(index: int) -> Any:
        standing = board()
        index = standing.target_of(index)
        node = graph.nodes[index]
        if node.kind is not Kind.CALL:
            return standing.resolved(node, node.trees[0])
        version = standing.versions[index]
        assert version is not None
        return results.tree(version)

    return whole


def execute(
    written: Written,
    facts: Facts,
    store: Store,
    start_backend: Callable[[], Backend],
    slots: int,
    bundles: Any,
    observer: Observer,
    policy: Policy,
    hold: Callable[[Runner], AbstractContextManager[None]] = nullcontext,
) -> Run:
    """Run a written pipeline to its end and record how it went.

    `start_backend` is called when something has to run; `hold` is held while the runner goes on, so
    that a signal can reach it. Raises StoreError where results can't be kept.
    """
    began, since = time.time(), time.monotonic()
    observer.began(facts.id, written.name, len(written.graph.nodes))
    if not store.writable:
        return _served(written, facts, store, bundles, policy, since)
    with store.session(facts.id) as writer:
        writer.run(
            RunEntry(facts.id, written.name, written.file, dict(written.params), facts.who,
                     facts.host, began, list(facts.argv))
        )  # fmt: skip
        runner = _runner(
            written, facts, store, writer, start_backend, slots, bundles, observer, policy
        )
        with hold(runner):
            try:
                runner.run(written.wanted)
            except BaseException:
                _close(written, facts, store, writer, runner, "unfinished")
                raise
            finally:
                runner.close()
            return _ended(written, facts, store, writer, runner, since)


def _runner(
    written: Written,
    facts: Facts,
    store: Store,
    writer: Writer,
    start_backend: Callable[[], Backend],
    slots: int,
    bundles: Any,
    observer: Observer,
    policy: Policy,
) -> Runner:
    author = Author(writer.runner_id, facts.id, facts.who, f"local:{facts.host}")
    return Runner(
        board=written.board,
        store=store,
        writer=writer,
        flights=Flights(start_backend, slots),
        loading=_loading(written, facts, store, bundles),
        recorder=Recorder(author, store.objects),
        results=written.results,
        observer=observer,
        policy=policy,
    )


def _loading(written: Written, facts: Facts, store: Store, bundles: Any) -> Loading:
    bundle = Bundle(bundles, written.specs.root, store.objects.put_bytes)
    return Loading(store, written.specs, bundle, written.results, written.graph.inputs, facts.id)


def _served(
    written: Written, facts: Facts, store: Store, bundles: Any, policy: Policy, since: float
) -> Run:
    """Return a run of what is recorded, from a store that is only read; nothing is noted there."""
    _look_up(written, store, policy)
    if written.board.unfinished():
        store.committer.may_write()
    loading = _loading(written, facts, store, bundles)
    for index in loading.lost_of(written.board, written.wanted):
        label = written.graph.nodes[index].label
        problem = f"the result of {label} is missing or damaged, and the store is read-only"
        raise EmsError(store.url, problem, "a store that you may write to: `store:` in .ems.yaml")
    counts, seconds = Tally(written.board).counts(), time.monotonic() - since
    return Run(facts.id, written.name, "done", counts, seconds, (), written, store)


def _ended(
    written: Written, facts: Facts, store: Store, writer: Writer, runner: Runner, since: float
) -> Run:
    counts = runner.tally.counts()
    if runner.canceled:
        state = "canceled"
    elif runner.failures:
        state = "failed"
    elif counts.get("pending") or counts.get("skipped"):
        state = "unfinished"
    else:
        state = "done"
    _close(written, facts, store, writer, runner, state)
    return Run(
        facts.id,
        written.name,
        state,
        counts,
        time.monotonic() - since,
        runner.failures,
        written,
        store,
    )


def _close(
    written: Written, facts: Facts, store: Store, writer: Writer, runner: Runner, state: str
) -> None:
    """Write how the run ended; the result travels along unless a part of it was left out."""
    specs = {task.name: written.specs.of(task).digest for task in written.specs.tasks()}
    digest, _ = store.objects.put_bytes(pack(written.board, specs))
    first = runner.failures[0] if runner.failures else None
    error = (
        {"label": first.label, "reason": first.reason, "message": first.message} if first else None
    )
    result = result_tree(written) if _has_result(written, state) else None
    writer.ended(Ended(facts.id, state, time.time(), runner.tally.counts(), digest, result, error))
    writer.flush()


def _has_result(written: Written, state: str) -> bool:
    """Whether a run came to what the pipeline returns: nothing of it failed or was left out."""
    board = written.board
    needed = board.needed_parts(written.wanted)
    return state == "done" and all(board.states[index] is not State.LEFT_OUT for index in needed)


# -- planning -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What would happen to the calls of one task; `why` names the label of one that would run."""

    task: str
    total: int
    cached: int
    run: int
    depends: int
    expected_s: float | None
    example: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do: nothing was started or written."""

    pipeline: str
    rows: Sequence[PlanRow]
    expected_s: float | None
    unknown: int
    """Shapes (map, fold) whose items are not known before something runs."""


def plan(written: Written, store: Store, policy: Policy, slots: int) -> Plan:
    """Look up what is recorded, wave by wave, and say what the rest would be."""
    _look_up(written, store, policy)
    return _planned(written, store, slots)


def _look_up(written: Written, store: Store, policy: Policy) -> None:
    board = written.board
    while board.ready:
        calls = board.take_ready()
        versions = {index: board.versions[index] for index in calls}
        hits = store.lookup([v for v in versions.values() if v is not None])
        for index in calls:
            hit = hits.get(versions[index] or b"")
            node = board.graph.nodes[index]
            if hit is not None and policy.rerun.isdisjoint((node.task.name, node.label)):
                board.done(index, hit.content, State.CACHED)


def _planned(written: Written, store: Store, slots: int) -> Plan:
    board = written.board
    found: dict[str, Counter[str]] = {}
    example: dict[str, str] = {}
    seen: set[bytes] = set()
    unknown = 0
    for node, state in zip(board.graph.nodes, board.states, strict=True):
        if node.kind is not Kind.CALL:
            unknown += node.kind is not Kind.GATHER and state is State.WAITING
            continue
        counts = found.setdefault(node.task.name, Counter())
        what = _fate(board, node.index, state, seen)
        counts[what] += 1
        if what == "run":
            example.setdefault(node.task.name, node.label)
    expected = store.durations(list(found))
    rows = [
        PlanRow(
            name, counts.total() - counts["left out"], counts["cached"], counts["run"],
            counts["depends"], expected.get(name), example.get(name, ""),
        )
        for name, counts in found.items()
        if counts.total() > counts["left out"]
    ]  # fmt: skip
    busy = [row for row in rows if row.run or row.depends]
    known = all(row.expected_s is not None for row in busy)
    total = sum((row.expected_s or 0.0) * (row.run + row.depends) for row in busy)
    return Plan(written.name, rows, total / max(1, slots) if known else None, unknown)


def _fate(board: Board, index: int, state: State, seen: set[bytes]) -> str:
    if state is State.LEFT_OUT:
        return "left out"
    if state is State.CACHED:
        return "cached"
    version = board.versions[index]
    if version is None:
        return "depends"
    if version in seen:
        return "cached"
    seen.add(version)
    return "run"
