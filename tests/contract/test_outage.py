"""What answers for a place falls silent for half a minute, at all places at once: nothing is lost.

The server of each (a Slurm controller, an API server, a dashboard, AWS, the desk of a host) is
stopped, not killed: connections to it hang, as they do in a network that is cut.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ems.compute.job import Handle, JobState
from tests.contract.conftest import BACKENDS
from tests.contract.place import Place
from tests.rigs import rig

PLACES = ("hosts", "slurm", "kubernetes", "ray", "batch")
WORDS = {"hosts": "desk", "kubernetes": "apiserver", "batch": "tests.compute.batch.server"}
"""Words in the command lines of what answers for a place."""
SILENT_S = 30.0


def _servers(name: str, request: pytest.FixtureRequest, place: Place) -> list[int]:
    if name == "ray":
        return [request.getfixturevalue(name).relay]
    folder = place.folder if name == "hosts" else request.getfixturevalue(name).folder
    if name == "slurm":
        return [int((folder / "slurmctld.pid").read_text())]
    return _pids(WORDS[name], folder)


def _pids(word: str, folder: Path) -> list[int]:
    """Return the processes that have both in their command lines."""
    found: list[int] = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if word in words and str(folder) in words:
            found.append(int(each.parent.name))
    return found


@contextmanager
def _silent(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # a desk that fell silent is let go of
                os.kill(pid, signal.SIGCONT)


def _submit(place: Place, seconds: float) -> Handle:
    job = place.job(["sh", "-c", f"echo begun; sleep {seconds}; echo over"])
    return place.backend.submit([job])[0]


def _unended(places: Mapping[str, Place], *handles: Mapping[str, Handle]) -> list[str]:
    """Return the jobs that have not ended, with why they wait."""
    each = [(place, by[name]) for by in handles for name, place in places.items()]
    return [
        f"{handle.backend} {place.status(handle).state.value}: {place.backend.waiting(handle)}"
        for place, handle in each
        if not place.status(handle).state.ended
    ]


@pytest.fixture
def places(
    request: pytest.FixtureRequest, cache: Path, tmp_path: Path
) -> Iterator[Mapping[str, Place]]:
    made: dict[str, Place] = {}
    for name in PLACES:
        (tmp_path / name).mkdir()
        made[name] = Place(BACKENDS[name](request, cache, tmp_path / name), tmp_path / name)
    yield made
    for place in made.values():
        place.backend.close()


@pytest.mark.timeout(400)
@rig("slurm")
@rig("kubernetes")
@rig("ray")
def test_silent_for_half_a_minute(
    places: Mapping[str, Place], request: pytest.FixtureRequest
) -> None:
    running = {name: _submit(place, 10) for name, place in places.items()}
    for name, place in places.items():
        place.until(lambda p=place, n=name: b"begun" in p.log(running[n]), 60)
    servers = {name: _servers(name, request, place) for name, place in places.items()}
    assert all(servers.values()), servers
    with _silent([pid for pids in servers.values() for pid in pids]):
        later = {name: _submit(place, 0) for name, place in places.items()}
        until = time.monotonic() + SILENT_S
        while time.monotonic() < until:
            for name, place in places.items():
                asked = time.monotonic()
                found = place.backend.poll([running[name], later[name]])
                assert time.monotonic() - asked < 5, name  # nobody waits for a place that is away
                assert not any(each.state is JobState.FAILED for each in found), (name, found)
            time.sleep(0.5)
    until = time.monotonic() + 90
    while waits := _unended(places, running, later):
        assert time.monotonic() < until, waits
        time.sleep(0.2)
    for name, place in places.items():
        for handle in (running[name], later[name]):
            assert place.status(handle).state is JobState.SUCCEEDED, (name, place.status(handle))
            assert place.log(handle) == b"begun\nover\n", name  # once, and whole
