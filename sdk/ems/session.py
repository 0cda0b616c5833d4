"""The composition root: settings, store, project and backend put together for one pipeline.

It alone turns settings into a store, a backend and a runner. Does not know how anything is shown.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ems.compute.backend import ANYWHERE, LOCAL
from ems.compute.broker import FAR, QUICK_S, Ahead, Broker, choices
from ems.compute.joined import Joined
from ems.compute.machine import CAPABILITIES
from ems.errors import EmsError, UsageError
from ems.pipeline.board import Board, State
from ems.pipeline.flights import Places
from ems.pipeline.graph import Graph, Node
from ems.pipeline.observer import Observer
from ems.pipeline.params import checked
from ems.pipeline.plan import Plan, plan
from ems.pipeline.run import Facts, Run, execute
from ems.pipeline.runner import Policy, Runner
from ems.pipeline.stopping import quick_gc, stoppable
from ems.pipeline.written import Written, make_tree_of
from ems.settings import DRIVER_VARIABLE, FILE, Settings, cache_folder

if TYPE_CHECKING:
    from ems.compute.backend import Backend
    from ems.compute.broker import Tell
    from ems.compute.kinds import Setting
    from ems.compute.targets import Target
    from ems.pipeline.code import Project
    from ems.pipeline.pipeline import Pipeline
    from ems.store.shared import OpenStores
    from ems.store.store import Store


V = TypeVar("V")


class RunOptions(NamedTuple):
    """How to run: `jobs` tasks at once at most, what to force, where to stop.

    `rerun` names tasks or labels to run again, `until` the last tasks to run; `keep_going` goes on
    with what does not depend on a failed task. `on` are the targets for tasks that name none.
    """

    jobs: int | None = None
    keep_going: bool = False
    rerun: Sequence[str] = ()
    until: Sequence[str] = ()
    argv: Sequence[str] = ()
    on: tuple[str, ...] = ()


@cache
def _open_stores() -> OpenStores:
    from ems.store.shared import OpenStores

    return OpenStores(_to_stderr)


class Session:
    """One user's view of one project: where its code, its settings and its store are.

    With a `warn` of its own a session has a store of its own, and closes it; those without share
    theirs with all others of the process.
    """

    def __init__(
        self, start: Path, settings: Settings, warn: Callable[[str], None] | None = None
    ) -> None:
        self.start = start
        self.settings = settings
        self._warn = warn or _to_stderr
        self._shares = warn is None

    @classmethod
    def open(
        cls,
        start: Path | None = None,
        *,
        store: str | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> Session:
        """Return the session of a folder or pipeline file; `store` overrides the settings' store.

        The store is opened, and made where there is none, when a pipeline is first written down.
        """
        where = start or Path.cwd()
        folder = where if where.is_dir() else where.parent
        return cls(where, Settings.load(folder, store=store), warn)

    @cached_property
    def store(self) -> Store:
        """The store, opened (and made, where there is none) when first asked for."""
        from ems.store.store import Store

        if self._shares:
            return _open_stores().get(self.settings.store)
        return Store.open(self.settings.store, warn=self._warn)

    @cached_property
    def cache(self) -> Path:
        """This machine's folder for what can be made again."""
        return cache_folder()

    @cached_property
    def project(self) -> Project:
        """The project's code."""
        from ems.pipeline.code import Project

        return Project.of(self.start, self.cache)

    def close(self) -> None:
        """Close the store, if it was opened and is this session's own; a shared one stays open.

        Runs of the session can still be looked at, and no further one is started.
        """
        if "project" in self.__dict__:
            self.project.close()
        if "store" in self.__dict__ and not self._shares:
            self.store.close()

    # -- pipelines ------------------------------------------------------------------------------

    def write(
        self,
        pipeline: Pipeline[..., Any],
        params: Mapping[str, Any],
        run_id: str,
        *,
        words: bool = False,
        until: Sequence[str] = (),
        writes: bool = True,
    ) -> Written:
        """Call a pipeline's function and return the graph that it wrote down."""
        from ems.pipeline.environment import Environment
        from ems.pipeline.inputs import StoreInputs
        from ems.pipeline.results import Results
        from ems.pipeline.specs import Specs

        arguments = checked(pipeline, params, words=words)
        file = Path(getattr(pipeline.fn, "__code__").co_filename)  # noqa: B009
        self._name_main(pipeline, file)
        environment = Environment.of(self.project, self.settings.environment)
        specs = Specs(self.project, environment, file.parent, run_id)
        results = Results(self.store)
        graph = Graph(specs.prefix, StoreInputs(self.store, results, writes=writes))
        wanted = _call(pipeline, arguments, graph, file.parent)
        for text in specs.warnings.values():
            self._warn(text)
        holder: list[Board] = []
        holder.append(Board(graph, make_tree_of(graph, lambda: holder[0], results)))
        if until:
            holder[0].keep_only(_named(graph, until))
        params_tree = graph.tree(_defaults(pipeline, arguments), [], f"pipeline {pipeline.name}")
        shown = os.path.relpath(file) if file.is_absolute() else str(file)
        return Written(pipeline.name, shown, params_tree, graph, wanted, holder[0], specs, results)

    def _name_main(self, pipeline: Pipeline[..., Any], file: Path) -> None:
        """Say by which name workers import the pipeline's file where it is this `__main__`."""
        from ems.worker.values import call_main

        script = pipeline.fn.__module__ == "__main__" and file.is_file()
        call_main(self.project.name_of(file) or "" if script else "")

    def run(
        self,
        pipeline: Pipeline[..., Any],
        params: Mapping[str, Any],
        options: RunOptions | None = None,
        *,
        words: bool = False,
        observer: Observer | None = None,
    ) -> Run:
        """Run a pipeline and return how it went; only EMS's own errors are raised."""
        options = options or RunOptions()
        facts = self._facts(options)
        with quick_gc():
            written = self.write(
                pipeline, params, facts.id, words=words, until=options.until,
                writes=self.store.writable,
            )  # fmt: skip
            _check_names(written, options.rerun)
            self._check_places(written, options)
            room = self._room(written, options.jobs)
            return execute(
                written, facts, self.store,
                self._places(options, room),
                self.cache / "bundles",
                observer or Observer(),
                Policy(keep_going=options.keep_going, rerun=frozenset(options.rerun)),
                lambda runner: self._held(runner, room),
            )  # fmt: skip

    def plan(
        self,
        pipeline: Pipeline[..., Any],
        params: Mapping[str, Any],
        options: RunOptions | None = None,
        *,
        words: bool = False,
    ) -> tuple[Plan, Written]:
        """Return what a run would do, and the graph it is about; nothing is written."""
        options = options or RunOptions()
        with quick_gc():
            written = self.write(
                pipeline, params, "plan", words=words, until=options.until, writes=False
            )
            _check_names(written, options.rerun)
            self._check_places(written, options)
            policy = Policy(rerun=frozenset(options.rerun))
            return plan(written, self.store, policy, options.jobs or self.slots), written

    @contextmanager
    def _held(self, runner: Runner, room: int) -> Generator[None]:
        """Let signals stop the runner, and let it tell how long the rest will take."""
        runner.tally.durations, runner.tally.slots = self.store.durations, room
        with stoppable(runner):
            yield

    def _room(self, written: Written, jobs: int | None) -> int:
        """About how many tasks run at once: fewer CPUs a task than one make more of them."""
        least = min([written.specs.options(t).resources.cpus for t in written.specs.tasks()] or [1])
        fitting = int(self.slots / min(1.0, max(least, 1 / 32)))
        return max(1, min(fitting, jobs or self.settings.jobs or fitting))

    @property
    def slots(self) -> int:
        """How many tasks of one CPU run at once here."""
        return self.settings.jobs or len(os.sched_getaffinity(0))

    @cached_property
    def targets(self) -> Mapping[str, Target]:
        """The places besides this machine, by name: those of `.ems.yaml`, then the stack's."""
        if not self.settings.targets and self.settings.stack is None:
            return {}
        from ems.compute.targets import Targets, read

        written = read(self.settings.targets, FILE)
        return Targets(written) if self.settings.stack is None else Targets(written, self._derived)

    def _derived(self) -> Mapping[str, Target]:
        """Return the targets of the stack; none, with a word about it, where it can't be read."""
        from ems.compute.derived import derive
        from ems.stack import sources

        stack = self.settings.stack or ""
        try:
            outputs = sources.read(sources.reference(stack), self.settings.base).outputs
        except EmsError as error:
            self._warn(f"the places of stack {stack} are left out: {error}")
            return {}
        return derive(outputs, stack, self.settings.defaults, f"{FILE}: defaults")

    def _all_places(self, here: V, change: Callable[[Target], V]) -> Mapping[str, V]:
        """Return this machine and all targets by name; those are read when a word asks for them."""
        return Joined({LOCAL: here}, lambda: self.targets, change)

    def setting(self, warn: Callable[[str], None]) -> Setting:
        """Return what places are opened with."""
        from ems.compute.kinds import Setting

        stack = self.settings.stack or ""
        objects = self.store.objects
        store = objects if objects.far else None
        return Setting(objects, self.cache, warn, self.settings.base, stack, store)

    def broker(
        self, on: Sequence[str] = (), tell: Tell = lambda _: None, *, jobs: int | None = None
    ) -> Broker:
        """Return this machine and all targets as one backend; none is opened before it is needed.

        `on` is for jobs that name no target: this machine where it is empty. `tell` hears of jobs
        before they are handed to a place that outlives this process.
        """
        from ems.compute.local import LocalBackend

        setting = self.setting(self._warn)
        opened: dict[str, Sequence[Backend]] = {}

        def here() -> Sequence[Backend]:
            return [LocalBackend(jobs_limit=jobs or self.settings.jobs, cache=self.cache)]

        def there(target: Target) -> Sequence[Backend]:
            if target.name not in opened:  # two names may lead to it
                opened[target.name] = target.open(setting)
            return opened[target.name]

        places = self._all_places(here, lambda target: partial(there, target))
        return Broker(places, on or (LOCAL,), tell)

    def _check_places(self, written: Written, options: RunOptions) -> None:
        """Refuse tasks that no place here can run as declared, before anything starts.

        Those that are left out (`until`) may ask for what they like.
        """
        known = self._all_places(None, lambda _: None)
        lacks = {
            task.name: self._lack(written, task, options, known) for task in written.specs.tasks()
        }
        if any(lacks.values()):  # asked for then alone: it goes over the whole graph
            wanted = _wanted_names(written)
            for name, error in lacks.items():
                if error is not None and name in wanted:
                    raise error

    def _lack(
        self, written: Written, task: Any, options: RunOptions, known: Mapping[str, object]
    ) -> UsageError | None:
        """Return why no place here can run a task, or None; name those of its places not here."""
        on = written.specs.options(task).on or options.on or (LOCAL,)
        try:
            may = choices(on, known)
        except UsageError as error:
            problem = f"{error.subject} {error.problem}"
            return UsageError(f"task {task.name}", problem, error.next_step)
        for word in (each for each in dict.fromkeys(on) if each != ANYWHERE and each not in known):
            self._warn(f"task {task.name}: on={word!r} names no place here; passed by")
        for target in (self.targets[each] for each in may if each != LOCAL):
            if target.settings is None and target.lack is not None:
                return UsageError(f"task {task.name}: target {target.name}", *target.lack)
        lack = CAPABILITIES.lack((), written.specs.of(task).env) if may == (LOCAL,) else None
        if lack is None:
            return None
        problem = f"{lack.problem} (allowed here: {lack.allowed})"
        return UsageError(f"task {task.name}", problem, lack.next_step)

    def _places(self, options: RunOptions, room: int) -> Places:
        known = self._all_places(None, lambda _: None)

        @cache
        def may(on: tuple[str, ...]) -> tuple[str, ...]:
            try:
                return choices(on or options.on or (LOCAL,), known)
            except UsageError:  # of a task that appears later: it fails when it is handed over
                return (LOCAL,)

        def start(tell: Tell) -> Broker:
            return self.broker(options.on, tell, jobs=options.jobs)

        def ahead(on: tuple[str, ...]) -> Ahead:
            return Ahead(room, QUICK_S, 2 * room) if may(on) == (LOCAL,) else FAR

        def near(on: tuple[str, ...]) -> bool:
            return LOCAL in may(on)

        return Places(start, ahead, near)

    def _facts(self, options: RunOptions) -> Facts:
        from platform import node

        host = "/".join(filter(None, (os.environ.get(DRIVER_VARIABLE), node())))
        return Facts(new_run_id(), user_name(), host, list(options.argv))


