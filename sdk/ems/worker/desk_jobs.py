"""What a desk can be asked about jobs of its host: start, status, stop, settle, room.

Knows what lies in a job's folder (`desk_supervisor` writes it) and what runs on the host
(`desk_slots`). Nothing here waits for a job.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time

from . import desk_slots
from .desk_files import replace
from .desk_supervisor import Supervisor, alive, begun, boot_id, detach, noted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from .desk_files import Answer, Verb

SETTLES_S = 2.0
"""A worker's last word may be heard before its supervisor has written how it ended."""
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Jobs:
    """What a desk can be asked about jobs."""

    def __init__(self, root: str, beat: Callable[[], None]) -> None:
        self._root, self._beat = root, beat

    def verbs(self) -> Dict[str, Verb]:
        """Return what can be asked for."""
        return {
            "start": self.start, "status": self.status, "stop": self.stop, "room": self.room,
            "settle": self.settle,
        }  # fmt: skip

    def _folder(self, id: str) -> str:
        if not _ID.fullmatch(id):
            raise ValueError("%r is no job's id" % id)
        return os.path.join(self._root, "jobs", id)

    def start(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Take jobs over; answer for each why it was refused, or nothing.

        One that is there already, or was, is not started again.
        """
        has = desk_slots.totals(asked["limits"])
        return {"refused": [self._start(order, has) for order in asked["orders"]]}, b""

    def _start(self, order: Dict[str, Any], has: desk_slots.Amounts) -> str:
        folder = self._folder(order["id"])
        self._beat()
        if begun(folder):
            return ""
        has = desk_slots.of_kind(has, order["gpu_kind"])
        refusal = desk_slots.too_much(order, has)
        if not refusal:
            replace(os.path.join(folder, "order.json"), json.dumps(order).encode())
            detach(Supervisor(self._root, folder, order, has))
        return refusal

    def status(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Answer what is known of jobs, by id; those that nobody started are left out."""
        waiting = desk_slots.line(desk_slots.folder_of(self._root))
        found: Dict[str, Any] = {}
        for id in asked["ids"]:
            known = _status(self._folder(id))
            if known is not None:
                if known["state"] == "waiting" and id in waiting:
                    known["ahead"] = waiting.index(id)
                found[id] = known
        return {"jobs": found}, b""

    def stop(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Ask jobs to end: their supervisors see to it, whatever becomes of this desk."""
        for id in asked["ids"]:
            folder = self._folder(id)
            if not os.path.exists(os.path.join(folder, "exit")) and begun(folder):
                replace(os.path.join(folder, "stop"), json.dumps(asked["grace_s"]).encode())
                made: Dict[str, Any] = noted(folder, "pid") or {}
                for who in ("supervisor", "worker"):
                    if alive(made.get("boot"), made.get(who)):
                        os.kill(made[who][0], signal.SIGTERM)
                        break
        return {}, b""

    def settle(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Wait a moment for the supervisors of jobs that have ended: then their folders may go."""
        until = time.monotonic() + SETTLES_S
        for id in asked["ids"]:
            folder = self._folder(id)
            made: Dict[str, Any] = noted(folder, "pid") or {}
            while alive(made.get("boot"), made.get("supervisor")) and time.monotonic() < until:
                time.sleep(0.01)
        return {}, b""

    def room(self, asked: Dict[str, Any], _: bytes) -> Answer:
        """Answer what jobs may use, what of it is free, and how much of the disk is."""
        has = desk_slots.totals(asked["limits"])
        now = desk_slots.used(desk_slots.folder_of(self._root))
        disk = os.statvfs(self._root)
        free = {
            "cpus": max(0, has.cpus - now.cpus),
            "memory_gib": max(0.0, has.memory_gib - now.memory_gib),
            "gpus": len([each for each in has.gpus if each not in now.gpus]),
            "disk_gib": disk.f_bavail * disk.f_frsize / float(2**30),
        }
        total = {"cpus": has.cpus, "memory_gib": has.memory_gib, "gpus": len(has.gpus)}
        return {"free": free, "total": total}, b""


def _status(folder: str) -> Optional[Dict[str, Any]]:
    made: Dict[str, Any] = noted(folder, "pid") or {}
    then, worker = made.get("boot"), made.get("worker")
    there = alive(then, made.get("supervisor")) or alive(then, worker)
    ended = noted(folder, "exit")  # read last: a supervisor writes it and is gone
    if ended is not None:
        return {"state": "ended", **ended}
    if not made:
        return None
    if there:
        return {"state": "running" if worker else "waiting"}
    if then != boot_id():
        return {"state": "lost", "detail": "the host was restarted while it ran"}
    return {"state": "lost", "detail": "what looked after it on the host was killed"}
