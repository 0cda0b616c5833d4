"""What each row is called, what its unit is, and the goal that EMS has there.

Goals are data: a row says whether its goal is met, and nothing fails where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench import place_names


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the results. A goal is an upper bound, or a lower one where `at_least`."""

    id: str
    title: str
    unit: str = "s"
    goal: float | None = None
    at_least: bool = False

    def met(self, value: float) -> bool | None:
        if self.goal is None:
            return None
        return value >= self.goal if self.at_least else value <= self.goal


STEP_S = 0.05
"""How long a step of the fold takes."""

_GOALS = {
    "tasks.1000.cold": 0.25,
    "tasks.10000.cold": 1.5,
    "tasks.1000.cached": 0.1,
    "tasks.10000.cached": 0.2,
    "tasks.100000.cached": 1.5,
    "plan.100000": 1.0,
    "plan.100000.memory": 150.0,
}

_CODE = "code of 100 modules, 30,000 lines"

_FIXED = (
    Row("growth.cold", "growth of a cold run: exponent of n (1 is linear)", "", 1.1),
    Row("growth.cached", "growth of a cached run: exponent of n", "", 1.1),
    Row("growth.plan", "growth of a plan: exponent of n", "", 1.1),
    Row("start.python", "an interpreter that does nothing"),
    Row("start.help", "`--help`", goal=0.060),
    Row("start.one", "one task, cached", goal=0.15),
    Row("code.first", f"{_CODE}: first digest", goal=1.0),
    Row("code.unchanged", f"{_CODE}: nothing changed", goal=0.010),
    Row("code.edit", f"{_CODE}: one module edited", goal=0.030),
    Row("code.first.process", f"{_CODE}: first digest, the whole process"),
    Row("code.unchanged.process", f"{_CODE}: nothing changed, the whole process"),
    Row("code.edit.process", f"{_CODE}: one module edited, the whole process"),
    Row("fold.first", "fold of 63 arrivals, cold"),
    Row("fold.none", "fold of 63 arrivals, nothing new"),
    Row("fold.new", f"fold of 64 arrivals, one new (a step takes {STEP_S} s)", goal=0.15 + STEP_S),
    Row("fold.added", "fold: what the new arrival added to the run with nothing new"),
    Row("sky.preview", "`pulumi preview` of `paper`"),
    Row("sky.up", "`pulumi up` of `paper`"),
    Row("sky.preview.ratio", "preview of `paper`: times a flat program's", "", 2.0),
    Row("sky.up.ratio", "up of `paper`: times a flat program's", "", 2.0),
)


def row(name: str) -> Row:
    """The row of that id; sizes stand in the ids."""
    for fixed in _FIXED:
        if fixed.id == name:
            return fixed
    kind, size, *rest = name.split(".")
    if kind in place_names.KINDS:
        return Row(name, *place_names.described(name))
    goal = _GOALS.get(name)
    if kind == "tasks":
        return Row(name, f"{int(size):,} trivial tasks, {rest[0]}", goal=goal)
    if kind == "plan" and rest:
        return Row(name, f"plan of {int(size):,} tasks: memory added", "MiB", goal)
    if kind == "plan":
        tasks = "one task" if size == "1" else f"{int(size):,} tasks"
        return Row(name, f"plan of {tasks}", goal=goal)
    if kind == "content":
        return _content(name, int(size), rest[0])
    raise KeyError(name)


_KINDS = ("tasks", "plan", "growth", "start", "code", "content", "fold", "sky")
_KINDS += place_names.KINDS
_PLACES = {fixed.id: place for place, fixed in enumerate(_FIXED)}


def place(name: str) -> tuple[int, int]:
    """Where the row stands among the others; raises KeyError for one that is none."""
    if name in _PLACES:
        return _KINDS.index(name.split(".", maxsplit=1)[0]), _PLACES[name]
    row(name)
    kind, size, *_ = name.split(".")
    if kind in place_names.KINDS:
        return _KINDS.index(kind), place_names.order(name)
    return _KINDS.index(kind), int(size)


def _content(name: str, size_mib: int, what: str) -> Row:
    title = f"content digest of {size_mib / 1024:g} GiB, in the page cache"
    if what == "process":
        return Row(name, title)
    if what == "hash":
        return Row(name, f"{title}: within the process")
    title = f"{title}: speed as a share of hashlib's on all cores"
    return Row(name, title, "%", 0.9, at_least=True)
