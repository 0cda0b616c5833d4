"""The clusters' program on the real engine and a real API server: made, changed, taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.stack import outputs
from ems.stack.reading import CLUSTER_OUTPUT, parse_clusters
from infra.kubernetes import naming
from tests.infra.kubernetes import scene
from tests.rigs import rig
from tests.rigs.kubernetes.client import ApiError
from tests.rigs.kubernetes.cluster import Cluster
from tests.rigs.sky.engine import Engine, Result

pytestmark = [rig("pulumi"), rig("kubernetes")]

SPOT = {"families": ["c7i", "m7i"], "max_cpus": 64}
GPU = {"families": ["g5"], "market": "on-demand", "gpu": True, "max_gpus": 4}
RAY = {"cluster": True, "groups": {"cpu": {}, "gpu": {"gpus": 1}}}
PUBLISHED = ("update", "dev-workspaces-sites-oregon-workspace")
QUOTA = ("v1", "ResourceQuota", "ems", "ems")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster of a test's own."""
    with scene.running_cluster() as started:
        yield started


def _workspace(engine: Engine) -> outputs.Workspace:
    return parse_clusters(engine.outputs()[CLUSTER_OUTPUT]).workspaces[scene.SITE]


def _change(engine: Engine, **kubernetes: Any) -> None:
    engine.configure(scene.settings(kubernetes))


