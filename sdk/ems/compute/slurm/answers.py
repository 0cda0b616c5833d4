"""What Slurm's commands and a job's own files say, parsed.

Knows texts: squeue, sacct, sinfo, `scontrol show config` and the files that the scripts leave. Does
not know how they are come by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ems.compute.backend import Room
from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Native
from ems.compute.slurm.states import native, of_all

# -- files beside a job -------------------------------------------------------------------------


GANG = "gang"


class Record(NamedTuple):
    """Who an order is in Slurm: the job's name, the index in its array, its id once it is known.

    In a gang, the job is that of all its members, and the index says which of its tasks it is.
    """

    name: str
    at: int
    job: str = ""
    gang: bool = False

    @property
    def first_line(self) -> str:
        """Return the line that the submission wrote before it asked sbatch."""
        return f"{self.name} {self.at}{f' {GANG}' if self.gang else ''}"


class Left(NamedTuple):
    """What a job's files say: who it is, whether it was begun, how it ended."""

    record: Record | None = None
    started: bool = False
    exit: Native | None = None


FILES = ("ems-native", "ems-started", "ems-exit")


def left(text: str, ids: Iterable[str]) -> dict[str, Left]:
    """Return what files say, from lines `id/file:line`; one that has none is empty."""
    found: dict[str, dict[str, list[str]]] = {each: {} for each in ids}
    for line in text.splitlines():
        path, colon, content = line.partition(":")
        id, _, name = path.partition("/")
        if colon and id in found:
            found[id].setdefault(name, []).append(content)
    return {
        id: Left(
            _record(files.get("ems-native", [])),
            "ems-started" in files,
            _exit(files.get("ems-exit", [])),
        )
        for id, files in found.items()
    }


def _record(lines: Sequence[str]) -> Record | None:
    name, index, kind = [*(lines[0].split(" ") if lines else ()), "", "", ""][:3]
    if not name or not index.isdigit():
        return None
    job = lines[1].strip() if len(lines) > 1 else ""
    return Record(name, int(index), job if job.isdigit() else "", kind == GANG)


def _exit(lines: Sequence[str]) -> Native | None:
    """Return how a job ended by its own word: `code`, or `code reason sentence`."""
    words = lines[0].split(" ", 2) if lines else []
    if not words or not words[0].isdigit():
        return None
    code = int(words[0])
    if len(words) == 3 and words[1] == Reason.CANCELED:
        return Native(JobState.CANCELED, Reason.CANCELED, words[2])
    if len(words) == 3 and words[1] in set(Reason):
        return Native(JobState.FAILED, Reason(words[1]), words[2], code)
    if code == 0:
        return Native(JobState.SUCCEEDED, exit_code=0)
    if code > 128:
        detail = f"its worker was ended by signal {code - 128}"
        return Native(JobState.FAILED, Reason.SIGNAL, detail, signal=code - 128)
    return Native(JobState.FAILED, Reason.EXIT, f"its worker ended with exit code {code}", code)


# -- the queue ----------------------------------------------------------------------------------

FIELDS = ("Name", "ArrayJobID", "ArrayTaskID", "State", "exit_code", "NodeList", "Reason")
QUEUE = ",".join(f"{field}:|" for field in FIELDS)
"""squeue's format; a field with a suffix has no width, so nothing is cut."""


class Queued(NamedTuple):
    """One job as squeue knows it; `task` is its index in an array, None without one.

    `parts` are the ids of a gang's jobs: its own, or those of its components.
    """

    job: str
    task: int | None
    native: Native
    parts: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """Return what scancel names it by."""
        return self.job if self.task is None else f"{self.job}_{self.task}"

    @property
    def steps(self) -> str:
        """Return what scancel names a gang's members by: the one step that they are."""
        return " ".join(f"{job}.0" for job in self.parts)


class Queue:
    """What squeue knows of jobs, by their names."""

    def __init__(self, text: str) -> None:
        self._jobs: dict[str, list[Queued]] = {}
        self._tasks: dict[tuple[str, int | None], list[Queued]] = {}
        """The same by name and index: an array has thousands."""
        for line in text.splitlines():
            fields = line.split("|", len(FIELDS) - 1)
            if len(fields) == len(FIELDS):
                name, job, task, state, status, place, reason = fields
                said = native(state, reason.rstrip("|"), _number(status), place)
                queued = Queued(job, _number(task), said)
                self._jobs.setdefault(name, []).append(queued)
                self._tasks.setdefault((name, queued.task), []).append(queued)

    def find(self, record: Record) -> Queued | None:
        """Return what is known of an order.

        Of an array what was canceled while it was waiting is told by one line without an index, or
        not at all: then the others of the array are there, and it is not.
        """
        if record.gang:
            return self._gang(record)
        for task in (record.at, None):
            for each in self._tasks.get((record.name, task), ()):
                if _same(each, record):
                    return each
        others = self._jobs.get(record.name, ())
        job = next((each.job for each in others if _same(each, record)), None)
        return None if job is None else Queued(job, record.at, CANCELED)

    def _gang(self, record: Record) -> Queued | None:
        """Return what is known of a gang; the jobs of a name are its components, the first leads.

        Their ids follow on one another; one that is missing was forgotten before the others.
        """
        jobs = sorted(self._jobs.get(record.name, []), key=lambda each: int(each.job))
        jobs = [each for each in jobs if not record.job or int(each.job) >= int(record.job)]
        if not jobs:
            return None
        said = of_all([each.native for each in jobs])
        return Queued(record.job or jobs[0].job, None, said, tuple(each.job for each in jobs))


