"""What the rows of the computation layer are called, their units and goals: places and movement.

places.slurm.100   instance.slurm.100   memory.slurm.100     a number of jobs at a place
places.slurm.over  broker.slurm.cpu                          what follows from several
move.ssh.in.1024   move.ssh.in   move.mounted.1024           MiB into a site and out of it
"""

from __future__ import annotations

KINDS = ("places", "broker", "move", "instance", "memory")
PLACES = {
    "local": "this machine",
    "ssh": "a host by ssh",
    "slurm": "Slurm",
    "kubernetes": "Kubernetes",
    "ray": "Ray",
    "batch": "AWS Batch (moto)",
}
SITES = {"folder": "a folder", "ssh": "a host by ssh", "s3": "S3 (moto)", "mounted": ""}
_MANY = 100_000

Described = tuple[str, str, float | None, bool]
"""Title, unit, goal, and whether it is a lower bound."""
_FOLLOWS: dict[str, tuple[str, str, float | None]] = {
    "over": ("what EMS adds to each job beyond a tenth of a native job's time", "s", 0.005),
    "parcels": ("tasks in parcels: times the fastest bare way's", "", 1.0),
    "growth": ("growth of jobs: exponent of n (1 is linear)", "", 1.1),
    "memory": ("memory that the most jobs add to that of one", "MiB", 16.0),
    "cpu": ("the broker's share of a core while 1,000 jobs wait and run", "%", 0.05),
    "commands": ("that of the commands that it runs", "%", None),
    "rss": ("the broker's memory with 1,000 jobs", "MiB", None),
}


def described(name: str) -> Described:
    """Return what a row is called, its unit and its goal."""
    kind, where, *rest = name.split(".")
    if kind == "move":
        return _moved(where, rest)
    if not rest[0].isdigit():
        title, unit, goal = _FOLLOWS[rest[0]]
        return f"{PLACES[where]}: {title}", unit, goal, False
    jobs = "an empty job" if rest[0] == "1" else f"{int(rest[0]):,} empty jobs"
    what = {"instance": ": instance time", "memory": ": EMS's own memory"}.get(kind, "")
    return f"{jobs} on {PLACES[where]}{what}", "MiB" if kind == "memory" else "s", None, False


def _moved(site: str, rest: list[str]) -> Described:
    if rest == ["growth"]:
        return "a task on mounted data: the largest, times the smallest", "", 1.2, False
    if site == "mounted":
        return f"a task that reads {_size(int(rest[0]))} where it lies", "s", None, False
    towards = f"{'into' if rest[0] == 'in' else 'out of'} {SITES[site]}"
    if len(rest) > 1:
        return f"{_size(int(rest[1]))} {towards}", "s", None, False
    return f"data {towards}: rate as a share of the plain copy's", "%", 0.9, True


def order(name: str) -> int:
    """Return where a row stands among those of its kind: place by place, what follows last."""
    kind, where, *rest = name.split(".")
    known = list(SITES if kind == "move" else PLACES)
    way = int(kind == "move" and rest[0] == "out")
    size = int(rest[-1]) if rest[-1].isdigit() else _MANY
    return (2 * known.index(where) + way) * 2 * _MANY + size


def _size(mib: int) -> str:
    return f"{mib / 1024:g} GiB" if mib >= 1024 else f"{mib} MiB"
