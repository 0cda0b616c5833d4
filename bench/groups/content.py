"""The content digest of a large file that lies in memory, beside hashlib and sha256sum."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.contenders import PROGRAMS
from bench.environments import PEERS
from bench.lineup import Lineup
from bench.machine import cores
from bench.measure import Case, Results, Step, Steps

SIZE_MIB = 4096
QUICK_SIZE_MIB = 256
PART_BYTES = 64 << 20


def cases(lineup: Lineup) -> list[Case]:
    size_mib = _size_mib(lineup)
    path = _roomy(lineup, size_mib) / f"ems-bench-{os.getpid()}.bin"
    lineup.cleanup.callback(path.unlink, missing_ok=True)
    digest = make_file(path, size_mib)
    row = f"content.{size_mib}"
    found: list[Case] = []
    if lineup.ems:
        found.append(_python("ems", PROGRAMS / "content_digest.py", [str(path)], row, digest))
    for who, threads in (("hashlib", cores()), ("hashlib, one core", 1)):
        argv = [str(path), str(threads)]
        found.append(_python(who, PEERS / "hashlib/digest.py", argv, row, digest))
    program = shutil.which("sha256sum")
    if program:
        found.append(_case("sha256sum", lambda folder: _plain((program, str(path)), folder, row)))
    return found


def derive(lineup: Lineup, results: Results) -> None:
    row = f"content.{_size_mib(lineup)}"
    ours = results.median(f"{row}.process", "ems")
    bar = results.median(f"{row}.process", "hashlib")
    if ours and bar:
        results.derive(f"{row}.share", "ems", bar / ours)


def make_file(path: Path, size_mib: int) -> str:
    """Write the file, so that it lies in memory, and return its digest. No two parts are equal."""
    block = os.urandom(PART_BYTES - 8)
    parts: list[bytes] = []
    with path.open("wb") as file:
        for number in range((size_mib << 20) // PART_BYTES):
            head = number.to_bytes(8, "big")
            file.write(head)
            file.write(block)
            part = hashlib.sha256(head)
            part.update(block)
            parts.append(part.digest())
    return f"{hashlib.sha256(b''.join(parts)).hexdigest()}-{len(parts)}"


def _case(who: str, steps: Callable[[Path], Steps]) -> Case:
    return Case(who, "content", steps)


def _python(who: str, program: Path, arguments: Sequence[str], row: str, digest: str) -> Case:
    """One interpreter for all of these, EMS's own, so that all have the same SHA-256."""

    def steps(folder: Path) -> Steps:
        yield Step(
            f"{row}.process",
            (sys.executable, str(program), *arguments),
            folder,
            expect=digest,
            reads={"seconds": f"{row}.hash"},
        )

    return _case(who, steps)


def _plain(argv: Sequence[str], folder: Path, row: str) -> Steps:
    yield Step(f"{row}.process", argv, folder)


def _size_mib(lineup: Lineup) -> int:
    return QUICK_SIZE_MIB if lineup.quick else SIZE_MIB


def _roomy(lineup: Lineup, size_mib: int) -> Path:
    """Memory if it has room for the file and as much again, else the disk."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 2 * (size_mib << 20):
        return memory
    return lineup.work
