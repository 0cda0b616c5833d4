"""The contenders' programs: EMS's own, and each peer in an environment of its own.

A peer is installed once from its pinned list, `peers/<peer>.txt`, and again when the list has
changed. One that can't be installed is reported with the reason, never left out in silence.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BUILT = BENCH.parent / ".bench"
PEERS = BENCH / "peers"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a contender's programs are. `missing` says why there is none."""

    name: str
    bin: Path
    version: str
    missing: str | None = None

    def program(self, name: str) -> str:
        return str(self.bin / name)

    def variables(self, folder: Path, **more: str) -> dict[str, str]:
        """A clean environment: its own programs first, a home that nothing has been in before."""
        home = folder / "home"
        home.mkdir(exist_ok=True)
        path = f"{self.bin}{os.pathsep}/usr/local/bin{os.pathsep}/usr/bin{os.pathsep}/bin"
        return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "DO_NOT_TRACK": "1", **more}


def ems() -> Environment:
    """EMS as installed beside the Python that runs this."""
    binary = Path(sys.executable).parent
    version = _version(binary, "emsctl")
    if not (binary / "emsctl").exists():
        return Environment("ems", binary, version, f"{binary / 'emsctl'} does not exist")
    return Environment("ems", binary, version)


def peer(name: str, install: bool) -> Environment:
    """The peer's environment, made if it is not there yet and may be."""
    folder = BUILT / "envs" / name
    pins = PEERS / f"{name}.txt"
    stamp = folder / "pins.sha256"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    binary = folder / "bin"
    if stamp.exists() and stamp.read_text() == wanted:
        return Environment(name, binary, _version(binary, name))
    if not install:
        return Environment(name, binary, "", "is not installed (--no-install)")
    why = _install(folder, pins)
    if why:
        return Environment(name, binary, "", f"can't be installed: {why}")
    stamp.write_text(wanted)
    return Environment(name, binary, _version(binary, name))


def _install(folder: Path, pins: Path) -> str | None:
    """Make the environment; the reason if that fails."""
    venv.EnvBuilder(with_pip=True, clear=True).create(folder)
    command = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "-r"]
    done = subprocess.run([*command, str(pins)], check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
    return lines[-1]


def _version(binary: Path, name: str) -> str:
    ask = f"import importlib.metadata as m; print(m.version({name!r}))"
    command = [str(binary / "python"), "-c", ask]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip()
