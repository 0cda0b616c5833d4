"""Small file systems of a test's own: full, or read-only, as a user's disk may be.

Works in a mount namespace, so nothing stays mounted when the command ends. Needs Linux, and root or
user namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache


@cache
def missing() -> str:
    """Say what is missing, or nothing."""
    if not shutil.which("unshare"):
        return "no `unshare` (Linux, util-linux)"
    done = subprocess.run(
        namespace(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]), capture_output=True, check=False
    )
    return "" if done.returncode == 0 else "mounting needs root or user namespaces"


def namespace(command: Sequence[str]) -> list[str]:
    """Return `command` as run in a mount namespace of its own, able to mount there."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own, "--mount", "--propagation", "private", "--", *command]
