"""The repository's Pulumi programs, and the engine that runs them.

Knows the engine's command line: what it is asked quietly, and what it does on this terminal. Does
not know what the programs make, nor in which order they run (`order.py`).
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ems.errors import CANCELED, EmsError

ROOT = Path(__file__).resolve().parent.parent


class Interrupted(EmsError):
    """The engine was told to stop, and ended what it had begun."""

    exit_code = CANCELED


@dataclass(frozen=True)
class Program:
    """One Pulumi program of the repository."""

    folder: str

    def pulumi(self, words: Sequence[str]) -> None:
        """Run the engine on this program, on this terminal; what it says is the user's to read.

        Ctrl-C reaches the engine itself, which ends what it has begun: that is waited for, since an
        engine that is killed leaves a lock and things that it does not know.
        """
        command = ["pulumi", "-C", self.folder, *words]
        with subprocess.Popen(command, cwd=ROOT) as process:
            before = signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
            try:
                stopped = _wait(process)
            finally:
                signal.signal(signal.SIGTERM, before)
        subject = f"pulumi {' '.join(words[:1])} in {self.folder}"
        if stopped:
            raise Interrupted(subject, "was interrupted; the same command again goes on from there")
        if process.returncode < 0:
            killed = f"was killed ({signal.Signals(-process.returncode).name})"
            raise EmsError(subject, killed, "docs/how-to/when-up-fails.md, section After a kill")
        if process.returncode:
            problem = f"ended with exit code {process.returncode}; what it says stands above"
            raise EmsError(subject, problem)

    def stacks(self) -> dict[str, int]:
        """Return this program's stacks in the backend, with the number of resources of each."""
        found: list[dict[str, Any]] = self._ask("stack", "ls", "--json")
        return {each["name"].split("/")[-1]: each.get("resourceCount") or 0 for each in found}

    def resources(self, stack: str) -> list[dict[str, Any]]:
        """Return the resources in the state of a stack that is there."""
        deployment = self._ask("stack", "export", "--stack", stack)["deployment"]
        return deployment.get("resources") or []

    def _ask(self, *words: str) -> Any:
        return json.loads(_quietly("-C", self.folder, *words))


def backend() -> str:
    """Return the address of where state is kept; EmsError where the engine is not logged in."""
    return str(json.loads(_quietly("whoami", "--json"))["url"])


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """Wait for the engine's end; return whether somebody asked for it."""
    stopped = False
    while True:
        try:
            process.wait()
            return stopped
        except KeyboardInterrupt:
            stopped = True


def _quietly(*words: str) -> str:
    command = ["pulumi", *words, "--non-interactive"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise EmsError("pulumi", "is not on the PATH", "emsctl check --stack NAME") from None
    if not done.returncode:
        return done.stdout
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    said = " ".join(line.removeprefix("error: ") for line in lines[-2:])
    if "PULUMI_ACCESS_TOKEN" in said or "pulumi login" in said:
        raise EmsError(
            "pulumi",
            "is not logged in to where state is kept",
            "pulumi login 's3://BUCKET?region=REGION', or pulumi login --local to try",
        )
    if "passphrase" in said:
        problem = "the passphrase is not the one that the stack's secrets were encrypted with"
        raise EmsError("PULUMI_CONFIG_PASSPHRASE", problem, "read -rs PULUMI_CONFIG_PASSPHRASE")
    shown = " ".join(word for word in words if word not in ("-C", "--json"))
    raise EmsError(f"pulumi {shown}", said or f"exit code {done.returncode}", "pulumi whoami -v")
