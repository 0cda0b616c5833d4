"""Debian's packages for the rigs: installed by apt, whose lists are fetched where they are too old.

Knows apt alone. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence


def usable() -> bool:
    """Whether packages can be installed here."""
    return bool(shutil.which("apt-get")) and os.geteuid() == 0


def install(packages: Sequence[str]) -> None:
    """Install packages; raises OSError where there is no apt, CalledProcessError where it fails."""
    if not usable():
        raise OSError(f"no apt, or not root: install {', '.join(packages)} by hand")
    words = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(words, env=quiet, check=False).returncode:
        subprocess.run(["apt-get", "update"], env=quiet, check=True)
        subprocess.run(words, env=quiet, check=True)
