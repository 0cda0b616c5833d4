"""Which training job is which order's, and which orders wait for a quota.

SageMaker has no queue: a job that a quota leaves no room for is refused. Such an order's request is
written beside its parcel, in S3, so that whoever looks at the place starts it as soon as it may,
also after the one who submitted it is gone. There too stands the name of an order that waited, or
that was forgotten and came again.

    jobs/<id>/training.json     {"name": …} and, while it waits, "request"

Knows requests and names. Does not call SageMaker.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ems.compute.remote.site import Site
from ems.compute.sagemaker.requests import name_of

Request = Mapping[str, Any]
_AT_ONCE = 8
_MOST = 50
"""Lives of one order that are told apart."""


class Written(NamedTuple):
    """What the place has of one order: its job's name, and the request while it waits."""

    name: str
    request: Request | None


class Late(NamedTuple):
    """A request that waits; `why` is empty until SageMaker was asked in this process."""

    request: Request
    why: str = ""


class Tracks:
    """The jobs of one target; may be used by several threads."""

    def __init__(self, prefix: str, site: Site) -> None:
        self._prefix, self._site = prefix, site
        self._names: dict[str, str] = {}
        self._there: set[str] = set()
        self._late: dict[str, Late] = {}
        self._withdrawn: set[str] = set()
        self._lock = threading.Lock()

    # -- names ------------------------------------------------------------------------------------

    def names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the name of each order's job; what is not remembered is read at the place."""
        with self._lock:
            unknown = [id for id in ids if id not in self._names]
        if unknown:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = list(pool.map(self.written, unknown))
            with self._lock:
                for id, written in zip(unknown, found, strict=True):
                    self._names[id] = written.name if written else name_of(self._prefix, id)
                    if written and written.request is not None:
                        self._late.setdefault(id, Late(written.request))
        with self._lock:
            return {id: self._names[id] for id in ids}

    def note(self, id: str, name: str) -> None:
        """Remember that an order's job is there, under this name."""
        with self._lock:
            self._names[id] = name
            self._there.add(id)
            self._late.pop(id, None)
            self._withdrawn.discard(id)

    def has(self, id: str) -> bool:
        """Whether an order is known to have been handed over, without asking."""
        with self._lock:
            return id in self._there or id in self._late

    def generation(self, id: str) -> int:
        """Return which life of an order the place has written down; 1 where none is."""
        written = self.written(id)
        name = written.name if written else ""
        lives = range(2, _MOST)
        return next((n for n in lives if name_of(self._prefix, id, n) == name), 1)

    # -- what waits -------------------------------------------------------------------------------

    def write(self, requests: Mapping[str, Request]) -> None:
        """Write requests by order at the place, before they are made."""
        said = {
            id: {"name": each["TrainingJobName"], "request": each} for id, each in requests.items()
        }
        if said:
            self._site.write({_path(id): json.dumps(each).encode() for id, each in said.items()})

    def write_made(self, id: str, name: str) -> None:
        """Write that an order's job is there under this name, and waits no more."""
        self._site.write({_path(id): json.dumps({"name": name}).encode()})

    def written(self, id: str) -> Written | None:
        """Return what lies at the place for an order."""
        data = self._site.read(_path(id))
        if not data:
            return None
        said: dict[str, Any] = json.loads(data)
        return Written(said["name"], said.get("request"))

    def wait(self, id: str, request: Request, why: str) -> None:
        """Remember that an order, whose request is written, waits."""
        with self._lock:
            self._names[id] = request["TrainingJobName"]
            self._late[id] = Late(request, why)

    def late(self, ids: Iterable[str]) -> dict[str, Late]:
        """Return those that wait, or might: their job has not been seen yet."""
        with self._lock:
            return {id: self._late[id] for id in ids if id in self._late}

    def refresh(self, ids: Iterable[str]) -> None:
        """Read again what the place has of those that wait."""
        for id in self.late(ids):
            written = self.written(id)
            if written is not None and written.request is None:
                self.note(id, written.name)

    def why(self) -> str:
        """Return why any order waits; nothing where none does."""
        with self._lock:
            return next((each.why for each in self._late.values() if each.why), "")

    def withdraw(self, ids: Sequence[str]) -> None:
        """Take orders that wait off the place; nobody starts them then."""
        self._site.remove([_path(id) for id in ids])
        with self._lock:
            self._withdrawn |= set(ids)
            for id in ids:
                self._late.pop(id, None)

    def withdrawn(self, ids: Iterable[str]) -> set[str]:
        """Return those that were taken off before they started."""
        with self._lock:
            return self._withdrawn.intersection(ids)

    def lose(self, id: str) -> None:
        """Let go of an order that waited and that somebody else took off the place."""
        with self._lock:
            self._late.pop(id, None)

    def forget(self, ids: Sequence[str]) -> list[str]:
        """Let go of what is remembered of these orders; return the names of their jobs."""
        with self._lock:
            self._there -= set(ids)
            self._withdrawn -= set(ids)
            for id in ids:
                self._late.pop(id, None)
            return [name for id in ids if (name := self._names.pop(id, None))]


def _path(id: str) -> str:
    return f"jobs/{id}/training.json"
