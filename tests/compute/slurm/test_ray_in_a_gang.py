"""A job file for a Ray cluster, in one allocation of a real Slurm, on two of its virtual nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs import rig
from tests.rigs.slurm import Slurm

pytestmark = [rig("slurm"), rig("ray")]

_TRAIN = """
import os, time, ray
ray.init(log_to_driver=False)
@ray.remote(num_cpus=1)
def where(n):
    time.sleep(1)
    return ray.get_runtime_context().get_node_id(), os.environ["SLURMD_NODENAME"]
places = zip(*ray.get([where.remote(n) for n in range(4)]))
alive = sum(node["Alive"] for node in ray.nodes())
print("counted", alive, *(len(set(each)) for each in places), os.environ["RAY_AUTH_MODE"])
"""
_JOB = """
name: tune
on: cluster
command: ems-ray --num-cpus=1 --object-store-memory=80000000 python train.py
variables: {{PATH: "{path}"}}
roles: [{{name: node, count: 2, resources: {{cpus: 3}}}}]
inputs: {{train.py: train.py}}
"""


@pytest.mark.timeout(300)
def test_a_driver_finds_the_nodes_of_its_allocation(slurm: Slurm, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    target = f"{{slurm: here, folder: {tmp_path}/shared, python: {sys.executable}}}"
    (tmp_path / ".ems.yaml").write_text(f"targets:\n  cluster: {target}\n")
    (tmp_path / "train.py").write_text(_TRAIN)
    (tmp_path / "job.yaml").write_text(_JOB.format(path=path))
    before = int(slurm.run("sbatch", "--parsable", "-o/dev/null", stdin=b"#!/bin/sh\n"))
    done = subprocess.run(
        ["emsctl", "job", "submit", "job.yaml"], cwd=tmp_path,
        env={**slurm.variables, "PATH": path}, capture_output=True, text=True, timeout=280,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "node-0 | counted 2 2 2 token\n" in done.stdout
    assert "node-0 | ems-ray: 2 nodes at " in done.stdout
    assert int(slurm.run("sbatch", "--parsable", "-o/dev/null", stdin=b"#!/bin/sh\n")) == before + 2
    kept = (each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert not any(b"RAY_AUTH_TOKEN=" in text for text in kept)
