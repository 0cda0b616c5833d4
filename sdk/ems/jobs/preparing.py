"""From what a person wrote down of jobs to a record of them, and from a record to jobs.

Puts inputs into the store and reads what environments declare. Starts nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ems.compute.backend import Capabilities
from ems.compute.job import Job, Recipe
from ems.compute.jobfile.making import job_of, meet_s_of, members_of, retries_of, targets_of
from ems.compute.jobfile.reading import Read, plain, read_value
from ems.compute.jobfile.types import JobSpec
from ems.errors import UsageError
from ems.jobs.followed import JOIN
from ems.store.jobs import Entry, Submission
from ems.store.leases import start_of

if TYPE_CHECKING:
    from ems.store.objects import Objects

_DIGEST = re.compile(r"[0-9a-f]{64}(-[0-9]+)?")


@dataclass(frozen=True)
class Prepared:
    """A job that only its id and its target are missing of."""

    spec: JobSpec
    inputs: Mapping[str, str]
    declared: Mapping[str, str]
    recipe: str = ""
    """The object that says how its environment is made, where something is declared of it."""

    @property
    def on(self) -> tuple[str, ...]:
        """Return the words that say where it may run."""
        return targets_of(self.spec.on)

    @property
    def asked(self) -> list[tuple[str, ...]]:
        """Return those words of each role of a gang, or of the job."""
        roles = self.spec.roles
        return [targets_of(self.spec.on if r.on is None else r.on) for r in roles] or [self.on]


class Preparing:
    """Prepares jobs of one file; what several of them name is read once."""

    def __init__(self, objects: Objects, cache: Path, folder: Path) -> None:
        self._objects, self._cache, self._folder = objects, cache, folder
        self._put: dict[Path, Mapping[str, str]] = {}
        self._environments: dict[str, tuple[Mapping[str, str], str]] = {}

    def prepare(self, spec: JobSpec) -> Prepared:
        """Return a job with its inputs in the store; UsageError where one can't be had."""
        inputs: dict[str, str] = {}
        for inside, said in spec.inputs.items():
            inputs |= self._input(spec.name, inside.rstrip("/"), said)
        declared, recipe = self._declared(spec)
        return Prepared(spec, inputs, declared, recipe)

    def _input(self, job: str, inside: str, said: str) -> Mapping[str, str]:
        path = self._folder / Path(said).expanduser()
        if _DIGEST.fullmatch(said) and not path.exists():
            if not self._objects.exists([said]):
                raise UsageError(f"job {job}: input {inside}", f"the store has no object {said}")
            return {inside: said}
        found = self._put.get(path)
        if found is None:
            found = self._put[path] = self._put_path(f"job {job}: input {inside}", path)
        return {(f"{inside}/{below}" if below else inside): each for below, each in found.items()}

    def _put_path(self, subject: str, path: Path) -> Mapping[str, str]:
        """Return the digests of a file, or of all files below a folder, by their paths in it."""
        try:
            if not path.is_dir():
                return {"": self._objects.put_path(path).digest}
            files = sorted(each for each in path.rglob("*") if each.is_file())
            return {
                each.relative_to(path).as_posix(): self._objects.put_path(each).digest
                for each in files
            }
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UsageError(
                subject, f"{path} can't be read: {why}", "a path relative to the job's file"
            ) from None

    def _declared(self, spec: JobSpec) -> tuple[Mapping[str, str], str]:
        """Return the parts of a job's environment, which must be there where it runs, and a recipe.

        The recipe is in the store, by this digest, for places that make what they don't have.
        """
        words = plain(spec).get("environment", {})
        known = self._environments.get(repr(words))
        if known is not None or not words:
            return known or ({}, "")
        from ems.pipeline.environment import Environment

        found = Environment.at(self._folder, self._cache, words)
        parts = found.parts(())
        if "python" not in words and found.lock is None:
            parts.pop("python", None)  # nobody asked for the Python that is here
        if found.lock is not None:
            parts |= {name: version for name, version in found.lock.pins.items() if version}
        recipe = found.recipe(parts) if found.lock is not None or "python" in words else None
        if recipe is not None:
            self._objects.put_bytes(recipe.text.encode())
        made = self._environments[repr(words)] = parts, recipe.digest if recipe else ""
        return made


def submission_of(
    prepared: Sequence[Prepared],
    targets: Sequence[str],
    id: str,
    who: str,
    folder: Path,
    *,
    apart: bool = False,
) -> Submission:
    """Return the record of jobs under an id; `apart`: they must outlive this process."""
    import os
    from platform import node

    several = len(prepared) > 1
    entries: list[Entry] = []
    for place, (each, target) in enumerate(zip(prepared, targets, strict=True), start=1):
        count, reasons = retries_of(each.spec)
        job_id = f"{id}.{place}" if several else id
        entries.append(
            Entry(
                job_id,
                each.spec.name,
                target,
                _hex(id, place),
                plain(each.spec),
                each.inputs,
                each.declared,
                count,
                sorted(reasons),
                recipe=each.recipe,
                apart=apart and bool(each.spec.roles),
            )
        )
    pid = os.getpid()
    return Submission(id, who, node(), time.time(), entries, pid, start_of(pid), str(folder))


def job_of_entry(entry: Entry, attempt: int, outbox: str, folder: str) -> Job:
    """Return the job of an attempt; the same for everybody who reads the record."""
    job = job_of(_spec_of(entry, folder), entry.inputs, entry.declared)
    return _complete(job, entry, outbox)._replace(on=(entry.target,), key=_hex(entry.key, attempt))


def members_of_entry(entry: Entry, attempt: int, outbox: str, folder: str) -> list[Job]:
    """Return the members of a try of a gang, by rank; the same for everybody who reads it."""
    spec = _spec_of(entry, folder)
    whole = _complete(job_of(spec, entry.inputs, entry.declared), entry, outbox)
    return members_of(whole, entry.key, _hex(entry.key, attempt), meet_s_of(spec))


def _spec_of(entry: Entry, folder: str) -> JobSpec:
    return read_value(dict(entry.spec), Path(folder), f"job {entry.id}").jobs[0]


def _complete(job: Job, entry: Entry, outbox: str) -> Job:
    return job._replace(
        name=entry.name,
        objects=(outbox,),
        outbox=outbox,
        recipe=Recipe(entry.recipe) if entry.recipe else None,
        # who watches tries again, for every kind of place alike
        retries=0,
    )


def name_of(read: Read) -> str:
    """Return what the id of a submission begins with: the name of its first job."""
    return read.jobs[0].name


def choose_first(capabilities: Capabilities) -> Callable[[Sequence[Prepared]], list[str]]:
    """Return what sends each job to the first of its targets that is there; UsageError if none."""

    def choose(prepared: Sequence[Prepared]) -> list[str]:
        return [JOIN.join(dict.fromkeys(_first(each, capabilities))) for each in prepared]

    return choose


def _first(prepared: Prepared, capabilities: Capabilities) -> Iterator[str]:
    targets = capabilities.targets
    for on in prepared.asked:
        lack = capabilities.lack(on, prepared.declared)
        if lack is not None:
            problem = f"{lack.problem} (allowed: {lack.allowed})"
            raise UsageError(f"job {prepared.spec.name}", problem, lack.next_step)
        yield next((word for word in on if word in targets), targets[0])


def _hex(text: str, number: int) -> str:
    return sha256(f"ems job {text} {number}".encode()).hexdigest()[:32]
