"""The driver of many small jobs: one Ray job whose tasks are the jobs of a batch.

    python3 driver.py ROOT BATCH CHILD.py

It is a file of its own that is copied to the cluster and run by the cluster's Python with its Ray;
nothing of EMS. `ROOT/ray/BATCH/batch.json` says which jobs and what each needs; Ray starts as many
at once as fit. What is known of them stands in `ROOT/ray/BATCH/states.json`; `stop/` beside it
holds who shall be ended. Every truth is in the jobs' folders (see child.py), so a driver that is
started again goes on: what has ended is not run again, and what still runs is waited for.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ems.compute.ray import child
else:
    import child  # lies beside this file

_LOOK_S = 0.25
_SOON = 64
"""How many of the jobs that wait are looked at for having begun; Ray starts them in order."""
_SILENT_S = 8.0
"""After its Ray process is gone, a job may be so long without a beat."""
_SILENT_ADOPTED_S = 20.0
_MOST_TRIES = 3


def run_child(order: dict[str, Any], script: str) -> dict[str, Any]:
    """Run one job on the node that Ray chose, and return its state; a Ray task."""
    import json
    import subprocess
    import sys

    import ray

    context: Any = ray.get_runtime_context()
    order["ray_node"] = context.get_node_id()
    order["variables"] = {"RAY_ADDRESS": context.gcs_address, **order["variables"]}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", script, order["folder"], "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.close()
    said = process.stdout.read()
    process.wait()
    return json.loads(said) if said else {"state": "claimed"}


def hold(folder: str, silent_s: float) -> None:
    """Hold on a node what a job takes there that an earlier driver had started; a Ray task."""
    import json
    import os
    import time

    beat, since = "", time.monotonic()
    while time.monotonic() - since < silent_s:
        try:
            with open(os.path.join(folder, "ray.json")) as stream:
                if json.load(stream)["state"] == "ended":
                    return
            with open(os.path.join(folder, "ray.beat")) as stream:
                now = stream.read()
            if now != beat:
                beat, since = now, time.monotonic()
        except (OSError, ValueError):
            pass
        time.sleep(0.5)


class Orphan:
    """A job that goes on without a Ray task that waits for it: alive as long as its beat moves."""

    def __init__(self, folder: str, silent_s: float, told: dict[str, Any]) -> None:
        self._folder, self._silent_s, self._told = folder, silent_s, told
        self._beat = ""
        self._since = time.monotonic()

    def look(self) -> dict[str, Any]:
        """Return its state; ended, and lost, after too long a silence."""
        state = child.get(self._folder, child.STATE)
        if state is not None and state["state"] == "ended":
            return state
        try:
            with open(os.path.join(self._folder, child.BEAT)) as stream:
                beat = stream.read()
        except OSError:
            beat = self._beat
        if beat != self._beat:
            self._beat, self._since = beat, time.monotonic()
        if time.monotonic() - self._since < self._silent_s:
            return state or {"state": "running"}
        # should it come back from the dead, it ends
        child.put(self._folder, child.STOP, {"why": "lost", "grace": 0, **self._told})
        lost = {**child.ended("lost", "its process is gone"), **self._told}
        lost["node"] = (state or {}).get("node", "")
        child.put(self._folder, child.STATE, lost)
        return lost


class Driver:
    """A batch, until all its jobs have ended."""

    def __init__(self, ray: Any, folder: str, script: str) -> None:
        self._ray, self._folder, self._script = ray, folder, script
        with open(os.path.join(folder, "batch.json")) as stream:
            batch = json.load(stream)
        self._orders: dict[str, dict[str, Any]] = {each["id"]: each for each in batch["orders"]}
        self._task = ray.remote(max_retries=0, **batch["needs"])(run_child)
        self._hold = ray.remote(max_retries=0, **batch["needs"])(hold)
        self._states: dict[str, dict[str, Any]] = {}
        self._waiting: dict[str, Any] = {}
        self._by_ref: dict[Any, str] = {}
        self._orphans: dict[str, Orphan] = {}
        self._tries: dict[str, int] = {}
        self._holds: list[Any] = []
        self._stops: set[str] = set()
        self._written = ""

    def run(self) -> None:
        """Run what has not ended."""
        for id, order in self._orders.items():
            state = child.get(order["folder"], child.STATE)
            if state is not None and state["state"] == "ended":
                self._states[id] = state
            elif os.path.exists(os.path.join(order["folder"], child.CLAIM)):
                self._adopt(id, state or {})
            else:
                self._start(id)
        while self._by_ref or self._orphans:
            self._round()
        self._write()

    def _adopt(self, id: str, state: dict[str, Any]) -> None:
        folder = self._orders[id]["folder"]
        self._orphans[id] = Orphan(folder, _SILENT_ADOPTED_S, {})
        node = state.get("ray_node")
        if node:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            there = self._hold.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            )
            self._holds.append(there.remote(folder, _SILENT_ADOPTED_S))

    def _start(self, id: str) -> None:
        self._tries[id] = self._tries.get(id, 0) + 1
        ref = self._task.remote(self._orders[id], self._script)
        self._waiting[id] = ref
        self._by_ref[ref] = id

    def _round(self) -> None:
        began = time.monotonic()
        self._heed()
        for id in list(self._waiting)[:_SOON]:
            state = child.get(self._orders[id]["folder"], child.STATE)
            if state is not None:
                self._states[id] = state
                del self._waiting[id]
        for id, orphan in list(self._orphans.items()):
            self._states[id] = orphan.look()
            if self._states[id]["state"] == "ended":
                del self._orphans[id]
        self._write()
        refs = list(self._by_ref)
        rest = max(0.0, _LOOK_S - (time.monotonic() - began))
        if refs:
            done, _ = self._ray.wait(refs, timeout=rest)
            if done:
                done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
            for ref in done:
                self._settle(ref)
        else:
            time.sleep(rest)

    def _heed(self) -> None:
        """End what shall be ended and has not begun; what runs reads of it in its own folder."""
        folder = os.path.join(self._folder, "stop")
        try:
            new = sorted(set(os.listdir(folder)) - self._stops)
        except FileNotFoundError:
            return
        for name in new:
            asked = child.get(folder, name) if name.endswith(".json") else None
            if asked is None:
                continue
            self._stops.add(name)
            for id in asked["ids"]:
                self._end_unstarted(id)

    def _end_unstarted(self, id: str) -> None:
        ref = self._waiting.get(id)
        if ref is None or not self._give_up(id, child.ended("canceled", "was canceled")):
            return
        self._ray.cancel(ref)
        del self._waiting[id]
        self._by_ref.pop(ref, None)

    def _give_up(self, id: str, state: dict[str, Any]) -> bool:
        """End a job that nobody has begun; False where somebody has."""
        folder = self._orders[id]["folder"]
        if not child.claim(folder):
            return False
        state["node"] = ""
        child.put(folder, child.STATE, state)
        self._states[id] = state
        return True

    def _settle(self, ref: Any) -> None:
        id = self._by_ref.pop(ref)
        self._waiting.pop(id, None)
        folder = self._orders[id]["folder"]
        told: dict[str, Any] = {}
        try:
            state = self._ray.get(ref)
            if state["state"] == "ended":
                self._states[id] = state
                return
        except self._ray.exceptions.RayError as error:
            told = _verdict(self._ray, error)
            if not os.path.exists(os.path.join(folder, child.CLAIM)):
                self._again(id, told)
                return
            if told["why"] == "out_of_memory":
                child.put(folder, child.STOP, {**told, "grace": 0})
        self._orphans[id] = Orphan(folder, _SILENT_S, told)

    def _again(self, id: str, told: dict[str, Any]) -> None:
        """A task that failed before its job began is tried again, a few times."""
        if self._tries[id] < _MOST_TRIES:
            self._start(id)
        elif not self._give_up(id, {**child.ended(), **told}):
            self._orphans[id] = Orphan(self._orders[id]["folder"], _SILENT_S, told)

    def _write(self) -> None:
        text = json.dumps(self._states)
        if text != self._written:
            child.put(self._folder, "states.json", self._states)
            self._written = text


def _verdict(ray: Any, error: Exception) -> dict[str, Any]:
    """Return why a task is gone, in the words of child.py."""
    text = " ".join(str(error).split())[:500]
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return {"why": "out_of_memory", "detail": "Ray ended it: its node ran low on memory"}
    if isinstance(error, ray.exceptions.RuntimeEnvSetupError):
        return {"why": "environment", "detail": text}
    return {"why": "lost", "detail": "its node or its Ray process is gone: %s" % text}


def main(root: str, batch: str, script: str) -> None:
    """Run a batch to its end."""
    import importlib

    ray: Any = importlib.import_module("ray")  # its own types are not whole
    ray.init(log_to_driver=False)
    Driver(ray, os.path.join(root, "ray", batch), script).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
