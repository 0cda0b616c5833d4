"""Find submitted jobs by what a person or a program calls them.

An id, the start of an id, a name (the latest of it), what a place calls it, or a handle. Knows the
store's records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ems.errors import UsageError, did_you_mean
from ems.jobs.followed import Followed
from ems.jobs.types import JobHandle
from ems.store.jobs import JobRecords, Ledger

Named = str | JobHandle | Mapping[str, object]
_SUFFIX = 5
"""The length of what stands behind the name in an id: `-k3x9`."""
_LOOKED_THROUGH = 200


class Finding:
    """Looks jobs up in the records of a store at `url`; each record is read once."""

    def __init__(self, records: JobRecords, url: str) -> None:
        self._records, self._url = records, url
        self._ids = records.ids()
        self._known = frozenset(self._ids)
        self._ledgers: dict[str, Ledger] = {}
        self._jobs: dict[str, list[Followed]] = {}

    def jobs(self, named: Sequence[Named]) -> list[Followed]:
        """Return the jobs that are named, each once; UsageError for one that nobody knows."""
        found: dict[str, Followed] = {}
        for each in named:
            for job in self._of(_word(each)):
                found.setdefault(job.ref.id, job)
        return list(found.values())

    def recent(self, submissions: int) -> list[Followed]:
        """Return the jobs of the last submissions, the newest first."""
        ids = self._ids[:submissions]
        return [job for id in ids for job in self._all(self._ledger(id))]

    def _of(self, word: str) -> list[Followed]:
        base, _, number = word.rpartition(".")
        if word in self._known:
            return self._all(self._ledger(word))
        if base in self._known and number.isdigit():
            jobs = self._all(self._ledger(base))
            if not 1 <= int(number) <= len(jobs):
                raise UsageError(f"job {word}", f"{base} has jobs 1 to {len(jobs)}")
            return [jobs[int(number) - 1]]
        named = [id for id in self._ids if id[:-_SUFFIX] == word]
        if named:
            return self._all(self._ledger(named[0]))
        starting = [id for id in self._ids if word and id.startswith(word)]
        if len(starting) > 1:
            listed = ", ".join(starting[:5]) + (", …" if len(starting) > 5 else "")
            raise UsageError(f"job {word}", f"is the start of {len(starting)} ids: {listed}")
        if starting:
            return self._all(self._ledger(starting[0]))
        return self._inside(word)

    def _inside(self, word: str) -> list[Followed]:
        """Look for a job's own name in a list of others, or for what its place calls it."""
        for id in self._ids[:_LOOKED_THROUGH]:
            ledger = self._ledger(id)
            jobs = self._all(ledger)
            natives = {
                (i, n) for (i, n), handle in ledger.handles.items() if handle.get("native") == word
            }
            natives |= {
                (i, n)
                for (i, n), members in ledger.members.items()
                if any(member.get("native") == word for member in members)
            }
            if natives:
                return [jobs[i] for i, _ in natives]
            if same := [job for job in jobs if job.entry.name == word]:
                return same
        known = [*self._ids, *(id[:-_SUFFIX] for id in self._ids)]
        near = did_you_mean(word, known)
        what = f"is no job in this store{near}" if self._ids else "this store has no jobs"
        raise UsageError(f"job {word}", what, "emsctl job status")

    def _ledger(self, id: str) -> Ledger:
        if id not in self._ledgers:
            found = self._records.get([id])
            if not found:
                raise UsageError(f"job {id}", "its record is gone", "emsctl job status")
            self._ledgers[id] = found[0]
        return self._ledgers[id]

    def _all(self, ledger: Ledger) -> list[Followed]:
        id = ledger.submission.id
        if id not in self._jobs:
            self._jobs[id] = followed(ledger, self._url)
        return self._jobs[id]


def followed(ledger: Ledger, url: str) -> list[Followed]:
    """Return the jobs of a submission."""
    jobs = enumerate(ledger.submission.jobs)
    return [Followed(JobHandle(e.id, e.name, e.target, url), ledger, i) for i, e in jobs]


def _word(named: Named) -> str:
    if isinstance(named, (str, JobHandle)):
        return str(named)
    return str(named.get("id", ""))
