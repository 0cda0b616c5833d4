"""`python -m tests.rigs [install]`: what is here, what is missing; `install` gets what it can."""

from __future__ import annotations

import subprocess
import sys

from tests.rigs import RIGS


def main(words: list[str]) -> int:
    """List the rigs, after installing the missing ones if asked; 1 if one is still missing."""
    still = 0
    for name, rig in RIGS.items():
        missing = rig.missing()
        if missing and rig.install and "install" in words:
            try:
                rig.install()
                missing = rig.missing()
            except (OSError, SystemExit, subprocess.CalledProcessError) as error:
                missing = f"{missing}; {error}"
        still += bool(missing)
        print(f"{'missing' if missing else 'here':9}{name:16}{rig.what}", flush=True)
        if missing:
            print(f"{'':25}{missing}", flush=True)
    return 1 if still else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
