"""uv, which makes environments at places in a moment: found on the PATH, or installed by pip.

Installed under .rigs/uv, so that nothing else of the machine finds it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".rigs" / "uv"


@cache
def program() -> Path | None:
    """Return the path of uv, or None."""
    found = shutil.which("uv") or shutil.which("uv", path=FOLDER / "bin")
    return Path(found) if found else None


def missing() -> str:
    """Say what is missing, or nothing."""
    return "" if program() else "no uv on the PATH or under .rigs/uv"


def install() -> None:
    """Install it by pip."""
    words = ("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(FOLDER), "uv")
    subprocess.run([sys.executable, *words], check=True)
    program.cache_clear()