def run(
    pipeline: Pipeline[..., Any], /, *, options: RunOptions | None = None, **params: Any
) -> Run:
    """Run a pipeline from Python or a notebook: `ems.run(main, workers=8).result`.

    Keywords are the pipeline's parameters; `options` is a RunOptions. Returns a Run with result,
    records and timings. Raises RunFailed where a task failed, UsageError for a wrong parameter.
    """
    from ems.pipeline.pipeline import Pipeline
    from ems.pipeline.run import RunFailed

    if not isinstance(pipeline, Pipeline):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError("ems.run", f"takes a function under @ems.pipeline, not {pipeline!r}")
    file = Path(pipeline.fn.__code__.co_filename)
    session = Session.open(file if file.is_file() else None)
    try:
        done = session.run(pipeline, params, options)
    finally:
        session.close()
    if done.state != "done":
        raise RunFailed(done)
    return done


def _call(
    pipeline: Pipeline[..., Any], arguments: dict[str, Any], graph: Graph, folder: Path
) -> Any:
    """Write the graph down; whatever goes wrong in the user's function is located in their file."""
    from ems.pipeline.loadfile import in_user_code
    from ems.pipeline.pipeline import identity

    with in_user_code(folder), graph.writing(pipeline.name, identity(arguments)):
        result = pipeline.fn(**arguments)
        return graph.tree(result, [], f"pipeline {pipeline.name}: result")


