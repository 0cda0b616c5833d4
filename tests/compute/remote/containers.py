"""The least scheduler for a place in S3: processes that know of nothing but S3."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ems.compute.backend import Capabilities, Room
from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Native, Order, Refused
from ems.compute.remote.starter import starter


class Containers:
    """Jobs are processes in an empty folder; nothing is queued."""

    kind = "containers"
    capabilities = Capabilities(durable=True, targets=("containers",))

    def __init__(self, root: str, folder: Path) -> None:
        self._root, self._folder = root, folder
        folder.mkdir()
        self.jobs: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        return [self._start(order) for order in orders]

    def _start(self, order: Order) -> Refused | None:
        if order.id not in self.jobs:
            words = starter(self._root, order.argv[1].rpartition("/")[2], sys.executable)
            with (self._folder / order.id).open("wb") as log:
                self.jobs[order.id] = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                    env={**os.environ, **order.variables, "EMS_JOB": order.folder},
                    start_new_session=True,
                )  # fmt: skip
        return None

    def look(self, ids: Sequence[str]) -> Mapping[str, Native]:
        return {each: self._native(self.jobs[each].poll()) for each in ids if each in self.jobs}

    def _native(self, code: int | None) -> Native:
        if code is None:
            return Native(JobState.RUNNING)
        if code < 0:
            return Native(JobState.FAILED, Reason.SIGNAL, "was killed", signal=-code)
        return Native(JobState.FAILED if code else JobState.SUCCEEDED, exit_code=code)

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        for each in ids:
            self.jobs[each].send_signal(signal.SIGTERM)

    def forget(self, ids: Sequence[str]) -> None:
        pass

    def room(self) -> Room:
        return Room()

    def version(self) -> str:
        return "containers 1"

    def close(self) -> None:
        for each in self.jobs.values():
            if each.poll() is None:
                each.kill()
            each.wait()
