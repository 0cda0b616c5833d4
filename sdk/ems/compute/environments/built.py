"""Environments that are made at a place, of what jobs declare, each once.

A place's own Python is used where it has all that a job needs. Else the environment is asked for,
and made there by a process of the place, which nobody has to wait for or watch. Remembers what the
place answered. Does not know how environments are made, nor how the place is reached.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from ems.compute.environments.front import Front, NoPython
from ems.compute.job import Job, Reason, Recipe
from ems.compute.remote.order import Refused
from ems.errors import StoreError

_SURE_S = 600.0
"""So long a Python is taken for granted; then the place is asked again, which notes its use."""
_EAGER_S, _LONGEST_PAUSE_S = 0.5, 5.0
_TRIES = 3
"""So many makers may be killed before a job is told that its environment can't be made."""


class Recipes(Protocol):
    """Where recipes lie that a job only names."""

    def local_path(self, digest: str) -> Path:
        """Return a file that holds the object; raises StoreError."""
        ...


class _Want(NamedTuple):
    """What one job needs: `parts` of the environment that `recipe` makes, under `key`."""

    key: str
    parts: tuple[tuple[str, str], ...]
    recipe: Recipe
    modules: tuple[str, ...]


@dataclass
class _Known:
    """What the place said of a want, when; whose try is awaited, since when, of how many."""

    python: str = ""
    own: bool = False
    refused: Refused | None = None
    asked: float = float("-inf")
    attempt: str = ""
    since: float = 0.0
    tries: int = 0


class Built:
    """The environments of one place; `pythons` are further ones that they may be made with."""

    def __init__(
        self,
        front: Front,
        recipes: Recipes,
        pythons: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._front, self._recipes, self._pythons = front, recipes, tuple(pythons)
        self._clock = clock
        self._known: dict[_Want, _Known] = {}

    def pythons(self, jobs: Sequence[Job]) -> list[str | Refused | None]:
        """Return the Python for each job, or None while it is made; see `Environments`."""
        wants = [self._want(job) for job in jobs]
        due = [w for w in dict.fromkeys(wants) if w is not None and self._is_due(w)]
        if due:
            self._ask(due)
        found = [self._front.python if w is None else self._answer(w) for w in wants]
        for want in due:
            if self._known[want].refused is not None:
                del self._known[want]  # who comes next tries again
        return found

    def _want(self, job: Job) -> _Want | None:
        """Return what has to be at the place for a job; None where nothing has to."""
        payload: Mapping[str, Any] = job.payload or {}
        declared = cast("Mapping[str, str]", payload.get("env") or job.declared)
        parts = tuple(sorted(each for each in declared.items() if ":" not in each[0]))
        if job.recipe is None or not parts:
            return None
        own = tuple(f"{n.partition(':')[2]}/{v}" for n, v in declared.items() if n[:7] == "module:")
        named = json.dumps([job.recipe.digest, *self._front.modules, *own])
        key = hashlib.sha256(named.encode()).hexdigest()[:32]
        return _Want(key, parts, job.recipe, own)

    def _is_due(self, want: _Want) -> bool:
        known, now = self._known.setdefault(want, _Known()), self._clock()
        if known.own:
            return False
        if known.python:
            return now - known.asked > _SURE_S
        pause = min(_LONGEST_PAUSE_S, max(_EAGER_S, (now - known.since) / 10))
        return not known.attempt or now - known.asked >= pause

    def _answer(self, want: _Want) -> str | Refused | None:
        known = self._known[want]
        if known.refused is not None:
            return known.refused
        return self._front.python if known.own else known.python or None

    # -- asking -----------------------------------------------------------------------------------

    def _ask(self, due: Sequence[_Want]) -> None:
        """Ask the place for all of them at once, and remember what it says."""
        asked: list[_Want] = []
        rows: list[dict[str, Any]] = []
        for want in due:
            try:
                rows.append(self._row(want))
                asked.append(want)
            except (StoreError, OSError) as error:
                self._refuse(want, f"its recipe can't be read: {error}")
        words = {"do": "want", "python": self._front.python, "pythons": self._pythons}
        try:
            answers: list[dict[str, Any]] = []
            if rows:
                answers = self._front.ask({**words, "wants": rows})["rows"]
        except NoPython:  # where jobs run there may be one, and the worker looks for itself
            answers = [{"own": True}] * len(rows)
        for want, answer in zip(asked, answers, strict=True):
            self._learn(want, answer)

    def _row(self, want: _Want) -> dict[str, Any]:
        known = self._known[want]
        recipe = want.recipe.text or None
        if not known.attempt and recipe is None:
            recipe = self._recipes.local_path(want.recipe.digest).read_text("utf-8")
        return {
            "key": want.key,
            "parts": dict(want.parts),
            "modules": [*want.modules],
            "recipe": None if known.attempt else recipe,
            "attempt": known.attempt,
        }

    def _learn(self, want: _Want, said: Mapping[str, Any]) -> None:
        known = self._known[want]
        known.asked = self._clock()
        known.own, known.python = bool(said.get("own")), said.get("python", "")
        if known.own or known.python:
            known.attempt, known.tries = "", 0
        elif "refused" in said:
            self._refuse(want, said["refused"])
        elif "failed" in said:
            self._refuse(want, said["failed"], tried=True)
        elif said["making"] != known.attempt:
            known.attempt, known.since = said["making"], known.since or known.asked
            known.tries += bool(known.attempt)
            if known.tries > _TRIES:
                self._refuse(want, f"what made it was killed, {_TRIES} times", tried=True)

    def _refuse(self, want: _Want, why: str, *, tried: bool = False) -> None:
        told = f"its environment can't be made on {self._front.where}: {why}"
        if tried:
            told += f" (log: {self._front.path('environments', want.key, 'log')})"
        self._known[want].refused = Refused(Reason.ENVIRONMENT, told)
