"""Data of 1 MiB to 4 GiB to a place and back, beside the plain copy of the same bytes.

A folder that both sides share beside `cp`, a host by ssh beside `scp` over an open connection, S3
(moto) beside boto3's own transfer. Connections are open before the clock starts, and what arrived
is synced to disk before it stops. `mounted` is a job that reads data where it lies (Figure 8c).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.contenders import PROGRAMS, Contender, ems_folder, ems_variables
from bench.lineup import Lineup
from bench.measure import Case, Results, Step, Steps
from bench.places.ground import PYTHON
from tests.rigs import sshd
from tests.rigs.sky.cloud import Cloud

SIZES = (1, 64, 1024, 4096)
"""MiB."""
SSH_SIZES = (1, 64, 1024)
S3_SIZES = (1, 64, 512)
"""moto keeps what it is given in memory."""
QUICK_SIZES = (1, 64)
OFTEN = 64
BUCKET = "bench"
Told = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """A kind of site: who moves bytes there otherwise, and how it is brought up."""

    kind: str
    plain: str
    sizes: tuple[int, ...]
    missing: Callable[[], str]
    up: Callable[[Path], AbstractContextManager[tuple[Told, Mapping[str, str]]]]


@contextmanager
def _folder(folder: Path) -> Iterator[tuple[Told, Mapping[str, str]]]:
    yield {"root": str(folder)}, {}


@contextmanager
def _ssh(folder: Path) -> Iterator[tuple[Told, Mapping[str, str]]]:
    with sshd.Host(folder / "host") as host:
        yield {
            "root": str(folder), "host": host.name, "options": host.options,
            "python": PYTHON, "control": str(folder / "c"),
        }, {}  # fmt: skip


@contextmanager
def _s3(folder: Path) -> Iterator[tuple[Told, Mapping[str, str]]]:
    with Cloud() as cloud:
        cloud.client("s3").create_bucket(Bucket=BUCKET)
        told = {"bucket": BUCKET, "prefix": folder.name}
        yield told, {**cloud.environment, "AWS_DEFAULT_REGION": "us-east-1"}


SITES = (
    Site("folder", "cp", SIZES, lambda: "", _folder),
    Site("ssh", "scp", SSH_SIZES, sshd.missing, _ssh),
    Site("s3", "boto3", S3_SIZES, lambda: "", _s3),
)


def cases(lineup: Lineup) -> list[Case]:
    ems = lineup.ems
    if not ems:
        return []
    there = [site for site in SITES if not site.missing()]
    moved = [
        Case("ems", f"move-{site.kind}", partial(_steps, ems, site, lineup.quick), repeat_at_most=1)
        for site in there
    ]
    return [*moved, Case("ems", "move-mounted", partial(_mounted, ems, lineup.quick), 1)]


def derive(lineup: Lineup, results: Results) -> None:
    """The rate as a share of the plain copy's, at the largest size; how a mounted job grows."""
    for site in SITES:
        for way in ("in", "out"):
            found = [(size, _share(results, site, way, size)) for size in site.sizes]
            known = [share for _, share in found if share is not None]
            if known:
                results.derive(f"move.{site.kind}.{way}", "ems", known[-1])
    times = [results.median(f"move.mounted.{size}", "ems") for size in SIZES]
    known = [each for each in times if each is not None]
    if len(known) > 1:
        results.derive("move.mounted.growth", "ems", known[-1] / known[0])


def _share(results: Results, site: Site, way: str, size: int) -> float | None:
    name = f"move.{site.kind}.{way}.{size}"
    ours, plain = results.median(name, "ems"), results.median(name, site.plain)
    return plain / ours if ours and plain else None


def _sizes(sizes: tuple[int, ...], quick: bool) -> tuple[int, ...]:
    return tuple(size for size in sizes if size in QUICK_SIZES) if quick else sizes


def _steps(ems: Contender, site: Site, quick: bool, folder: Path) -> Steps:
    for size in _sizes(site.sizes, quick):
        for turn in range(2 if size <= OFTEN else 1):
            short = Path(tempfile.mkdtemp(prefix="ems-b-"))
            try:
                yield from _there_and_back(ems, site, size, short, folder / f"{size}-{turn}")
            finally:
                shutil.rmtree(short, ignore_errors=True)


def _there_and_back(ems: Contender, site: Site, size: int, short: Path, folder: Path) -> Steps:
    folder.mkdir(parents=True)
    file = short / "data"
    _fill(file, size)
    with site.up(short) as (told, variables):
        for way in ("in", "out"):
            for who in (site.plain, "ems"):
                asked = {**told, "kind": site.kind, "ems": who == "ems"}
                work = folder / f"{way}-{who}"
                work.mkdir()
                yield Step(
                    None,
                    (ems.environment.program("python"), str(PROGRAMS / "move.py"),
                     json.dumps(asked), way, str(file)),
                    work,
                    {**os.environ, **variables},
                    reads={"seconds": f"move.{site.kind}.{way}.{size}"},
                    who=who,
                )  # fmt: skip


def _fill(path: Path, size_mib: int) -> None:
    """Write a file of which no two MiB are equal; it lies in memory then."""
    block = os.urandom((1 << 20) - 8)
    with path.open("wb") as file:
        for number in range(size_mib):
            file.write(number.to_bytes(8, "big"))
            file.write(block)


def _mounted(ems: Contender, quick: bool, folder: Path) -> Steps:
    """A task reads the start and the end of a file that lies here; its digest is known already."""
    python = ems.environment.program("emsctl")
    for size in _sizes(SIZES, quick):
        work = folder / str(size)
        work.mkdir()
        ems_folder(work, "mounted.py")
        _fill(work / "data", size)
        variables = ems_variables(ems.environment, work)
        for turn in range(3):
            row = f"move.mounted.{size}" if turn else None  # the first one finds the digest
            yield Step(row, (python, "run", "mounted.py", "-p", f"turn={turn}"), work, variables)
        (work / "data").unlink()