CANCELED = native("CANCELLED", "")


def _same(queued: Queued, record: Record) -> bool:
    return not record.job or queued.job == record.job


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


# -- accounting ---------------------------------------------------------------------------------

ACCOUNT = "JobID,State,ExitCode,NodeList"


def accounted(text: str) -> dict[str, Native]:
    """Return what sacct knows, by the word for a job: `12`, or `12_3` in an array.

    The components of a heterogeneous job (`12+0`, `12+1`) are one, `12`.
    """
    found: dict[str, list[Native]] = {}
    for line in text.splitlines():
        fields = line.split("|", 3)
        if len(fields) != 4 or not re.fullmatch(r"\d+([_+]\d+)?", fields[0]):
            continue
        code, _, number = fields[2].partition(":")
        status = None
        if code.isdigit() and number.isdigit():
            status = int(code) << 8 | int(number) & 0x7F
        word = fields[0].partition("+")[0]
        found.setdefault(word, []).append(native(fields[1], "", status, fields[3]))
    return {word: of_all(natives) for word, natives in found.items()}


# -- the cluster --------------------------------------------------------------------------------


class Config(NamedTuple):
    """What of the cluster's configuration matters here."""

    version: str = ""
    most_in_array: int = 1001
    accounting: bool = False


def config(text: str) -> Config:
    """Return it from `scontrol show config`."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    found = {key.strip(): value.strip() for key, value in pairs}
    most = _number(found.get("MaxArraySize", ""))
    storage = found.get("AccountingStorageType", "")
    return Config(
        found.get("SLURM_VERSION", "of an unknown version"),
        1001 if most is None else most,
        bool(storage) and not storage.endswith(("none", "(null)")),
    )


_NODES = ("Partition", "Available", "StateLong", "Nodes", "CPUsState", "Gres", "GresUsed", "Reason")
NODES = ",".join(f"{field}:|" for field in _NODES)
_STARTS = ("idle", "mixed", "allocated", "completing", "planned")


class Nodes(NamedTuple):
    """Nodes of a partition that are alike."""

    partition: str
    default: bool
    state: str
    number: int
    free: int
    total: int
    free_gpus: int
    why: str

    @property
    def starts(self) -> bool:
        """Whether jobs may start on them, now or later."""
        return self.state in _STARTS


def nodes(text: str) -> list[Nodes]:
    """Return the nodes that sinfo lists."""
    found: list[Nodes] = []
    for line in text.splitlines():
        fields = line.split("|", len(_NODES) - 1)
        if len(fields) != len(_NODES):
            continue
        name, available, state, count, cpus, gres, used, why = fields
        numbers = [_number(part) or 0 for part in cpus.split("/")]
        if len(numbers) != 4:
            continue
        free, total, many = numbers[1], numbers[3], _number(count) or 0
        state = state.rstrip("*~#!%$@^-+") if available == "up" else f"partition {available}"
        gpus = max(0, _gpus(gres) - _gpus(used)) * many if state in _STARTS else 0
        found.append(
            Nodes(
                name.rstrip("*"), name.endswith("*"), state, many,
                free if state in _STARTS else 0, total, gpus, why.rstrip("|"),
            )
        )  # fmt: skip
    return found


def _gpus(gres: str) -> int:
    """Return how many GPUs `gpu:t4:2(S:0),gpu:1` are."""
    plain = re.sub(r"\([^)]*\)", "", gres)
    words = (word.split(":") for word in plain.split(","))
    return sum(_number(word[-1]) or 0 for word in words if word[0] == "gpu" and len(word) > 1)


def of_partition(all_of_them: Sequence[Nodes], partition: str) -> list[Nodes]:
    """Return the nodes of a partition, of several (`a,b`), or of the default one."""
    if partition:
        return [each for each in all_of_them if each.partition in partition.split(",")]
    default = [each for each in all_of_them if each.default]
    return default or list(all_of_them)


def room(there: Sequence[Nodes]) -> Room:
    """Return what could start on these nodes; why nothing can is told when none takes jobs."""
    usable = [each for each in there if each.starts]
    total = sum(each.total for each in there)
    if usable:
        free, gpus = sum(each.free for each in usable), sum(each.free_gpus for each in usable)
        return Room(free, total, gpus)
    said = [f"{each.number} {each.state}{_because(each.why)}" for each in there]
    return Room(0, total, 0, "no node takes jobs: " + (", ".join(said) or "there is none"))


def _because(why: str) -> str:
    return f" ({why})" if why not in ("", "none") else ""
