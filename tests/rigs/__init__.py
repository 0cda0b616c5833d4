"""The real counterparts that tests need beyond Python packages: what they are, and which are here.

A test that needs one says so, and is skipped by name where it is missing:

    @rig("python-oldest")
    def test_the_worker_runs_there() -> None:
        python = interpreter(OLDEST)

`make rigs` installs what can be installed; with EMS_REQUIRE_RIGS=all (or names, comma-separated)
a missing counterpart fails its tests. Knows no test and nothing of EMS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from tests.rigs import mounts, podman, pythons, ray, slurm, sshd, strongswan, uv
from tests.rigs.kubernetes import build as kubernetes
from tests.rigs.pythons import BETWEEN, NEWEST, OLDEST, interpreter
from tests.rigs.sky import install as pulumi
from tests.rigs.sky import kinds, kubernetes_provider_rules

__all__ = ["BETWEEN", "NEWEST", "OLDEST", "RIGS", "Rig", "interpreter", "rig"]


@dataclass(frozen=True)
class Rig:
    """One counterpart: how to see that it is here, and how `make rigs` gets it."""

    what: str
    missing: Callable[[], str]
    """What is missing, as text for a person; empty where the counterpart is here."""
    install: Callable[[], None] | None = None
    notes: Callable[[], list[str]] = list
    """What a run of tests that used it must say at its end, line by line."""


RIGS: Mapping[str, Rig] = {
    "python-oldest": Rig(
        f"CPython {OLDEST}, the oldest that the worker runs on",
        lambda: pythons.missing(OLDEST),
        lambda: pythons.install(OLDEST),
    ),
    "python-between": Rig(
        f"CPython {BETWEEN}, between the runner's oldest and the newest",
        lambda: pythons.missing(BETWEEN),
        lambda: pythons.install(BETWEEN),
    ),
    "python-newest": Rig(
        f"CPython {NEWEST}, the newest that the worker runs on",
        lambda: pythons.missing(NEWEST),
        lambda: pythons.install(NEWEST),
    ),
    "mounts": Rig(
        "mounts of small file systems (a full disk, a read-only store), in a mount namespace",
        mounts.missing,
    ),
    "podman": Rig(
        "podman, for containers as a cloud runs them",
        podman.missing,
        podman.install,
    ),
    "pulumi": Rig(
        "the Pulumi engine, on a stand-in for its AWS provider over moto",
        pulumi.missing,
        pulumi.install,
        kinds.notes,
    ),
    "kubernetes": Rig(
        f"Kubernetes {kubernetes.VERSION}: API server, controllers and a node with containerd",
        kubernetes.missing,
        kubernetes.install,
        kubernetes_provider_rules.notes,
    ),
    "ray": Rig(
        "a Ray cluster of two nodes, in network namespaces",
        ray.missing,
        ray.install,
    ),
    "modules": Rig(
        "environment modules, as hosts and clusters have them",
        sshd.missing_modules,
        sshd.install_modules,
    ),
    "sshd": Rig(
        "OpenSSH's server on a host of its own, in network namespaces",
        sshd.missing,
        sshd.install,
    ),
    "slurm": Rig(
        "a Slurm cluster of three virtual nodes, with memory limits and environment modules",
        slurm.missing,
        slurm.install,
    ),
    "strongswan": Rig(
        "strongSwan (ESP in user space) and FRR, for a lab's gateway, in network namespaces",
        strongswan.missing,
        strongswan.install,
    ),
    "uv": Rig(
        "uv, which makes environments at places in a moment",
        uv.missing,
        uv.install,
    ),
}


def rig(name: str) -> pytest.MarkDecorator:
    """Mark a test (or a module's `pytestmark`) as needing the counterpart `name`."""
    if name not in RIGS:
        raise LookupError(f"rig {name!r}: not one of {', '.join(sorted(RIGS))}")
    return pytest.mark.rig(name)
