"""The environment `sandbox` on the engine: the programs copied, and run in the order of `make up`.

The engine writes into the files of a stack, so it runs on a copy; the tree is never written to.
Knows which lines of the log tell why it failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from tests.rigs.sandbox.parts import Failure, marked
from tests.rigs.sandbox.place import STACK, Place, shown
from tests.rigs.sandbox.surroundings import environment
from tests.rigs.sky.project import ROOT, Project

_OWN = ("encryptionsalt", "secretsprovider", "encryptedkey")
"""What the engine keeps in the file of a stack."""
_SHOWN = 20


def copy(place: Place) -> None:
    """Bring the copy of the programs and settings up to date with the tree."""
    project = Project.repository()
    kept: dict[str, str] = {}
    if place.settings.exists():
        document = yaml.safe_load(place.settings.read_text()) or {}
        kept = {key: document[key] for key in _OWN if key in document}
    for name in project.copied:
        for each in (place.project / name).rglob("*"):
            if each.is_file() and not (ROOT / each.relative_to(place.project)).exists():
                each.unlink()
    project.write(place.project)
    if kept:
        with place.settings.open("a") as file:
            file.write(yaml.safe_dump(kept))


def abandoned(place: Place) -> str:
    """Say that an engine was killed at its work; empty where none was.

    It leaves a lock, and what it was just making may be there without being in the state. Raises
    Failure where the engine that holds the lock is alive: somebody else is at work.
    """
    for lock in (place.state / ".pulumi/locks").rglob("*.json"):
        try:
            pid = int(json.loads(lock.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return "an engine was killed while it began"
        if _is_engine(pid):
            raise Failure(f"pulumi is at work in it (pid {pid}). Try again when it has ended")
        return f"an engine was killed at its work (pid {pid})"
    return ""


def deploy(place: Place, endpoint: str, *, clusters: bool) -> None:
    """Deploy what the copy says; raises Failure with what the engine said."""
    for folder in (place.state, place.home):
        folder.mkdir(exist_ok=True)
    words = ["up", STACK, "--yes", "--skip-preview", *([] if clusters else ["--no-clusters"])]
    with place.log("up").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.order", *words],
            cwd=place.project,
            # this folder's own `infra`, not the tree's
            env={**environment(place, endpoint), **marked(place, "work"), "PYTHONSAFEPATH": "",
                 "PULUMI_OPTION_COLOR": "never", "PYTHONPATH": ""},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )  # fmt: skip
        code = _wait(process)
    if code:
        path = place.log("up")
        whole = f"the environment was not deployed (all of it: {shown(path)})"
        raise Failure(f"{whole}\n{_said(path)}")


def resources(place: Place) -> int:
    """Return how many resources the state holds."""
    count = 0
    for file in (place.state / ".pulumi/stacks").rglob(f"{STACK}.json"):
        deployment = json.loads(file.read_text()).get("checkpoint", {}).get("latest") or {}
        count += len(deployment.get("resources") or [])
    return count


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end; Ctrl-C reaches the engine too, which ends what it began."""
    interrupted = False
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            if not interrupted:
                print("\nsandbox: ending what was begun", flush=True)
            interrupted = True
            continue
        if interrupted:
            raise KeyboardInterrupt
        return code


def _is_engine(pid: int) -> bool:
    """Whether an engine lives under this id; one that was killed may not be buried yet."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return False
    return name == "pulumi" and rest.split()[0] not in ("Z", "X")


def _said(log: Path) -> str:
    """Return what a log says is wrong: the errors of its diagnostics, or its end without any."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith("Diagnostics:")]
    if starts:
        wrong = [line.strip() for line in lines[starts[-1] :] if line.startswith("    error:")]
        told = [line for line in wrong if line != "error: update failed"]
    else:
        told = lines
    return "\n".join(f"  {line}" for line in told[-_SHOWN:])