def _spec(cluster: Cluster, version: str, kind: str, name: str, namespace: str = "") -> Any:
    found = cluster.api.get(version, kind, name, namespace)
    assert found is not None, f"no {kind} {name}"
    return found["spec"]


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A kubeconfig that nothing answers to."""
    file = tmp_path / "kubeconfig"
    file.write_text("{}\n")
    return file


def test_without_a_cluster_nothing_is_made_and_it_says_so(tmp_path: Path, nowhere: Path) -> None:
    config = scene.settings(None)
    with scene.scene(tmp_path, nowhere, scene.stack(cluster=False), config) as engine:
        result = engine.up()
        assert not result.changes
        assert "dev has no cluster" in result.shown()
        assert not parse_clusters(engine.outputs()[CLUSTER_OUTPUT]).workspaces


def test_a_cluster_that_is_only_in_the_settings_is_asked_for_first(
    tmp_path: Path, nowhere: Path
) -> None:
    with scene.scene(tmp_path, nowhere, scene.stack(cluster=False), scene.settings({})) as engine:
        result = engine.preview(check=False)
        assert result.code != 0
        assert "cluster of oregon: is in the settings, but not yet in the stack" in result.shown()
        assert "make up ENV=dev" in result.shown()
        assert "Traceback" not in result.shown()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_workspace_from_nothing_to_nothing(tmp_path: Path, cluster: Cluster) -> None:
    config = scene.settings({"pools": {"spot": SPOT}})
    with scene.scene(tmp_path, cluster.kubeconfig, scene.stack(), config) as engine:
        assert not engine.preview().errors
        assert cluster.api.get("v1", "Namespace", "ems") is None
        engine.up()
        engine.nothing_to_do()
        assert _workspace(engine) == outputs.Workspace(
            namespace="ems", service_account="ems-job", claim=naming.CLAIM, pools=("spot",)
        )
        _what_the_server_has(cluster)
        _changes_in_place(engine, cluster)
        _drift_is_found_and_taken_back(engine, cluster)
        engine.destroy()
        _nothing_is_left(cluster)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ray_comes_changes_and_goes(tmp_path: Path, cluster: Cluster) -> None:
    config = scene.settings({"pools": {"gpu": GPU}, "ray": {"cluster": False}})
    with scene.scene(tmp_path, cluster.kubeconfig, scene.stack(), config) as engine:
        engine.up()
        assert _workspace(engine).ray == outputs.Ray(
            version="2.52.0", image="rayproject/ray:2.52.0"
        )
        assert not cluster.api.list("ray.io/v1", "RayCluster", "ems")
        _ray_stands(engine, cluster)
        _ray_goes_on_through_changes(engine, cluster)
        _a_job_is_left_behind(cluster)
        engine.destroy()
        _nothing_is_left(cluster)
        _it_went_in_the_order_that_a_vpc_needs(engine)


def _what_the_server_has(cluster: Cluster) -> None:
    hard = {"requests.cpu": "256", "requests.memory": "1Ti", f"requests.{naming.GPU}": "8"}
    assert _spec(cluster, *QUOTA)["hard"] == hard
    claim = cluster.api.get("v1", "PersistentVolumeClaim", naming.CLAIM, "ems")
    assert claim is not None
    assert claim["status"]["phase"] == "Bound"
    volume = _spec(cluster, "v1", "PersistentVolume", "ems-ems-data")
    assert volume["csi"]["volumeHandle"] == "fs-0123456789abcdef0::fsap-0123456789abcdef0"
    assert volume["persistentVolumeReclaimPolicy"] == "Retain"
    heed = cluster.api.get("v1", "ConfigMap", "amazon-vpc-cni", "kube-system")
    assert heed is not None
    assert heed["data"] == {"enable-network-policy-controller": "true"}
    assert cluster.api.get("networking.k8s.io/v1", "NetworkPolicy", "ems", "ems")
    assert cluster.api.list("eks.amazonaws.com/v1", "NodeClass")
    _what_people_may(cluster)
    _what_pods_get(cluster)


def _what_people_may(cluster: Cluster) -> None:
    """As the API server decides it for somebody of the group, not as the Role reads."""

    def may(verb: str, kind: str, namespace: str = "ems") -> bool:
        try:
            words = ["--as=x", "--as-group=ems-researchers", f"--namespace={namespace}"]
            return cluster.ctl("auth", "can-i", verb, kind, *words).strip() == "yes"
        except RuntimeError:  # its exit code is 1 for no
            return False

    assert may("create", "jobs.batch")
    assert may("get", "pods/log")
    assert not may("get", "secrets")
    assert not may("create", "pods")
    assert not may("create", "jobs.batch", "kube-system")
    assert not may("create", "rayjobs.ray.io")


def _what_pods_get(cluster: Cluster) -> None:
    """A pod that asks for nothing gets something; one that may harm the node is refused."""
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": "ems"},
        "spec": {"serviceAccountName": "ems-job", "containers": [{"name": "c", "image": "i"}]},
    }
    made = cluster.api.apply(pod, dry_run=True)
    asked = made["spec"]["containers"][0]["resources"]["requests"]
    assert asked == {"cpu": "1", "memory": "2Gi"}
    assert "volumes" not in made["spec"] or not made["spec"]["volumes"], "no API token"
    pod["spec"]["hostNetwork"] = True
    with pytest.raises(ApiError, match="PodSecurity"):
        cluster.api.apply(pod, dry_run=True)


def _steps(result: Result) -> list[tuple[str, str]]:
    return sorted((step.op, step.name) for step in result.changes)


def _parameter(engine: Engine) -> outputs.Workspace:
    """Return the workspace as researchers without Pulumi read it."""
    assert engine.cloud
    ssm = engine.cloud.client("ssm", "us-west-2")
    held = ssm.get_parameter(Name="/ems/dev/sites/oregon/workspace")["Parameter"]["Value"]
    return msgspec.json.decode(held, type=outputs.Workspace)


def _changes_in_place(engine: Engine, cluster: Cluster) -> None:
    _change(engine, pools={"spot": SPOT}, quota_cpus=32)
    result = engine.up()
    assert result.names("update") == ["dev-oregon-quota"]
    assert len(result.changes) == 1
    assert _spec(cluster, *QUOTA)["hard"]["requests.cpu"] == "32"

    _change(engine, pools={"spot": SPOT, "gpu": GPU}, quota_cpus=32)
    result = engine.up()
    assert _steps(result) == [("create", "dev-oregon-pool-gpu"), PUBLISHED]
    pool = _spec(cluster, "karpenter.sh/v1", "NodePool", "gpu")
    assert pool["limits"] == {"cpu": "128", naming.GPU: "4"}

    _change(engine, pools={"gpu": GPU}, quota_cpus=32)
    result = engine.up()
    assert _steps(result) == [("delete", "dev-oregon-pool-spot"), PUBLISHED]
    assert _parameter(engine).pools == ("gpu",)


def _drift_is_found_and_taken_back(engine: Engine, cluster: Cluster) -> None:
    patch = '{"spec": {"hard": {"requests.cpu": "999"}}}'
    cluster.ctl("patch", "resourcequota", "ems", "-n", "ems", "--type=merge", "-p", patch)
    seen = engine.refresh("--preview-only", "--expect-no-changes", check=False)
    assert seen.code != 0
    assert engine.up("--refresh").names("update") == ["dev-oregon-quota"]
    assert _spec(cluster, *QUOTA)["hard"]["requests.cpu"] == "32"


def _ray_stands(engine: Engine, cluster: Cluster) -> None:
    _change(engine, pools={"gpu": GPU}, ray=RAY)
    result = engine.up()
    assert not result.names("replace", "delete")
    ray = _workspace(engine).ray
    assert ray is not None
    assert ray.address.startswith("http://")
    assert ray.address.endswith(":8265")
    assert ray.token == "kubernetes:ems/ray/auth_token"
    service = cluster.api.get("v1", "Service", naming.RAY_SERVICE, "ems")
    assert service is not None
    assert service["spec"]["loadBalancerSourceRanges"] == sorted(scene.CLIENTS.values())
    _pods_of_ray_are_pods(cluster)


def _pods_of_ray_are_pods(cluster: Cluster) -> None:
    """The definition here takes any template, so each is shown to the server as a pod."""
    spec = _spec(cluster, "ray.io/v1", "RayCluster", naming.RAY, "ems")
    groups = {one["groupName"]: one for one in spec["workerGroupSpecs"]}
    assert sorted(groups) == ["cpu", "gpu"]
    for name, template in {
        "head": spec["headGroupSpec"]["template"],
        **{key: one["template"] for key, one in groups.items()},
    }.items():
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "ems", **template["metadata"]},
            "spec": template["spec"],
        }
        made = cluster.api.apply(pod, dry_run=True)
        assert made["metadata"]["annotations"] == naming.KEEP
        mounted = {one["name"] for one in made["spec"]["containers"][0]["volumeMounts"]}
        assert "data" in mounted
        # only the head's autoscaler talks to the API
        assert (len(mounted) == 2) == (name == "head")


def _ray_goes_on_through_changes(engine: Engine, cluster: Cluster) -> None:
    # the autoscaler starts workers: what it writes is no drift
    patch = '[{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 3}]'
    cluster.ctl("patch", "raycluster", "ray", "-n", "ems", "--type=json", "-p", patch)
    engine.nothing_to_do()
    more = {**RAY, "groups": {"cpu": {"max_workers": 16}, "gpu": {"gpus": 1}}}
    _change(engine, pools={"gpu": GPU}, ray=more)
    result = engine.up()
    assert result.names("update") == ["dev-oregon-ray"]
    assert len(result.changes) == 1


def _a_job_is_left_behind(cluster: Cluster) -> None:
    """What a researcher left in the namespace is no reason for it to stay."""
    cluster.api.apply(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayJob",
            "metadata": {"name": "left", "namespace": "ems"},
            "spec": {"entrypoint": "true"},
        }
    )


def _nothing_is_left(cluster: Cluster) -> None:
    names = {one["metadata"]["name"] for one in cluster.api.list("v1", "Namespace")}
    assert not {"ems", naming.OPERATOR_NAMESPACE} & names
    for version, kind in (
        ("karpenter.sh/v1", "NodePool"),
        ("eks.amazonaws.com/v1", "NodeClass"),
        ("v1", "PersistentVolume"),
        ("storage.k8s.io/v1", "StorageClass"),
    ):
        assert not cluster.api.list(version, kind), kind
    assert cluster.api.get("v1", "ConfigMap", "amazon-vpc-cni", "kube-system") is None


def _it_went_in_the_order_that_a_vpc_needs(engine: Engine) -> None:
    gone = [e.name + e.type for e in engine.journal() if (e.op, e.when) == ("delete", "done")]
    order = [
        "dev-oregon-raykubernetes:core/v1:Service",
        "dev-oregon-raykubernetes:ray.io/v1:RayCluster",
        "dev-oregon-namespacekubernetes:core/v1:Namespace",
        "dev-oregon-kuberaykubernetes:helm.sh/v3:Release",
    ]
    places = [gone.index(one) for one in order]
    assert places == sorted(places)
    pool = gone.index("dev-oregon-pool-gpukubernetes:karpenter.sh/v1:NodePool")
    nodes = gone.index("dev-oregon-nodeskubernetes:eks.amazonaws.com/v1:NodeClass")
    assert gone.index(order[2]) < pool < nodes
