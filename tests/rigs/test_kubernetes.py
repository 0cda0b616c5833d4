"""The Kubernetes rig: in seconds, several at once, real pods, and nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.rigs import rig
from tests.rigs.kubernetes import images, processes
from tests.rigs.kubernetes.client import ApiError
from tests.rigs.kubernetes.cluster import LONGEST, Cluster

pytestmark = rig("kubernetes")

IMAGE = "localhost/rig/busybox:1"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with TemporaryDirectory(prefix="kube-") as made:
        yield Path(made) / "c"


def _job(command: list[str], **pod: Any) -> dict[str, Any]:
    container = {"name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": command}
    spec = {"restartPolicy": "Never", "containers": [container], **pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "one", "namespace": "default"},
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }


def _outside() -> set[str]:
    """What a node makes outside its folder."""
    nets = {str(path) for path in Path("/sys/class/net").glob("emsk*")}
    groups = {str(path) for path in Path("/sys/fs/cgroup").glob("*/emsk*")}
    return nets | groups


def test_the_api_alone_is_there_in_seconds(folder: Path) -> None:
    began = time.monotonic()
    with Cluster.start(folder, upto="api") as cluster:
        assert time.monotonic() - began < 30
        assert cluster.api.get("v1", "Namespace", "default")
        assert "default" in cluster.ctl("get", "namespaces")
    assert not folder.exists()


def test_the_kinds_of_auto_mode_and_of_ray_are_checked(folder: Path) -> None:
    with Cluster.start(folder, upto="api") as cluster:
        cluster.define()
        pool: dict[str, Any] = {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": "one"},
            "spec": {
                "template": {
                    "spec": {
                        "nodeClassRef": {
                            "group": "eks.amazonaws.com",
                            "kind": "NodeClass",
                            "name": "ems",
                        },
                        "requirements": [{"key": "a", "operator": "In", "values": ["b"]}],
                    }
                }
            },
        }
        assert cluster.api.apply(pool, dry_run=True)["metadata"]["name"] == "one"
        pool["spec"]["template"]["spec"]["nodeClassRef"]["group"] = "karpenter.k8s.aws"
        with pytest.raises(ApiError, match="Unsupported value"):
            cluster.api.apply(pool, dry_run=True)
        pool["spec"]["weigth"] = 1
        with pytest.raises(ApiError, match="weigth"):
            cluster.api.apply(pool, dry_run=True)


def test_two_run_side_by_side_and_know_nothing_of_each_other(folder: Path) -> None:
    other = folder.with_name("d")
    with (
        Cluster.start(folder, upto="controllers") as one,
        Cluster.start(other, upto="controllers") as two,
    ):
        one.ctl("create", "namespace", "here")
        assert two.api.get("v1", "Namespace", "here") is None
        one.api.delete("/api/v1/namespaces/here")
        assert one.api.get("v1", "Namespace", "here") is None


def test_a_pod_runs_and_nothing_is_left(folder: Path) -> None:
    before = _outside()
    with Cluster.start(folder) as cluster:
        cluster.load(images.busybox(folder / "image.tar", IMAGE, ["true"]))
        cluster.api.apply(_job(["sh", "-c", "echo from the pod; exit 3"]))

        def ended() -> bool:
            job = cluster.api.get("batch/v1", "Job", "one", "default")
            assert job is not None
            return any(each["type"] == "Failed" for each in job["status"].get("conditions", ()))

        assert processes.wait(ended, 30)
        [pod] = cluster.api.list("v1", "Pod", "default")
        [container] = pod["status"]["containerStatuses"]
        assert container["state"]["terminated"]["exitCode"] == 3
        log = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}/log"
        assert cluster.api.request("GET", log) == "from the pod\n"
        cluster.api.apply(_job(["sleep", "600"]) | {"metadata": {"name": "two"}})
        assert _outside() - before
    assert not folder.exists()
    assert _outside() <= before
    assert str(folder) not in Path("/proc/mounts").read_text()


def test_it_outlives_who_started_it_and_is_ended_by_its_folder(folder: Path) -> None:
    started = Cluster.start(folder, upto="api")
    again = Cluster(folder)
    assert again.upto == "api"
    assert again.processes.runs("apiserver")
    again.stop()
    assert not started.processes.runs("apiserver")
    assert not folder.exists()


def test_a_path_that_no_socket_takes_is_refused(tmp_path: Path) -> None:
    far = tmp_path / ("x" * LONGEST)
    with pytest.raises(ValueError, match="too long"):
        Cluster.start(far)
    assert not far.exists()
