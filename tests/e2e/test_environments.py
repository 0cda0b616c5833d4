"""A project whose packages only a place has, because they were made there of its declaration."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from tests.compute.environments.conftest import blocking_uv
from tests.compute.environments.wheels import requirements, wheel
from tests.e2e.lab import Lab
from tests.rigs import rig

SETTINGS = """
targets:
  there: {ssh: here, folder: ../place, slots: 2}
environment: {requirements: requirements.txt}
"""
PIPELINE = """
import ems

@ems.task
def measure() -> str:
    import ghost
    return ghost.version

@ems.pipeline
def main():
    return measure()
"""
JOB = """
name: plain
command: python -c 'import ghost; print("ghost", ghost.version)'
environment: {requirements: requirements.txt}
on: there
"""


@rig("uv")
@pytest.mark.timeout(180)
def test_a_run_whose_packages_only_the_place_has(lab: Lab, tmp_path: Path) -> None:
    wheels, place = tmp_path / "wheels", lab.root.parent / "place"
    built = [wheel(wheels, "ghost", version) for version in ("1.0", "2.0")]
    lab.write(".ems.yaml", SETTINGS)
    lab.write("pipeline.py", PIPELINE)
    lab.write("job.yaml", JOB)
    lab.write("requirements.txt", requirements(wheels, "ghost==1.0"))
    env = {"PATH": f"{blocking_uv(tmp_path / 'bin').parent}:{os.environ['PATH']}"}
    there = lab.run("--on", "there", env=env)
    assert (there.result, there.ran) == ("1.0", ["measure"])

    # where the runner's own Python has the package, the version is the same: nothing is to be done
    zipfile.ZipFile(built[0]).extractall(tmp_path / "site-packages")
    local = lab.run(env={"PYTHONPATH": str(tmp_path / "site-packages")})
    assert local.versions == there.versions
    assert local.how == {"measure": "cached"}

    assert "ghost 1.0\n" in lab.emsctl("job", "submit", "job.yaml", env=env).out
    assert len((tmp_path / "bin" / "calls").read_text().splitlines()) == 2  # one environment

    lab.write("requirements.txt", requirements(wheels, "ghost==2.0"))
    changed = lab.run("--on", "there", env=env)
    assert (changed.result, changed.ran) == ("2.0", ["measure"])
    assert len(list(place.glob("environments/*/made.json"))) == 2
    assert "there: 2 environments kept, 0 to remove" in lab.emsctl("gc").out
    said = lab.emsctl("gc", "--unused", "1ms", "-o", "json").json["environments"]
    assert [(each["kept"], each["gone"]) for each in said] == [(0, 2)]
    gone = lab.emsctl("gc", "--unused", "1ms", "--yes").out
    assert "there: 0 environments kept, 2 removed (" in gone
    assert list(place.glob("environments/*/made.json")) == []

    lab.write("requirements.txt", requirements(wheels, "ghost==9.0"))
    failed = lab.run("--on", "there", env=env, code=100)
    assert failed.failures[0]["reason"] == "environment"
    assert "ghost==9.0" in str(failed.failures[0])
