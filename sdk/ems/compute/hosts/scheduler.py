"""Jobs of one host, started by its desk; each is looked after by a process there.

Several brokers may share a host: what jobs hold of it lies there (`ems.worker.desk_slots`). Knows
the desk's words and turns them into EMS's. Asks and never waits.

The states are our own, written by `ems.worker.desk_supervisor`; the exit codes are those of
`ems.worker.alone`; a signal is the wait status of the worker (POSIX.1-2017, waitpid).
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ems.compute.backend import Capabilities, Room
from ems.compute.job import JobState, Reason
from ems.compute.remote.desk import DeskSite
from ems.compute.remote.order import Native, Order, Refused
from ems.worker.alone import CANCELED, DONE, PREEMPTED, TASK_FAILED

_ORDERS_AT_ONCE = 50
_CODES: Mapping[int, tuple[JobState, Reason | None, str]] = {
    DONE: (JobState.SUCCEEDED, None, ""),
    TASK_FAILED: (JobState.FAILED, Reason.EXIT, "a version of it did not end well"),
    PREEMPTED: (JobState.FAILED, Reason.PREEMPTED, "was asked to end, and not by EMS"),
    CANCELED: (JobState.CANCELED, Reason.CANCELED, "was canceled"),
}
_WHYS: Mapping[str, tuple[JobState, Reason, str]] = {
    "canceled": (JobState.CANCELED, Reason.CANCELED, "was canceled"),
    "preempted": (JobState.FAILED, Reason.PREEMPTED, "was asked to end, and not by EMS"),
    "timed_out": (JobState.FAILED, Reason.TIMED_OUT, "took longer than all of its limits together"),
    "environment": (JobState.FAILED, Reason.ENVIRONMENT, "its environment can't be had there"),
    "worker": (JobState.FAILED, Reason.WORKER, "could not be looked after"),
}


@dataclass(frozen=True)
class Limits:
    """What jobs may use of a host; None is all that there is.

    `gpus` is how many, or which.
    """

    slots: int | None = None
    memory_gib: float | None = None
    gpus: int | tuple[str, ...] | None = None

    def words(self) -> dict[str, Any]:
        """Return them as a desk reads them."""
        return {"cpus": self.slots, "memory_gib": self.memory_gib, "gpus": self.gpus}


class HostScheduler:
    """Starts jobs through the desk of a site; `name` is the word that `on=` leads here by."""

    kind = "ssh"

    def __init__(self, site: DeskSite, limits: Limits, targets: tuple[str, ...]) -> None:
        self._site, self._limits = site, limits.words()
        self.capabilities = Capabilities(
            push=False, durable=True, gpus=True, modules=True, targets=targets,
            most_jobs=limits.slots or 1,
        )  # fmt: skip

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        """Hand jobs over; those that need more than the host has are refused."""
        found: list[Refused | None] = []
        home = str(self._site.hello()["home"])
        for at in range(0, len(orders), _ORDERS_AT_ONCE):
            some = [_words(order, home) for order in orders[at : at + _ORDERS_AT_ONCE]]
            says = self._site.ask("start", {"orders": some, "limits": self._limits}).says
            found += [Refused(Reason.IMPOSSIBLE, why) if why else None for why in says["refused"]]
        return found

    def look(self, ids: Sequence[str]) -> Mapping[str, Native]:
        """Return what is known of each job; one request."""
        says = self._site.ask("status", {"ids": list(ids)}).says
        return {id: self._native(known) for id, known in says["jobs"].items()}

    def _native(self, known: Mapping[str, Any]) -> Native:
        where = self._site.where
        if known["state"] == "waiting":
            ahead = known.get("ahead", 0)
            line = f", behind {ahead} other job{'s' * (ahead > 1)}" if ahead else ""
            return Native(JobState.SUBMITTED, waiting=f"waits for a slot of {where}{line}")
        if known["state"] == "running":
            return Native(JobState.RUNNING, place=where)
        if known["state"] == "lost":
            return Native(JobState.FAILED, Reason.LOST, known["detail"], place=where)
        return _ended(known, where)

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        """Have jobs ended there, whether or not the host can be reached meanwhile."""
        self._site.ask("stop", {"ids": list(ids), "grace_s": grace_s})

    def forget(self, ids: Sequence[str]) -> None:
        """Have those who looked after the jobs be gone; what else is kept is the jobs' folders."""
        self._site.ask("settle", {"ids": list(ids)})

    def room(self) -> Room:
        """Return the slots and GPUs that nobody holds."""
        says = self._ask_for_room()
        free, total = says["free"], says["total"]
        return Room(float(free["cpus"]), float(total["cpus"]), free["gpus"])

    def version(self) -> str:
        """Return what answers, and how much of it is in use."""
        hello, says = self._site.hello(), self._ask_for_room()
        free, total = says["free"], says["total"]
        gpus = f", {total['gpus'] - free['gpus']} of {total['gpus']} GPUs" if total["gpus"] else ""
        return (
            f"Python {hello['python']}, {total['cpus'] - free['cpus']} of {total['cpus']} slots"
            f"{gpus} in use, {free['disk_gib']:.0f} GiB of disk free"
        )

    def _ask_for_room(self) -> Mapping[str, Any]:
        return self._site.ask("room", {"limits": self._limits}).says

    def close(self) -> None:
        """The site holds the session."""


def _words(order: Order, home: str) -> dict[str, Any]:
    """Return an order as a desk reads it."""
    python, *rest = order.argv
    if python.startswith("~/"):
        order = order._replace(argv=(home + python[1:], *rest))
    return {
        "id": order.id,
        "name": order.name,
        "shell": order.shell(),
        "cpus": order.resources.cpus,
        "memory_gib": order.resources.memory_gib,
        "gpus": order.resources.gpus,
        "gpu_kind": order.resources.gpu_kind,
        "variables": dict(order.variables),
        "secrets": dict(order.secrets),
        "wall_s": order.wall_s,
        "grace_s": order.grace_s,
        "modules": list(order.modules),
    }


def _ended(known: Mapping[str, Any], where: str) -> Native:
    code, number = known.get("code"), known.get("signal")
    why, detail = known.get("why", ""), known.get("detail", "")
    if why in _WHYS and code not in (DONE, CANCELED):  # else its own word goes before
        state, reason, sentence = _WHYS[why]
    elif isinstance(code, int) and code in _CODES:
        state, reason, sentence = _CODES[code]
    elif number is not None:
        state, reason = JobState.FAILED, Reason.SIGNAL
        sentence = f"the worker was ended by {_signal_name(number)}"
    else:
        state, reason, sentence = JobState.FAILED, Reason.WORKER, f"ended with exit code {code}"
    return Native(state, reason, detail or sentence, code, number, place=where)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