def _defaults(pipeline: Pipeline[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {**pipeline.parameters.defaults, **arguments}


def _named(graph: Graph, names: Sequence[str]) -> list[int]:
    _known_or_raise(names, _known(graph))
    return [n.index for n in graph.nodes if not _names_of(n).isdisjoint(names)]


def _check_names(written: Written, names: Sequence[str]) -> None:
    if names:
        _known_or_raise(names, _known(written.graph))


def _known(graph: Graph) -> set[str]:
    return {name for node in graph.nodes for name in _names_of(node) if name}


def _names_of(node: Node) -> set[str]:
    """What a node may be called: its task, its label, or the task that it will call (map, fold)."""
    return {node.task.name, node.label, getattr(node.task, "of", "")}


def _known_or_raise(names: Sequence[str], known: set[str]) -> None:
    from ems.errors import did_you_mean

    for name in names:
        if name not in known:
            tasks = ", ".join(sorted({each.partition("[")[0] for each in known}))
            raise UsageError(
                f"task {name}",
                f"is not in this pipeline{did_you_mean(name, sorted(known))}; it has {tasks}",
            )


def _wanted_names(written: Written) -> set[str]:
    """Return the names of the tasks that are not left out."""
    states = zip(written.graph.nodes, written.board.states, strict=True)
    wanted = (node for node, state in states if state is not State.LEFT_OUT)
    return {name for node in wanted for name in _names_of(node)}


def new_run_id() -> str:
    """Return a new run's name: UTC time, which sorts, and four letters, which differ."""
    letters = "abcdefghjkmnpqrstuvwxyz"
    tail = "".join(letters[byte % len(letters)] for byte in os.urandom(4))
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + tail


def user_name() -> str:
    """Return who runs this, as the system knows them."""
    for variable in ("LOGNAME", "USER"):
        if os.environ.get(variable):
            return os.environ[variable]
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid())


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"emsctl: {text}\n")


__all__ = ["EmsError", "RunOptions", "Session", "run"]
