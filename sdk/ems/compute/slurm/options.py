"""sbatch's options for orders, and which of a user's own can stand beside them.

Pure. Does not know the batch script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ems.compute.remote.order import Order
from ems.errors import UsageError

_OWN = {
    "array": "a", "chdir": "D", "comment": "", "cpus-per-task": "c", "error": "e", "export": "",
    "export-file": "", "get-user-env": "", "gpus": "G", "gres": "", "gpus-per-node": "",
    "gpus-per-task": "", "hold": "H", "input": "i", "job-name": "J", "mem": "", "mem-per-cpu": "",
    "mem-per-gpu": "", "nodes": "N", "no-requeue": "", "ntasks": "n", "open-mode": "",
    "output": "o", "parsable": "", "requeue": "", "signal": "", "test-only": "", "time": "t",
    "wait": "W", "wrap": "",
}  # fmt: skip
_KEYS = {"account": "A", "partition": "p", "qos": "q"}


def check(place: str, key: str, options: Sequence[str]) -> None:
    """Raise UsageError for words that EMS sets itself, or that are no options."""
    subject = f"target {place}"
    for word in options:
        if not word.startswith("-") or word in ("-", "--"):
            allowed = "options of sbatch with their values in one word: --constraint=a100"
            raise UsageError(subject, f"{key}: {word!r} is no option (allowed: {allowed})")
        own = _name(word, _OWN)
        if own:
            raise UsageError(
                subject, f"{key}: {word!r}: EMS sets --{own} itself, from what a job declares"
            )
        named = _name(word, _KEYS) if key == "options" else ""
        if named:
            raise UsageError(
                subject, f"{key}: {word!r} has a key of its own", f"{named}: … under the target"
            )


def _name(word: str, known: dict[str, str]) -> str:
    """Return which of the known options a word is, or nothing; sbatch takes beginnings too."""
    if not word.startswith("--"):
        return next((name for name, letter in known.items() if letter and letter == word[1]), "")
    stem = word[2:].partition("=")[0]
    return stem if stem in known else ""


def words(order: Order, name: str, root: str, count: int, site: Sequence[str]) -> list[str]:
    """Return the options for `count` orders that are alike; `site` are the target's own.

    Slurm's standard output and error go nowhere: the worker's are in the job's folder, and what
    goes wrong before the worker starts is written there by the batch script. A preemption or a
    limit of time gives a job Slurm's KillWait after the SIGTERM; --signal is not used, since Slurm
    may then send it a minute early, and a task would lose that minute. Disk space is not asked for:
    few sites tell Slurm of it, and the others would refuse every job.
    """
    resources = order.resources
    made = [
        *_common(order, name, root), "--nodes=1", "--ntasks=1",
        f"--cpus-per-task={_cpus(order)}",
    ]  # fmt: skip
    if resources.memory_gib:
        made.append(f"--mem={math.ceil(resources.memory_gib * 1024)}M")
    if resources.gpus:
        made.append(f"--gres=gpu:{_gpus(order)}")
    made += _limit(order.wall_s)
    if count > 1:
        made.append(f"--array=0-{count - 1}")
    return [*made, *site]


def together(
    parts: Sequence[Sequence[Order]], name: str, root: str, sites: Sequence[Sequence[str]]
) -> list[str]:
    """Return the options for a gang; a part is what needs the same, and has its own of `sites`.

    More than one part makes it a heterogeneous job: `:` stands between them. A task may share a
    node with others, so memory and GPUs are asked for by CPU and by task.
    """
    walls = [order.wall_s for part in parts for order in part if order.wall_s is not None]
    unlimited = len(walls) < sum(map(len, parts))
    made: list[str] = []
    for part, site in zip(parts, sites, strict=True):
        first = part[0]
        made += [":"] if made else []
        made += [*_common(first, name, root), *shape(part)]
        if first.resources.gpus:
            made.append(f"--gpus-per-task={_gpus(first)}")
        made += [*_limit(None if unlimited else max(walls)), *site]
    return made


def shape(part: Sequence[Order]) -> list[str]:
    """Return how many tasks a part of a gang has and what each gets, for sbatch and srun alike."""
    first, cpus = part[0], _cpus(part[0])
    made = [f"--ntasks={len(part)}", f"--cpus-per-task={cpus}"]
    if first.resources.memory_gib:
        made.append(f"--mem-per-cpu={math.ceil(first.resources.memory_gib * 1024 / cpus)}M")
    return made


def _common(order: Order, name: str, root: str) -> list[str]:
    return [
        "--parsable", f"--job-name={name}", f"--comment=ems:{order.id}", f"--chdir={root}",
        "--output=/dev/null", "--error=/dev/null", "--input=/dev/null", "--export=ALL",
        "--no-requeue",
    ]  # fmt: skip


def _cpus(order: Order) -> int:
    return max(1, math.ceil(order.resources.cpus))


def _gpus(order: Order) -> str:
    kind = f"{order.resources.gpu_kind}:" if order.resources.gpu_kind else ""
    return f"{kind}{order.resources.gpus}"


def _limit(wall_s: float | None) -> list[str]:
    return [] if wall_s is None else [f"--time={max(1, math.ceil(wall_s / 60))}"]
