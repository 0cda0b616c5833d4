"""Records of submitted jobs: what was asked for, written before anything is handed over, and what
was seen of it since.

    jobs/<submission>.json              one for all jobs of a submission; never changed
    jobs/<submission>.said/<name>.json  words: an attempt has a handle, an attempt has ended

Every writer of words has files of its own, so that nobody loses anybody's; of two that say how an
attempt ended, the first counts. Knows the form of records (schema 1). What a job's specification
means is up to those who submit it; values of secrets are in none.
"""

# records are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ems.errors import StoreError
from ems.store.reach import Needs
from ems.store.root import Root
from ems.store.segment import newer

SCHEMA = 1
FOLDER = "jobs/"
_SAID = ".said/"
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_NO_TEXT: Mapping[str, str] = {}


class Entry(NamedTuple):
    """One job of a submission.

    `spec` is the job as its file says it, with references in place of secrets; `inputs` are by
    digest, `declared` the parts of its environment, `recipe` the object that says how that is made.
    `target` is where it goes, `key` what the keys of its attempts are made of; it is tried
    `retries` times more after one of `retry_on`. `apart`: members of a gang go only where jobs
    outlive the process that submits them.
    """

    id: str
    name: str
    target: str
    key: str
    spec: Mapping[str, Any]
    inputs: Mapping[str, str] = _NO_TEXT
    declared: Mapping[str, str] = _NO_TEXT
    retries: int = 0
    retry_on: Sequence[str] = ()
    apart: bool = False
    recipe: str = ""


class Submission(NamedTuple):
    """Jobs that were submitted together, by whom, and when (Unix time).

    `pid` and `born` name the process that submitted them on `host`: jobs that can't outlive it are
    gone when it is.
    """

    id: str
    who: str
    host: str
    t: float
    jobs: Sequence[Entry]
    pid: int = 0
    born: int = 0
    folder: str = ""


class End(NamedTuple):
    """How an attempt ended. `outputs` are trees by name, `log` `[digest, size]` of its output.

    `members` are those of a gang, by rank: name, state, reason, place, log and so on.
    """

    state: str
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    outputs: Mapping[str, Any] = {}
    log: Sequence[Any] | None = None
    t0: float | None = None
    t1: float | None = None
    members: Sequence[Mapping[str, Any]] = ()


class Word(NamedTuple):
    """What somebody saw of attempt `n` (from 1) of job `i` of a submission.

    Of a gang: `seats` are the places of its members, by rank, settled before any is handed over;
    `handles` theirs; `stop` how it will end, settled before the members that run are told to.
    """

    i: int
    n: int
    t: float
    handle: Mapping[str, Any] | None = None
    end: End | None = None
    seats: Sequence[str] = ()
    handles: Sequence[Mapping[str, Any]] = ()
    stop: End | None = None


class Ledger:
    """A submission and all that was said of it so far."""

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.handles: dict[tuple[int, int], Mapping[str, Any]] = {}
        self.ends: dict[tuple[int, int], End] = {}
        self.seats: dict[tuple[int, int], Sequence[str]] = {}
        self.members: dict[tuple[int, int], Sequence[Mapping[str, Any]]] = {}
        self.stops: dict[tuple[int, int], End] = {}
        self._read: set[str] = set()

    def take(self, key: str, words: Iterable[Word]) -> None:
        """Take in one file of words; who says a thing first is right."""
        self._read.add(key)
        for word in words:
            if word.handle is not None:
                self.handles.setdefault((word.i, word.n), word.handle)
            if word.end is not None:
                self.ends.setdefault((word.i, word.n), word.end)
            if word.seats:
                self.seats.setdefault((word.i, word.n), word.seats)
            if word.handles:
                self.members.setdefault((word.i, word.n), word.handles)
            if word.stop is not None:
                self.stops.setdefault((word.i, word.n), word.stop)

    def knows(self, key: str) -> bool:
        """Whether a file of words was read."""
        return key in self._read

    def attempt(self, i: int) -> int:
        """Return which attempt at a job counts now: the first that no other one follows."""
        entry, n = self.submission.jobs[i], 1
        while (end := self.ends.get((i, n))) is not None and again(entry, n, end):
            n += 1
        return n


def again(entry: Entry, n: int, end: End) -> bool:
    """Whether another attempt follows attempt `n` that ended so."""
    return end.state == "failed" and n <= entry.retries and end.reason in entry.retry_on


