"""The moto server of a sandbox: it stays while its folder does, and runs Batch jobs as processes.

    python -m tests.rigs.sandbox.server FOLDER

Prints its port. A folder that is removed by hand ends it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from tests.rigs.sandbox import jobs, parts
from tests.rigs.sandbox.place import Place
from tests.rigs.sky import moto_server


def main(folder: Path) -> None:
    """Serve until a signal comes or the folder goes."""
    jobs.install(folder / "jobs", lambda: parts.address(Place(folder)))
    threading.Thread(target=_end_with, args=(folder, folder.stat().st_ino), daemon=True).start()
    sys.argv[1:] = ["--stay"]
    moto_server.main()


def _end_with(folder: Path, inode: int) -> None:
    while folder.exists() and folder.stat().st_ino == inode:
        time.sleep(2)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
