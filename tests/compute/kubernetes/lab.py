"""A namespace of the rig's cluster as a place: settings, backends on it, and shorthands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ems.compute.job import Handle, Job, JobStatus
from ems.compute.kinds import Setting
from ems.compute.kubernetes.api import Api
from ems.compute.kubernetes.kind import KIND
from ems.compute.kubernetes.scheduler import Kubernetes
from ems.compute.kubernetes.settings import KubernetesSettings
from ems.compute.remote.order import Order
from ems.compute.remote.spool import SpoolBackend
from tests.contract.place import Kept, Place
from tests.rigs.kubernetes import images
from tests.rigs.kubernetes.cluster import Cluster

IMAGE = "localhost/rig/busybox:1"
NAMESPACE = "lab"
_MACHINE = ("/usr", "/lib", "/lib64", "/bin")
"""Mounted into pods, so that they run this machine's Python."""


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start a cluster with an image and a namespace; it ends with the block."""
    with Cluster.start(folder) as cluster:
        cluster.load(images.busybox(folder / "image.tar", IMAGE, ["true"]))
        cluster.ctl("create", "namespace", NAMESPACE)
        yield cluster


class Lab:
    """What a researcher has: a target's settings, a store, and backends opened from them."""

    def __init__(self, cluster: Cluster, folder: Path, namespace: str = NAMESPACE) -> None:
        self.cluster, self.folder, self.namespace = cluster, folder, namespace
        self.there = folder / "there"
        self.there.mkdir(exist_ok=True)
        self.objects = Kept(folder / "objects")
        self.warnings: list[str] = []
        self._opened: list[SpoolBackend] = []

    def settings(self, **more: Any) -> KubernetesSettings:
        """Return settings as `.ems.yaml` has them, read as they would be."""
        keys: dict[str, Any] = {
            "kubernetes": "rig",
            "kubeconfig": str(self.cluster.kubeconfig),
            "namespace": self.namespace,
            "folder": "there",
            "volume": {"hostPath": str(self.there)},
            "volumes": {path: {"hostPath": path} for path in _MACHINE},
            "image": IMAGE,
            "pull_policy": "Never",
            "service_account": "",
        }
        return msgspec.convert({**keys, **more}, KubernetesSettings)

    def setting(self) -> Setting:
        return Setting(self.objects, self.folder / "cache", self.warnings.append, self.folder)

    def open(self, **more: Any) -> SpoolBackend:
        """Return a backend; it is closed with the lab."""
        [backend] = KIND.open("lab", self.settings(**more), self.setting())
        self._opened.append(backend)
        return backend

    def place(self, **more: Any) -> Place:
        return Place(self.open(**more), self.folder)

    def scheduler(self, **more: Any) -> Kubernetes:
        settings = self.settings(**more)
        return Kubernetes("lab", settings, Api("rig", settings.kubeconfig))

    def order(self, id: str, script: str, **more: Any) -> Order:
        """Return an order for a shell script, with its folder made."""
        (self.there / "jobs" / id).mkdir(parents=True, exist_ok=True)
        return Order(id, "test", ("sh", "-c", script), f"/ems/jobs/{id}", **more)

    def output(self, id: str) -> str:
        return (self.there / "jobs" / id / "output").read_text()

    def jobs(self) -> list[dict[str, Any]]:
        return self.cluster.api.list("batch/v1", "Job", self.namespace)

    def pods(self, id: str) -> list[dict[str, Any]]:
        everything = self.cluster.api.list("v1", "Pod", self.namespace)
        return [each for each in everything if each["metadata"]["labels"]["ems.dev/job"] == id]

    def close(self) -> None:
        """Close backends, and remove what is left of this test's Jobs."""
        for backend in self._opened:
            backend.close()
        self.cluster.ctl("delete", "jobs", "--all", "-n", self.namespace, "--wait=false")


def finish(place: Place, handles: Sequence[Handle], timeout_s: float = 40) -> list[JobStatus]:
    """Wait for the end of jobs."""
    backend = place.backend
    place.until(lambda: all(each.state.ended for each in backend.poll(handles)), timeout_s)
    return backend.poll(handles)


def sh(place: Place, script: str, **keys: Any) -> Job:
    """Return a job that runs a script."""
    return place.job(["sh", "-c", script], **keys)


def until(true: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)
