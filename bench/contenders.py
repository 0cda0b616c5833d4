"""How EMS and each peer run the same work, and what each keeps of it.

The work: N independent tasks `x + 1` and a task that sums their results, from a folder with
nothing in it (cold), and once more (cached). Each contender's own settings stay at their
defaults, unless `about` says otherwise.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.environments import BENCH, PEERS, Environment
from bench.measure import Step, Steps

PROGRAMS = BENCH / "programs"


@dataclass(frozen=True, slots=True)
class Contender:
    """One that takes part: where it is, how it runs N tasks, and what it does to keep them."""

    name: str
    environment: Environment
    about: str
    tasks: Callable[[Environment, Path, int], Steps] | None = None
    one: Callable[[Environment, Path], Steps] | None = None
    help: str = ""


def sum_of(n: int) -> int:
    """What the N tasks' sum must be."""
    return n * (n + 1) // 2


EMS_CACHE = Path(tempfile.mkdtemp(prefix="ems-bench-"))
atexit.register(shutil.rmtree, EMS_CACHE, ignore_errors=True)

# ---- EMS


def ems_variables(environment: Environment, folder: Path) -> dict[str, str]:
    """One cache for the whole of a run, as a machine has one: the warm-up fills it once."""
    return environment.variables(folder, EMS_CACHE=str(EMS_CACHE))


def ems_folder(folder: Path, *programs: str) -> None:
    """A project of its own: the root is where `.ems.yaml` lies."""
    (folder / ".ems.yaml").write_text("# the root of this project; everything at its default\n")
    for name in programs:
        shutil.copy(PROGRAMS / name, folder / name)


def ems_tasks(environment: Environment, folder: Path, n: int) -> Steps:
    ems_folder(folder, "pipeline.py")
    argv = (environment.program("emsctl"), "run", "pipeline.py", "-p", f"n={n}")
    variables = ems_variables(environment, folder)
    for what in ("cold", "cached"):
        yield Step(f"tasks.{n}.{what}", argv, folder, variables, expect=str(sum_of(n)))


def ems_one(environment: Environment, folder: Path) -> Steps:
    ems_folder(folder, "one.py")
    argv = (environment.program("emsctl"), "run", "one.py")
    variables = ems_variables(environment, folder)
    for row in (None, "start.one"):
        yield Step(row, argv, folder, variables)


# ---- redun


def redun_tasks(environment: Environment, folder: Path, n: int) -> Steps:
    shutil.copy(PEERS / "redun/workflow.py", folder)
    argv = (environment.program("redun"), "run", "workflow.py", "main", "--n", str(n))
    variables = environment.variables(folder)
    for what in ("cold", "cached"):
        yield Step(f"tasks.{n}.{what}", argv, folder, variables, expect=str(sum_of(n)))


def redun_one(environment: Environment, folder: Path) -> Steps:
    shutil.copy(PEERS / "redun/workflow.py", folder)
    argv = (environment.program("redun"), "run", "workflow.py", "inc", "--x", "1")
    variables = environment.variables(folder)
    for row in (None, "start.one"):
        yield Step(row, argv, folder, variables)


# ---- Prefect


def prefect_tasks(environment: Environment, folder: Path, n: int) -> Steps:
    """Results kept and reused."""
    yield from _prefect(environment, folder, n, "flow.py", ("cold", "cached"))


def prefect_plain_tasks(environment: Environment, folder: Path, n: int) -> Steps:
    """Prefect's defaults: no result is kept, so there is nothing to reuse."""
    yield from _prefect(environment, folder, n, "plain.py", ("cold",))


