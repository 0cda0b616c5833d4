"""What befalls the processes and files of a lab: who is alive, who is killed, what is on the disk.

Everything that a lab starts carries the path of its marks in its environment, so a process that was
left behind is found, whoever its parent is now.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.lab import EMSCTL, Done, Lab
from tests.rigs.mounts import namespace

NOTES = """
import os


def note(text):
    mark = os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(mark, f"{text}\\n".encode())
    os.close(mark)
"""
"""A module of the project: a mark outside of every store, whole or not at all."""

GRID = """
import hashlib
import time
from pathlib import Path

import ems
from notes import note


@ems.task
def work(name: str, seconds: float) -> ems.File:
    note(f"begin {name}")
    time.sleep(seconds)
    Path("out.txt").write_text(name * 1000)
    note(f"end {name}")
    return ems.File("out.txt")


@ems.task
def gather(files: list, salt: str) -> str:
    note(f"begin gather-{salt}")
    found = hashlib.sha256()
    for file in files:
        found.update(Path(file).read_bytes())
    note(f"end gather-{salt}")
    return found.hexdigest()[:16]


@ems.pipeline
def main(n: int = 8, seconds: float = 0.05, salt: str = "a"):
    return gather([work(f"{salt}{i}", seconds) for i in range(n)], salt)
"""
"""`n` calls that each leave a file, and one that reads them all."""


def grid(lab: Lab) -> None:
    """Give a lab the pipeline GRID."""
    lab.write("notes.py", NOTES)
    lab.write("pipeline.py", GRID)


def grid_result(n: int, salt: str = "a") -> str:
    """Return what GRID comes to, worked out here."""
    import hashlib

    found = hashlib.sha256()
    for i in range(n):
        found.update(f"{salt}{i}".encode() * 1000)
    return found.hexdigest()[:16]


def begun(lab: Lab) -> Counter[str]:
    """Return how often each task began."""
    return Counter(m.removeprefix("begin ") for m in lab.marks() if m.startswith("begin "))


def committed(store: Path) -> list[str]:
    """Return the names of GRID's calls that are recorded, from the bytes of the log alone."""
    segments = sorted((store / "log").glob("*.seg"))
    return [name for segment in segments for name in names_of(segment.read_bytes())]


def names_of(segment: bytes) -> list[str]:
    """Return the names of GRID's calls that a segment records."""
    found: list[str] = []
    for line in segment.splitlines()[1:]:
        entry = json.loads(line)
        if entry["k"] == "record" and entry["task"] == "work":
            found.append(entry["args"]["name"])
        elif entry["k"] == "record" and entry["task"] == "gather":
            found.append(f"gather-{entry['args']['salt']}")
    return found


def entries(store: Path) -> Iterator[dict[str, Any]]:
    """Yield all entries of a store's log, read without EMS."""
    for segment in sorted((store / "log").glob("*.seg")):
        for line in segment.read_bytes().splitlines()[1:]:
            yield json.loads(line)


# -- processes ----------------------------------------------------------------------------------


def running(lab: Lab) -> dict[int, str]:
    """Return the command line of every living process that a command of this lab led to."""
    mark = f"MARKS={lab.marks_file}".encode()
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
        if mark in variables:
            found[int(folder.name)] = words
    return found


def workers(lab: Lab) -> list[int]:
    """Return the process ids of warm workers."""
    return sorted(pid for pid, words in running(lab).items() if words.strip().endswith(" serve"))


