"""Other CPython interpreters, for what is shipped to places: found, or installed by apt or pyenv.

Looks on the PATH, under .rigs/python, and where pyenv and uv keep theirs. Downloads nothing itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.rigs import apt

OLDEST = "3.8"
BETWEEN = "3.12"
NEWEST = "3.13"

ROOT = Path(__file__).resolve().parents[2]


@cache
def interpreter(version: str) -> Path | None:
    """Return a CPython of `version` ("3.8") that starts, or None."""
    return next((path for path in _candidates(version) if _is(path, version)), None)


def missing(version: str) -> str:
    """Say what is missing, or nothing."""
    if interpreter(version):
        return ""
    return f"no python{version} on the PATH, under .rigs/python, ~/.pyenv or uv's folder"


def install(version: str) -> None:
    """Install it by apt where Debian or Ubuntu has it, else by pyenv where that is set up."""
    name = f"python{version}"
    if apt.usable() and _apt_has(name):
        apt.install([name])
    elif shutil.which("pyenv"):
        subprocess.run(["pyenv", "install", "--skip-existing", version], check=True)
    interpreter.cache_clear()


def _candidates(version: str) -> list[Path]:
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = home / ".local/share/uv/python"
    found = [Path(p) for p in [shutil.which(f"python{version}")] if p]
    found += sorted((ROOT / ".rigs/python").glob(f"{version}*/bin/python3"))
    found += sorted((pyenv / "versions").glob(f"{version}.*/bin/python"))
    found += sorted(uv.glob(f"cpython-{version}.*/bin/python3"))
    return found


def _is(path: Path, version: str) -> bool:
    """Whether it starts and is that version (a shim may name one that is not there)."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [path, "-c", code], capture_output=True, text=True, timeout=20, check=False
        )
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def _apt_has(name: str) -> bool:
    """Whether there is a version to install; a name that others depend on may have none."""
    done = subprocess.run(
        ["apt-cache", "policy", name], capture_output=True, text=True, check=False
    )
    return "Candidate: " in done.stdout and "Candidate: (none)" not in done.stdout
