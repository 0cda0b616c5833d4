"""A place to run things at: a backend, an object folder, a project bundle, and shorthands."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ems.compute.backend import Backend
from ems.compute.job import Handle, Job, JobStatus
from ems.errors import StoreError
from ems.hashing import digest_bytes


class Kept:
    """A folder of objects, as a backend sees the store."""

    def __init__(self, folder: Path) -> None:
        self.outbox = str(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def local_path(self, digest: str) -> Path:
        path = Path(self.outbox) / digest[:2] / digest
        if not path.exists():
            raise StoreError(self.outbox, f"there is no object {digest}")
        return path


class Place:
    """A backend with an object folder, a project bundle and shorthands."""

    def __init__(self, backend: Backend, folder: Path, attempts: Path | None = None) -> None:
        self.backend = backend
        self.folder = folder
        self.objects = folder / "objects"
        self.attempts = attempts or folder / "attempts"
        self.cursors: dict[str, int] = {}
        self._versions = 0
        self._bundles = 0

    def put(self, data: bytes) -> str:
        """Keep an object; return its digest."""
        digest = digest_bytes(data)
        path = self.objects / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return digest

    def read(self, digest: str) -> bytes:
        return (self.objects / digest[:2] / digest).read_bytes()

    def code(self, source: str, **more: str) -> dict[str, Any]:
        """Return the `code` of a parcel: module `work` and others, as a bundle folder."""
        self._bundles += 1
        bundle = self.folder / f"bundle-{self._bundles}"
        modules: dict[str, str] = {}
        files: dict[str, str] = {}
        for name, text in {"work": source, **more}.items():
            relative = name.replace(".", "/") + ".py"
            path = bundle / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
            modules[name] = relative
            files[relative] = self.put(path.read_bytes())
        return {"dir": str(bundle), "files": files, "modules": modules, "search": ["."]}

    def parcel(
        self,
        source: str | dict[str, Any],
        calls: Sequence[tuple[str, dict[str, Any]]],
        task: dict[str, Any] | None = None,
        **keys: Any,
    ) -> dict[str, Any]:
        """Return a parcel that calls functions of module `work`."""
        code = self.code(source) if isinstance(source, str) else source
        names = list(dict.fromkeys(name for name, _ in calls))
        tasks = [
            {
                "kind": "python",
                "name": name,
                "module": "work",
                "qualname": name,
                "modules": list(code["modules"]),
                **(task or {}),
            }
            for name in names
        ]
        versions: list[dict[str, Any]] = []
        for name, args in calls:
            self._versions += 1
            versions.append(
                {
                    "v": f"{self._versions:064x}",
                    "gen": 1,
                    "try": 1,
                    "task": names.index(name),
                    "args": args,
                    "seed": self._versions,
                }
            )
        return {
            "schema": 1,
            "parcel": f"parcel-{self._versions}",
            "code": code,
            "env": {},
            "tasks": tasks,
            "places": {},
            "objects": [str(self.objects)],
            "outbox": str(self.objects),
            "scratch": str(self.folder / "scratch"),
            "attempts": str(self.attempts),
            "versions": versions,
            **keys,
        }

    def job(self, command: Sequence[str], **keys: Any) -> Job:
        """Return a plain job."""
        folders = {"objects": (str(self.objects),), "outbox": str(self.objects)}
        return Job("plain", command=tuple(command), **{**folders, **keys})

    def submit(self, parcel: dict[str, Any], **keys: Any) -> Handle:
        return self.backend.submit([Job("work", parcel, **keys)])[0]

    def status(self, handle: Handle) -> JobStatus:
        return self.backend.poll([handle])[0]

    def until(self, true: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < deadline, "it did not come to that"
            self.backend.wait(0.05)

    def finish(self, handle: Handle, timeout_s: float = 20.0) -> JobStatus:
        """Wait for a job's end."""
        self.until(lambda: self.status(handle).state.ended, timeout_s)
        return self.status(handle)

    def messages(self, handle: Handle) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.backend.events(handle, 0)[0]]

    def ends(self, handle: Handle) -> list[dict[str, Any]]:
        return [each for each in self.messages(handle) if each["ev"] == "end"]

    def run(self, parcel: dict[str, Any], **keys: Any) -> list[dict[str, Any]]:
        """Run a parcel to its end; return its `end` messages."""
        handle = self.submit(parcel, **keys)
        self.finish(handle)
        return self.ends(handle)

    def log(self, handle: Handle) -> bytes:
        return self.backend.logs(handle, 0)[0]