class JobRecords:
    """The records at one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def create(self, name: str, make: Callable[[str], Submission]) -> Submission:
        """Write the record of a new submission, whose id begins with `name`, and return it.

        `make` gives the submission of an id. On return it would survive a power cut.
        """
        while True:
            made = make(f"{name}-{_four_letters()}")
            data = {"schema": SCHEMA, **made._asdict()}
            data["jobs"] = [
                _small({**entry._asdict(), "apart": entry.apart or None}) for entry in made.jobs
            ]
            if self._root.put_new(f"{FOLDER}{made.id}.json", _encoded(data)):
                return made

    def ids(self) -> list[str]:
        """Return the ids of all submissions, the newest first."""
        found = [stat for stat in self._root.list(FOLDER) if _is_record(stat.key)]
        found.sort(key=lambda stat: stat.mtime, reverse=True)
        return [_id_of(stat.key) for stat in found]

    def get(self, ids: Sequence[str]) -> list[Ledger]:
        """Return those of the submissions that are there, with what was said of them by now."""
        keys = [f"{FOLDER}{id}.json" for id in ids]
        found: list[Ledger] = []
        for key, data in zip(keys, self._root.get_many(keys), strict=True):
            if data is not None:
                found.append(Ledger(self._submission(key, data)))
                self.refresh(found[-1])
        return found

    def refresh(self, ledger: Ledger) -> None:
        """Take in what others said since."""
        prefix = f"{FOLDER}{ledger.submission.id}{_SAID}"
        new = [s.key for s in self._root.list(prefix) if s.key.endswith(".json")]
        new = [key for key in new if not ledger.knows(key)]
        for key, data in zip(new, self._root.get_many(new), strict=True):
            if data is not None:
                ledger.take(key, self._words(key, data))

    def say(self, ledger: Ledger, words: Sequence[Word]) -> None:
        """Write words down, in one file; on return they would survive a power cut.

        What others said before is taken in first, and wins.
        """
        self.refresh(ledger)
        name = f"{int(time.time() * 1000):013d}-{os.urandom(4).hex()}"
        key = f"{FOLDER}{ledger.submission.id}{_SAID}{name}.json"
        self._root.put_new(key, _rows(words))
        ledger.take(key, words)

    def settle(self, ledger: Ledger, what: str, word: Word) -> None:
        """Write down what only one writer may say of an attempt: its `seats`, or its `stop`.

        Whoever writes first is right; on return the ledger holds what that one said.
        """
        key = f"{FOLDER}{ledger.submission.id}{_SAID}{what}-{word.i}-{word.n}.json"
        self._root.put_new(key, _rows([word]))
        self.refresh(ledger)

    def needs(self) -> Needs:
        """Return the objects that records and words name."""
        found = Needs()
        for _, data in self._all():
            needs = Needs.of(data)
            found.named |= needs.named
            found.opened |= needs.opened
        return found

    def objects(self) -> Iterator[tuple[str, str]]:
        """Yield (digest, job) of inputs, outputs and kept output; of records that can be read."""
        for id in self.ids():
            try:
                ledger = self.get([id])[0]
            except (StoreError, IndexError):
                continue
            jobs = ledger.submission.jobs
            yield from ((digest, job.id) for job in jobs for digest in job.inputs.values())
            for (i, _), end in ledger.ends.items():
                logs = [end.log, *(member.get("log") for member in end.members)]
                yield from ((str(log[0]), jobs[i].id) for log in logs if log)
                for tree in end.outputs.values():
                    yield from ((str(row[0]), jobs[i].id) for row in tree.values())

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield (key, what is wrong) of records and words that can't be read."""
        for key, data in self._all():
            try:
                read = self._submission if _is_record(key) else self._words
                read(key, data)
            except StoreError as error:
                yield key, error.problem

    def _all(self) -> Iterator[tuple[str, bytes]]:
        keys = [s.key for s in self._root.list(FOLDER) if s.key.endswith(".json")]
        for key, data in zip(keys, self._root.get_many(keys), strict=True):
            if data is not None:
                yield key, data

    def _submission(self, key: str, data: bytes) -> Submission:
        found = self._document(key, data)
        try:
            entries = [Entry(**_known(Entry, each)) for each in found["jobs"]]
            fields: dict[str, Any] = {**_known(Submission, found), "jobs": entries}
            return Submission(**fields)
        except (KeyError, TypeError) as error:
            raise self._unread(key, str(error)) from None

    def _words(self, key: str, data: bytes) -> list[Word]:
        found = self._document(key, data)
        words: list[Word] = []
        try:
            for each in found["words"]:
                ends: dict[str, Any] = {
                    key: End(**_known(End, each[key])) if each.get(key) else None
                    for key in ("end", "stop")
                }
                fields: dict[str, Any] = {**_known(Word, each), **ends}
                words.append(Word(**fields))
        except (KeyError, TypeError) as error:
            raise self._unread(key, str(error)) from None
        return words

    def _document(self, key: str, data: bytes) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(data)
            schema = found["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._unread(key, str(error)) from None
        if not isinstance(schema, int) or schema > SCHEMA:
            raise newer(self._root.url, key, schema)
        return found

    def _unread(self, key: str, why: str) -> StoreError:
        said = f"{key} can't be read as a record of jobs ({why})"
        return StoreError(self._root.url, said, "emsctl check")


def _is_record(key: str) -> bool:
    return _SAID not in key and key.endswith(".json")


def _id_of(key: str) -> str:
    return key.removeprefix(FOLDER).removesuffix(".json")


def _known(kind: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row that this release knows: a later one of schema 1 may add some."""
    return {name: row[name] for name in kind._fields if name in row}


def _rows(words: Sequence[Word]) -> bytes:
    def row(word: Word) -> dict[str, Any]:
        end, stop = (_small(each._asdict()) if each else None for each in (word.end, word.stop))
        return _small({**word._asdict(), "end": end, "stop": stop})

    return _encoded({"schema": SCHEMA, "words": [row(word) for word in words]})


def _small(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in row.items() if each not in (None, "", (), {}, [])}


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _four_letters() -> str:
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in os.urandom(4))