def _prefect(
    environment: Environment, folder: Path, n: int, program: str, rows: Sequence[str]
) -> Steps:
    """A server of its own runs before the clock starts; the tasks run in the flow's process."""
    shutil.copy(PEERS / "prefect" / program, folder)
    port = _free_port()
    variables = environment.variables(
        folder,
        PREFECT_HOME=str(folder / "prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
    )
    command = [environment.program("prefect"), "server", "start", "--port", str(port)]
    with (folder / "server.txt").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _until_up(f"http://127.0.0.1:{port}/api/health")
        argv = (environment.program("python"), program, str(n))
        for what in rows:
            yield Step(f"tasks.{n}.{what}", argv, folder, variables, expect=str(sum_of(n)))
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_up(address: str, patience_s: float = 120.0) -> None:
    """Wait for the server; one that does not come makes the step after it fail."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)


# ---- Snakemake


def snakemake_tasks(environment: Environment, folder: Path, n: int) -> Steps:
    shutil.copy(PEERS / "snakemake/Snakefile", folder)
    argv = (environment.program("snakemake"), "--cores", "all", "--config", f"tasks={n}")
    variables = environment.variables(folder)
    for what in ("cold", "cached"):
        yield Step(
            f"tasks.{n}.{what}",
            argv,
            folder,
            variables,
            verify=lambda output: _holds(folder / "total.txt", str(sum_of(n))),
        )


def snakemake_plan(environment: Environment, folder: Path, n: int) -> Steps:
    shutil.copy(PEERS / "snakemake/Snakefile", folder)
    argv = (environment.program("snakemake"), "-n", "--quiet", "--cores", "all", "--config")
    variables = environment.variables(folder)
    yield Step(f"plan.{n}", (*argv, f"tasks={n}"), folder, variables)


def _holds(path: Path, text: str) -> str | None:
    found = path.read_text().strip() if path.exists() else "nothing"
    return None if found == text else f"{path.name} holds {found}, not {text}"


# ---- Metaflow


def metaflow_tasks(environment: Environment, folder: Path, n: int) -> Steps:
    shutil.copy(PEERS / "metaflow/flow.py", folder)
    variables = environment.variables(
        folder, USERNAME="bench", METAFLOW_DATASTORE_SYSROOT_LOCAL=str(folder)
    )
    start = (environment.program("python"), "flow.py")
    limits = ("--max-num-splits", str(n))
    cold = (*start, "run", "--n", str(n), *limits)
    yield Step(f"tasks.{n}.cold", cold, folder, variables, expect=str(sum_of(n)))
    yield Step(f"tasks.{n}.cached", (*start, "resume", *limits), folder, variables)


# ---- DVC


def dvc_one(environment: Environment, folder: Path) -> Steps:
    for path in (PEERS / "dvc").iterdir():
        shutil.copy(path, folder)
    dvc = environment.program("dvc")
    variables = environment.variables(folder, DVC_NO_ANALYTICS="1")
    yield Step(None, (dvc, "init", "-q", "--no-scm"), folder, variables)
    yield Step(None, (dvc, "repro"), folder, variables)
    yield Step("start.one", (dvc, "repro"), folder, variables, expect="up to date")


# ---- all of them


def python_contender() -> Contender:
    """The floor under every program here: an interpreter that does nothing."""
    environment = Environment("python", Path(sys.executable).parent, sys.version.split()[0])
    return Contender("python -c pass", environment, "An interpreter that starts and ends.")


def ems_contender(environment: Environment) -> Contender:
    about = (
        "`emsctl run` with its defaults: a store in the project's folder, every result and record "
        "synced to disk in group commits, warm workers on all cores."
    )
    return Contender("ems", environment, about, ems_tasks, ems_one, "emsctl")


def peer_contenders(name: str, environment: Environment) -> list[Contender]:
    """The peer by its name, in every way in which it takes part; `NAMES` lists them."""
    return [
        Contender(way.name, environment, way.about, way.tasks, way.one, way.help)
        for way in _WAYS
        if way.peer == name
    ]


@dataclass(frozen=True, slots=True)
class _Way:
    peer: str
    name: str
    about: str
    tasks: Callable[[Environment, Path, int], Steps] | None = None
    one: Callable[[Environment, Path], Steps] | None = None
    help: str = ""


_WAYS = (
    _Way(
        "redun",
        "redun",
        "`redun run` with its defaults: the SQLite backend that it makes in the folder, synced at "
        "every commit; tasks in threads of the scheduler's process.",
        redun_tasks,
        redun_one,
        "redun",
    ),
    _Way(
        "prefect",
        "prefect",
        "Tasks called in the flow's process; results kept in files (`persist_result`) and reused "
        "by inputs and source. A local server with SQLite runs before the clock starts: its start "
        "(seconds) and its CPU time are not counted. Analytics are off.",
        prefect_tasks,
        help="prefect",
    ),
    _Way(
        "prefect",
        "prefect, results not kept",
        "The same with Prefect's defaults: the server records the runs, and no result is kept, so "
        "there is no cached run.",
        prefect_plain_tasks,
    ),
    _Way(
        "snakemake",
        "snakemake",
        "One shell command (`echo`) a task, which writes a file; no Python starts for a task. Its "
        "own record of what ran lies in files that are not synced. Cached: it compares times and "
        "records of the files.",
        snakemake_tasks,
        help="snakemake",
    ),
    _Way(
        "metaflow",
        "metaflow",
        "A foreach and a join, local datastore and metadata, a process a task, files that are not "
        "synced. It has no cache across runs: `resume`, which clones the run before, stands for "
        "cached.",
        metaflow_tasks,
    ),
    _Way(
        "dvc",
        "dvc",
        "`dvc repro` of one stage, without Git; it has no tasks in Python, so it takes part in the "
        "one-task rows alone. Analytics are off.",
        one=dvc_one,
        help="dvc",
    ),
)
NAMES = tuple(dict.fromkeys(way.peer for way in _WAYS))