def wait_for(question: Callable[[], Any], what: str, within_s: float = 20.0) -> Any:
    """Ask until the answer is true, and return it; fails after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.01)


def marked(lab: Lab, mark: str, times: int = 1) -> None:
    """Wait until tasks left marks that begin so."""
    wait_for(
        lambda: sum(each.startswith(mark) for each in lab.marks()) >= times,
        f"{times} × {mark!r} among {lab.marks()}",
    )


def nobody_left(lab: Lab, within_s: float = 5.0) -> None:
    """Fail where a process of the lab still lives after some seconds."""
    deadline = time.monotonic() + within_s
    while left := running(lab):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


@dataclass
class Going:
    """A command that was started, in a session of its own as a terminal's; output goes to files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """kill -9 of this one process."""
        self.process.kill()

    def end(self, within_s: float = 30.0) -> Done:
        """Wait for the end."""
        code = self.process.wait(within_s)
        return Done(code, self.out.read_text(errors="replace"), self.err.read_text("utf-8"))

    def done(self, code: int = 0, within_s: float = 30.0) -> Done:
        """Wait for the end, which must have this exit code."""
        ended = self.end(within_s)
        assert ended.code == code, f"exit {ended.code}\n{ended.err}\n{ended.out}"
        assert "\nTraceback" not in f"\n{ended.err}", ended.err  # a task's own is indented
        return ended


def start(
    lab: Lab, *words: str, env: Mapping[str, str] | None = None, before: tuple[str, ...] = ()
) -> Going:
    """Start `emsctl …` with a process group of its own, inside the program that `before` names."""
    return launch(lab, [*before, *EMSCTL, *words], env)


def launch(lab: Lab, command: list[str], env: Mapping[str, str] | None = None) -> Going:
    """Start any command with a process group of its own."""
    number = len(list(lab.marks_file.parent.glob("out-*")))
    out, err = (lab.marks_file.parent / f"{name}-{number}" for name in ("out", "err"))
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            command, cwd=lab.root, env=lab.environ(env), stdin=subprocess.DEVNULL, stdout=to_out,
            stderr=to_err, start_new_session=True,
        )  # fmt: skip
    return Going(process, out, err)


# -- file systems -------------------------------------------------------------------------------


class Elsewhere:
    """A mount namespace that stays open: mounts in it are seen by what is started in it alone."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        words = namespace(["sh", "-c", "echo here; exec cat"])
        self._holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"here\n"

    @property
    def _enter(self) -> list[str]:
        own = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self._holder.pid), *own, "--mount", "--"]

    def sh(self, script: str, *words: str) -> str:
        """Run a shell script there, in the project's folder, and return what it prints."""
        inside = ["sh", "-ec", f'cd "$0"; {script}', str(self._lab.root), *words]
        done = subprocess.run([*self._enter, *inside], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Going:
        """Start `emsctl …` there."""
        inside = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(self._lab.root)]
        return start(self._lab, *words, env=env, before=(*self._enter, *inside))

    def path(self, path: Path) -> Path:
        """Return how this process reaches a path there."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def close(self) -> None:
        """Let it go with all its mounts."""
        self._holder.communicate()


@contextmanager
def elsewhere(lab: Lab) -> Iterator[Elsewhere]:
    """Open a mount namespace for a while."""
    made = Elsewhere(lab)
    try:
        yield made
    finally:
        made.close()


def another_machine(command: list[str]) -> list[str]:
    """Return `command` as run where no process of this machine is seen, nor sees it.

    That is what another host is to EMS. When the first process there is killed, all die at once, as
    in a power cut.
    """
    return namespace(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *command])


WRONG_CLOCK = """
import os
import time

_true = time.time


def _wrong():
    try:
        with open(os.environ["CLOCK_OFF_BY"]) as file:
            return _true() + float(file.read() or 0)
    except FileNotFoundError:
        return _true()


if "CLOCK_OFF_BY" in os.environ:
    time.time = _wrong
"""


def wrong_clock(lab: Lab) -> tuple[dict[str, str], Path]:
    """Return an environment in which Python's clock is off, and the file that says by how much."""
    folder = lab.marks_file.parent / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WRONG_CLOCK)
    off = folder / "off"
    kept = os.environ.get("PYTHONPATH")
    path = f"{folder}{os.pathsep}{kept}" if kept else str(folder)
    return {"PYTHONPATH": path, "CLOCK_OFF_BY": str(off)}, off


def spoil(path: Path) -> None:
    """Turn one bit of a file, in place; its size stays."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
