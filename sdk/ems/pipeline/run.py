"""One run, from a written graph to its ended entry, and what is left to look at: `Run`.

Knows the parts and their order. Is handed a store, a backend and settings; does not choose them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ems import errors
from ems.errors import EmsError
from ems.pipeline.board import State
from ems.pipeline.bundle import Bundle
from ems.pipeline.flights import Flights, Places
from ems.pipeline.graph import Kind
from ems.pipeline.loading import Loading
from ems.pipeline.losses import Losses
from ems.pipeline.nodes import pack
from ems.pipeline.observer import Failure, Observer
from ems.pipeline.plan import look_up
from ems.pipeline.recording import Author, Recorder
from ems.pipeline.runner import Policy, Runner
from ems.pipeline.tally import Tally
from ems.pipeline.written import Written, result_tree
from ems.store.entries import Ended
from ems.store.entries import Handle as HandleEntry
from ems.store.entries import Run as RunEntry
from ems.worker.values import load

if TYPE_CHECKING:
    from ems.compute.job import Handle, Job
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


class Facts(NamedTuple):
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


def execute(
    written: Written,
    facts: Facts,
    store: Store,
    places: Places,
    bundles: Any,
    observer: Observer,
    policy: Policy,
    hold: Callable[[Runner], AbstractContextManager[None]] = nullcontext,
) -> Run:
    """Run a written pipeline to its end and record how it went.

    `hold` is held while the runner goes on, so
    that a signal can reach it. Raises StoreError where results can't be kept.
    """
    began, since = time.time(), time.monotonic()
    observer.began(facts.id, written.name, len(written.graph.nodes))
    if not store.writable:
        return _served(written, facts, store, policy, since)
    with store.session(facts.id) as writer:
        writer.run(
            RunEntry(facts.id, written.name, written.file, dict(written.params), facts.who,
                     facts.host, began, list(facts.argv))
        )  # fmt: skip
        runner = _runner(written, facts, store, writer, places, bundles, observer, policy)
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
    places: Places,
    bundles: Any,
    observer: Observer,
    policy: Policy,
) -> Runner:
    author = Author(writer.runner_id, facts.id, facts.who, f"local:{facts.host}")
    return Runner(
        board=written.board,
        store=store,
        writer=writer,
        flights=Flights(places, partial(_tell, writer)),
        loading=_loading(written, facts, store, bundles, places),
        recorder=Recorder(author, store.objects),
        results=written.results,
        observer=observer,
        policy=policy,
    )


def _loading(written: Written, facts: Facts, store: Store, bundles: Any, places: Places) -> Loading:
    bundle = Bundle(bundles, written.specs.root, store.objects.put_bytes)
    specs, inputs = written.specs, written.graph.inputs
    return Loading(store, specs, bundle, written.results, inputs, facts.id, places.near)


def _tell(writer: Writer, going: Sequence[tuple[Handle, Job]]) -> None:
    """Write down what is about to be handed to a place that outlives this process, before it is."""
    for handle, job in going:
        payload: Any = job.payload
        for call in payload["versions"]:
            writer.handle(
                HandleEntry(call["v"], call["gen"], handle.backend, handle.native, handle.region)
            )
    writer.flush()


def _served(written: Written, facts: Facts, store: Store, policy: Policy, since: float) -> Run:
    """Return a run of what is recorded, from a store that is only read; nothing is noted there."""
    look_up(written, store, policy)
    if written.board.unfinished():
        store.committer.may_write()
    for index in Losses(store, written.results).of_tree(written.board, written.wanted):
        label = written.graph.nodes[index].label
        problem = f"the result of {label} is missing or damaged, and the store is read-only"
        raise EmsError(store.url, problem, "a store that you may write to: `store:` in .ems.yaml")
    counts, seconds = Tally(written.board).counts(), time.monotonic() - since
    return Run(facts.id, written.name, "done", counts, seconds, (), written, store)


def _ended(
    written: Written, facts: Facts, store: Store, writer: Writer, runner: Runner, since: float
) -> Run:
    counts = runner.tally.counts()
    if runner.stopped:
        state = runner.stopped
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
    nodes = pack(written.board, lambda task: written.specs.of(task).digest)
    digest, _ = store.objects.put_bytes(nodes)
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
