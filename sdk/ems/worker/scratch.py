"""The folders a worker works in: one standing empty scratch folder, and one for named inputs.

Knows folders. Replaces the scratch folder only when a task left something in it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional


def root_of(parcel: Dict[str, Any]) -> Optional[str]:
    """Return where workers' scratch folders lie: a parcel's `scratch`, or beside its outbox."""
    if parcel.get("scratch"):
        return str(parcel["scratch"])
    outbox = parcel.get("outbox")
    return os.path.join(os.path.dirname(os.path.abspath(outbox)), "scratch") if outbox else None


def home_of(root: str, pid: int) -> str:
    """Return the folder of the worker with this process id, below a parcel's `scratch`.

    Machines and containers that share a root may share names and process ids, too, so the boot and
    the process namespace are part of its name.
    """
    return os.path.join(root, "%s-%s-%d" % (os.uname().nodename, _namespace(), pid))


def _namespace() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return "%s-%d" % (stream.read(8), os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "0"


class Scratch:
    """The working directory of one task after the other, empty at the start of each."""

    def __init__(self, root: Optional[str]) -> None:
        if root is None:
            import tempfile

            root = tempfile.mkdtemp(prefix="ems-")
        self.home = home_of(os.path.realpath(root), os.getpid())
        self.inputs = os.path.join(self.home, "in")
        self._number = 0
        self.path = ""
        remove(self.home)  # of a worker with this process id that was killed
        self._replace()

    def _replace(self) -> None:
        self._number += 1
        self.path = os.path.join(self.home, "task-%d" % self._number)
        os.makedirs(self.path)

    def enter(self) -> None:
        """Make the scratch folder the working directory."""
        try:
            os.chdir(self.path)
        except OSError:  # a task removed it
            self._replace()
            os.chdir(self.path)

    def settle(self) -> None:
        """Have an empty folder again after a task."""
        try:
            if not os.listdir(self.path):
                return
        except OSError:
            pass
        used = self.path
        self._replace()
        os.chdir(self.path)
        remove(used)

    def close(self) -> None:
        """Remove all of it."""
        os.chdir("/")
        remove(self.home)


def remove(path: str) -> None:
    """Remove a folder and what is in it, read-only folders too; what can't be removed stays."""
    import shutil

    def retry(function: object, failed: str, _: object) -> None:
        try:
            os.chmod(os.path.dirname(failed), 0o700)
            os.chmod(failed, 0o700)
            if os.path.isdir(failed) and not os.path.islink(failed):
                shutil.rmtree(failed, ignore_errors=True)
            else:
                os.unlink(failed)
        except OSError:
            pass

    if os.path.isdir(path) and not os.path.islink(path):
        import sys

        if sys.version_info >= (3, 12):
            shutil.rmtree(path, onexc=retry)
        else:
            shutil.rmtree(path, onerror=retry)
