"""What an ended attempt leaves, brought into the store: outputs, output, and the words of its end.

Knows a backend by its interface and the store's objects. Does not know attempts or records.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.compute.backend import Backend
from ems.compute.job import Handle, JobStatus
from ems.store.jobs import End
from ems.worker import protocol

if TYPE_CHECKING:
    from ems.store.store import Store

PIECE = 4 * 2**20


class Keeping:
    """Keeps what ended jobs leave in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def end(self, backend: Backend, status: JobStatus) -> End:
        """Return how a job ended; what it left is in the store, if that may be written."""
        message = last_word(backend, status.handle)
        files: list[list[Any]] = message.get("files") or []
        if files and self._store.writable:
            self._store.objects.publish([str(row[0]) for row in files])
        outputs = message.get("out") if message.get("ok") else None
        return End(
            status.state.value, status.reason.value if status.reason else "", status.exit_code,
            status.signal, status.detail, outputs if isinstance(outputs, dict) else {},
            self._log(backend, status.handle), message.get("t0"),
            message.get("t1") or time.time(),
        )  # fmt: skip

    def _log(self, backend: Backend, handle: Handle) -> list[Any] | None:
        if not self._store.writable:
            return None
        with tempfile.TemporaryDirectory(prefix="ems-log-") as folder:
            path, since = Path(folder) / "output", 0
            with path.open("wb") as stream:
                while True:
                    data, since = backend.logs(handle, since, since + PIECE)
                    if not data:
                        break
                    stream.write(data)
            if not path.stat().st_size:
                return None
            return list(self._store.objects.put_path(path))


def last_word(backend: Backend, handle: Handle) -> dict[str, Any]:
    """Return the `end` message of a job; empty where it has said none."""
    found: dict[str, Any] = {}
    for line in backend.events(handle, 0)[0]:
        if line.startswith(protocol.END_PREFIX):
            found = protocol.decode(line)
    return found
