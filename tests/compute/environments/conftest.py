"""A place's front on this machine, with programs and a home of its own, and packages to install."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ems.compute.environments import Built, Front
from ems.compute.job import Job
from ems.compute.remote.desk import DeskSite, Near
from ems.compute.remote.order import Refused
from tests.compute.environments.wheels import wheel
from tests.contract.place import Kept
from tests.rigs import uv

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
BLOCKING = """#!/bin/sh
# uv, which waits for as long as a file is there
echo "$@" >>{folder}/calls
while [ -e {folder}/block ]; do sleep 0.05; done
exec {uv} "$@"
"""


def blocking_uv(folder: Path) -> Path:
    """Write a program `uv` that does its work once nothing is in its way; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "uv"
    path.write_text(BLOCKING.format(folder=folder, uv=uv.program()))
    path.chmod(0o755)
    return path


class There:
    """A place: its folder, the programs on its PATH (`bin`), and what asks it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.wheels = folder / "place", folder / "bin", folder / "wheels"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.bin.mkdir()
        (self.bin / "python3").symlink_to(sys.executable)
        self.variables = {
            **os.environ, "HOME": str(self.home), "PATH": f"{self.bin}:/usr/bin:/bin",
        }  # fmt: skip
        for name in [each for each in self.variables if each.startswith(("PIP_", "UV_", "CONDA"))]:
            del self.variables[name]
        wheel(self.wheels, "ghost", "1.0", requires="sheet")
        wheel(self.wheels, "sheet", "2.1")
        self.objects = Kept(folder / "objects")
        self._sites: list[DeskSite] = []

    def front(self, python: str = "python3") -> Front:
        """Return the front, as a process of its own would reach it."""
        link = Near(self.variables)
        self._sites.append(DeskSite(link, str(self.root), python))
        return Front(self._sites[-1], link, python)

    def built(self, python: str = "python3") -> Built:
        """Return what asks for environments, as a process of its own would have it."""
        return Built(self.front(python), self.objects)

    def until(self, true: Callable[[], bool], timeout_s: float = 200) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.02)

    def ask(self, built: Built, *jobs: Job) -> list[str | Refused]:
        """Ask for environments until each is there or refused."""
        last: dict[int, str | Refused] = {}

        def all_known() -> bool:
            left = [at for at in range(len(jobs)) if at not in last]
            for at, said in zip(left, built.pythons([jobs[at] for at in left]), strict=True):
                if said is not None:
                    last[at] = said
            return len(last) == len(jobs)

        self.until(all_known)
        return [last[at] for at in range(len(jobs))]

    @property
    def keys(self) -> list[str]:
        """The keys of all environments, whole or not."""
        folder = self.root / "environments"
        return sorted(p.name for p in folder.glob("[!.]*")) if folder.is_dir() else []

    def makers(self) -> list[int]:
        """Return the processes that make environments here."""
        return [pid for pid, words in _processes() if "make" in words and str(self.root) in words]

    def kill_maker(self) -> bool:
        """Kill the one that makes an environment now, while it waits for uv; whether one does."""
        made = self.makers()
        if not made or not (self.bin / "calls").exists():
            return False
        for pid in made:
            os.kill(pid, signal.SIGKILL)
        self.until(lambda: not self.makers())
        (self.bin / "calls").unlink()
        return True

    def close(self) -> None:
        """End what is still made, and the sessions."""
        (self.bin / "block").unlink(missing_ok=True)
        for pid in self.makers():
            os.kill(pid, signal.SIGKILL)
        for each in self._sites:
            each.close()


def _processes() -> Iterator[tuple[int, Sequence[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield int(path.parent.name), path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            pass


@pytest.fixture
def there(tmp_path: Path) -> Iterator[There]:
    """A place with no tools but this Python."""
    made = There(tmp_path)
    yield made
    made.close()


@pytest.fixture
def with_uv(there: There) -> There:
    """A place that has uv, which may be held up."""
    blocking_uv(there.bin)
    assert shutil.which("uv", path=str(there.bin))
    return there
