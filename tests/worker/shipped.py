"""The worker as it is shipped, run by some Python, for tests: the one-shot and the warm way."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ems.compute import ship


class Shipped:
    """A worker file in a folder of its own."""

    def __init__(self, python: str | Path, folder: Path) -> None:
        self.python = str(python)
        self.folder = folder
        self.app = folder / "worker.pyz"
        self.app.write_bytes(ship.zipapp())
        self.objects = folder / "objects"
        self.variables: dict[str, str] = {}

    def code(self, **sources: str) -> dict[str, Any]:
        """Write modules (`lib__inner` is `lib.inner`) into a bundle folder."""
        bundle = self.folder / "bundle"
        modules: dict[str, str] = {}
        for key, text in sources.items():
            name = key.replace("__", ".")
            relative = name.replace(".", "/") + ".py"
            (bundle / relative).parent.mkdir(parents=True, exist_ok=True)
            (bundle / relative).write_text(textwrap.dedent(text))
            modules[name] = relative
        return {"dir": str(bundle), "modules": modules, "search": ["."]}

    def parcel(
        self,
        code: dict[str, Any],
        calls: Sequence[tuple[str, dict[str, Any]]],
        tasks: dict[str, dict[str, Any]] | None = None,
        **keys: Any,
    ) -> dict[str, Any]:
        """Return a parcel of calls of functions in module `work`."""
        names = list(dict.fromkeys(name for name, _ in calls))
        plain = {"kind": "python", "module": "work", "modules": list(code.get("modules", {}))}
        return {
            "schema": 1,
            "parcel": "p1",
            "code": code,
            "tasks": [
                {**plain, "name": name, "qualname": name, **(tasks or {}).get(name, {})}
                for name in names
            ],
            "objects": [str(self.objects)],
            "outbox": str(self.objects),
            "scratch": str(self.folder / "scratch"),
            "attempts": str(self.folder / "attempts"),
            "versions": [
                {"v": f"{at:064x}", "task": names.index(name), "args": args, "seed": 7}
                for at, (name, args) in enumerate(calls)
            ],
            **keys,
        }

    def alone(self, parcel: dict[str, Any]) -> tuple[int, list[dict[str, Any]], bytes]:
        """Run `worker run`; return (exit code, messages, output)."""
        given, events = self.folder / "parcel.json", self.folder / "events.jsonl"
        given.write_text(json.dumps(parcel))
        events.unlink(missing_ok=True)
        output = self.folder / "output"
        with output.open("wb") as stream:
            done = subprocess.run(
                [self.python, str(self.app), "run", str(given), str(events)],
                stdout=stream,
                stderr=stream,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.variables},
                timeout=60,
                check=False,
            )
        lines = events.read_text().splitlines() if events.exists() else []
        return done.returncode, [json.loads(line) for line in lines], output.read_bytes()

    def ends(self, parcel: dict[str, Any]) -> list[dict[str, Any]]:
        """Run `worker run`; return the `end` messages."""
        code, messages, output = self.alone(parcel)
        assert code in (0, 100), output.decode()
        return [each for each in messages if each["ev"] == "end"]

    def serve(self, *parcels: dict[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
        """Give a warm worker parcels, all at once; return (messages, output)."""
        output = self.folder / "output"
        with output.open("wb") as stream:
            done = subprocess.run(
                [self.python, str(self.app), "serve"],
                input=b"".join(json.dumps(each).encode() + b"\n" for each in parcels),
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, **self.variables},
                timeout=60,
                check=False,
            )
        return [json.loads(line) for line in done.stdout.splitlines()], output.read_bytes()
