"""Environments of whole places: a host over ssh whose cable is cut, this machine, a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.compute.environments import Tidy
from ems.compute.hosts.kind import KIND as HOSTS
from ems.compute.job import JobState, Reason, Recipe
from ems.compute.kinds import Setting
from ems.compute.remote.spool import SpoolBackend
from ems.compute.slurm.kind import KIND as SLURM
from tests.compute.environments.conftest import blocking_uv
from tests.compute.environments.wheels import recipe, requirements, wheel
from tests.contract.place import Kept, Place
from tests.rigs import rig
from tests.rigs.slurm import Slurm
from tests.rigs.sshd import Host

pytestmark = pytest.mark.timeout(240)  # a busy machine makes environments slowly
SOURCE = """
import os
import subprocess
def f():
    import ghost
    from_path = "import ghost, sys; print(ghost.version, sys.prefix)"
    said = subprocess.run(["python", "-c", from_path], capture_output=True, text=True)
    return [ghost.version, said.stdout.split()[0], said.stdout.split()[1] in os.environ["PATH"]]
def g():
    return "went ahead"
"""


def minor_of(python: str) -> str:
    """Return the minor version of a Python."""
    import subprocess

    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.check_output([python, "-c", code], text=True).strip()


class Packages:
    """Packages to install, and what jobs declare of them."""

    def __init__(self, folder: Path, python: str = "/usr/bin/python3") -> None:
        self.folder, self.python = folder, minor_of(python)
        for version in ("1.0", "2.0"):
            wheel(folder, "ghost", version)

    def env(self, version: str) -> dict[str, str]:
        return {"python": self.python, "ghost": version}

    def recipe(self, version: str) -> Recipe:
        text = requirements(self.folder, f"ghost=={version}")
        return recipe(text, {"ghost": version}, self.python)


def submit(place: Place, packages: Packages, version: str, recipe: Recipe | None = None) -> Any:
    """Hand a job over that needs a version of the package."""
    parcel = place.parcel(SOURCE, [("f", {})], env=packages.env(version))
    return place.submit(parcel, recipe=recipe or packages.recipe(version))


def result(place: Place, handle: Any) -> Any:
    """Return what a job came to."""
    status = place.finish(handle, 90)
    assert status.state is JobState.SUCCEEDED, status
    return place.ends(handle)[0]["out"]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(Kept(tmp_path / "objects"), tmp_path / "cache", lambda _: None, tmp_path)


def opened(kind: Any, keys: dict[str, Any], setting: Setting) -> SpoolBackend:
    """Open a target of one place."""
    (backend,) = kind.open("there", msgspec.convert(keys, kind.settings), setting)
    return backend


def tidied(kind: Any, keys: dict[str, Any], setting: Setting, older_s: float) -> tuple[int, int]:
    """Remove what nobody used for so long; return what stayed and what went."""
    settings, tidies = msgspec.convert(keys, kind.settings), kind
    assert isinstance(tidies, Tidy)
    (found,) = tidies.tidy("there", settings, setting, older_s, remove=True)
    assert not found.problem, found
    return found.kept, found.gone


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("environments") / "host") as made:
        yield made


@rig("sshd")
@rig("uv")
def test_a_cable_that_is_cut_while_it_is_made(host: Host, setting: Setting, tmp_path: Path) -> None:
    packages, tools = Packages(tmp_path / "wheels"), host.home / ".local" / "bin"
    blocking_uv(tools)
    (tools / "block").touch()
    folder = tmp_path / "place"
    keys = {"ssh": host.name, "options": host.options, "folder": str(folder)}
    place = Place(opened(HOSTS, keys, setting), tmp_path, folder / "attempts")
    held = submit(place, packages, "1.0")
    place.until((tools / "calls").exists, 60)
    place.until(lambda: place.backend.waiting(held) == "its environment is made", 30)
    ahead = place.submit(place.parcel(SOURCE, [("g", {})]))
    assert result(place, ahead) == "went ahead"
    host.cut()
    (tools / "block").unlink()
    place.until(lambda: bool(list(folder.glob("environments/*/made.json"))), 60)
    host.mend()
    assert result(place, held) == ["1.0", "1.0", True]
    wrong = submit(place, packages, "7.0", packages.recipe("2.0"))
    status = place.finish(wrong, 60)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.ENVIRONMENT)
    assert "ghost 2.0 (declared 7.0)" in status.detail
    place.backend.close()
    assert len((tools / "calls").read_text().splitlines()) == 4
    assert [each.name for each in host.home.iterdir()] == [".local"]


@rig("uv")
def test_one_that_a_running_job_uses_is_not_removed(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = Packages(tmp_path / "wheels", "python3")
    monkeypatch.setenv("PATH", f"{blocking_uv(tmp_path / 'bin').parent}", prepend=":")
    keys = {"ssh": "here", "folder": "place", "slots": 2}
    place = Place(opened(HOSTS, keys, setting), tmp_path, tmp_path / "place" / "attempts")
    source = "import os, time, ghost\ndef f():\n while not os.path.exists(%r): time.sleep(.05)\n"
    parcel = place.parcel(source % f"{tmp_path}/go", [("f", {})], env=packages.env("1.0"))
    running = place.submit(parcel, recipe=packages.recipe("1.0"))
    assert result(place, submit(place, packages, "2.0")) == ["2.0", "2.0", True]
    place.until(lambda: place.status(running).state is JobState.RUNNING, 60)
    (parcels,) = [p for p in tmp_path.glob("place/jobs/*/parcel.json") if b"1.0" in p.read_bytes()]
    assert b"/environments/" in parcels.read_bytes()  # named by its job; the lock alone does, too
    parcels.write_bytes(parcels.read_bytes().replace(b"/environments/", b"/nowhere/"))
    assert tidied(HOSTS, keys, setting, 0) == (1, 1)
    (tmp_path / "go").touch()
    assert result(place, running) is None
    assert tidied(HOSTS, keys, setting, 0) == (0, 1)
    place.backend.close()
    never = Place(opened(HOSTS, {**keys, "environments": "never"}, setting), tmp_path)
    status = never.finish(submit(never, packages, "1.0"), 60)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.ENVIRONMENT)
    never.backend.close()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with Slurm(tmp_path_factory.mktemp("s")) as cluster:
        yield cluster


@rig("slurm")
@rig("uv")
def test_two_environments_at_a_cluster(
    slurm: Slurm, setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = Packages(tmp_path / "wheels")
    for name, value in slurm.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{blocking_uv(tmp_path / 'bin').parent}", prepend=":")
    keys = {"slurm": "here", "folder": str(tmp_path / "there"), "python": "/usr/bin/python3"}
    (tmp_path / "there").mkdir()
    place = Place(opened(SLURM, keys, setting), tmp_path, tmp_path / "there" / "attempts")
    one = submit(place, packages, "1.0")
    other = [submit(place, packages, "2.0") for _ in range(2)]
    assert result(place, one) == ["1.0", "1.0", True]
    assert [result(place, each) for each in other] == [["2.0", "2.0", True]] * 2
    assert tidied(SLURM, keys, setting, 600) == (2, 0)
    place.backend.close()
