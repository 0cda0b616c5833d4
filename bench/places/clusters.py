"""Slurm, Kubernetes and Ray as the rigs run them, and their own commands and APIs as bare ways.

Kubernetes starts about five pods a second on two cores, and Ray about one job: a thousand of them
would take minutes, so they are left out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.places.ground import BARE, PYTHON, Bare, Ground, Place, clock
from tests.compute.kubernetes import lab
from tests.rigs import ray, slurm
from tests.rigs.kubernetes import build as kubernetes

_IN_PODS = "/ems"


@contextmanager
def _slurm(folder: Path) -> Iterator[Ground]:
    with slurm.Slurm(folder / "s") as cluster:
        place = folder / "place"
        place.mkdir()
        nothing = str(clock(folder, "nothing", "true", "*"))
        submit = (sys.executable, str(BARE / "slurm.py"), nothing)
        target = {
            "slurm": "here", "folder": str(place),
            "python": str(clock(folder, "python", PYTHON, '*"/objects/"*" run"')),
        }  # fmt: skip
        yield Ground(
            target,
            (Bare("sbatch each", (*submit, "each")), Bare("sbatch --array", (*submit, "array"))),
            cluster.variables,
            clock=folder / "clock.txt",
            quiet=lambda: not cluster.run("squeue", "-h").strip(),
        )


@contextmanager
def _kubernetes(folder: Path) -> Iterator[Ground]:
    with lab.running(folder / "k") as cluster:
        place = folder / "place"
        place.mkdir()
        nothing = clock(place, "nothing", "true", "*").name
        python = clock(place, "python", PYTHON, '*"/objects/"*" run"')
        for each in ("nothing", "python"):  # pods see the folder under another name
            text = (place / each).read_text()
            (place / each).write_text(text.replace(f"{place}/clock", f"{_IN_PODS}/clock"))
        made = lab.Lab(cluster, folder)
        machine = {path: {"hostPath": path} for path in ("/usr", "/lib", "/lib64", "/bin")}
        if not PYTHON.startswith("/usr/"):
            machine[sys.base_prefix] = {"hostPath": sys.base_prefix}
        target = {
            "kubernetes": "rig", "kubeconfig": str(cluster.kubeconfig), "namespace": lab.NAMESPACE,
            "folder": str(place), "volume": {"hostPath": str(place)}, "volumes": machine,
            "image": lab.IMAGE, "pull_policy": "Never", "service_account": "",
            "python": f"{_IN_PODS}/{python.name}",
        }  # fmt: skip
        words = (sys.executable, str(BARE / "kubernetes_jobs.py"), str(cluster.kubeconfig))
        words += (lab.NAMESPACE, lab.IMAGE, str(place), _IN_PODS, f"{_IN_PODS}/{nothing}")
        try:
            yield Ground(
                target,
                (
                    Bare("a Job each", (*words, "each"), 10),
                    Bare("an Indexed Job", (*words, "indexed"), 100),
                ),
                dict(os.environ),
                clock=place / "clock.txt",
                quiet=lambda: all(
                    each["status"].get("phase") in ("Succeeded", "Failed")
                    for each in cluster.api.list("v1", "Pod", lab.NAMESPACE)
                ),
            )
        finally:
            made.close()


@contextmanager
def _ray(folder: Path) -> Iterator[Ground]:
    with ray.cluster(folder / "r") as cluster:
        place = folder / "place"
        place.mkdir()
        nothing = str(clock(folder, "nothing", "true", "*"))
        words = (sys.executable, str(BARE / "ray_jobs.py"), cluster.url, sys.executable, nothing)
        target = {
            "ray": cluster.url, "folder": str(place), "token": "env:RAY_AUTH_TOKEN",
            "python": str(clock(folder, "python", sys.executable, '*"/objects/"*" run"')),
        }  # fmt: skip
        yield Ground(
            target,
            (
                Bare("a Ray job each", (*words, "each"), 10),
                Bare("Ray tasks", (*words, "tasks"), 100),
            ),
            {**os.environ, "RAY_AUTH_TOKEN": cluster.token},
            clock=folder / "clock.txt",
        )


SLURM = Place("slurm", "Slurm", slurm.missing, _slurm, (1, 10, 100, 1000), (1, 10, 100, 1000))
KUBERNETES = Place(
    "kubernetes", "Kubernetes", kubernetes.missing, _kubernetes, (1, 10, 100), (1, 10, 100), 1
)
RAY = Place("ray", "Ray", ray.missing, _ray, (1, 10, 100), (1, 10, 100), 1)
