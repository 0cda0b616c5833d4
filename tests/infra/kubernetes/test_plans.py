"""What the clusters' program plans, as plain data: no engine and no server."""

from __future__ import annotations

import json

import msgspec
import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.stack.reading import plain
from infra.kubernetes import (
    access,
    isolation,
    kuberay,
    namespace,
    naming,
    pools,
    program,
    ray,
    volume,
)
from infra.kubernetes.connection import Connection, kubeconfig
from infra.settings.types import Kubernetes, Pool, Ray, RayGroup
from tests.infra.kubernetes import scene

AMOUNTS = st.integers(min_value=1, max_value=5_000_000)
UNITS = {"Gi": 1, "Ti": 1024, "Pi": 1024 * 1024}


@given(AMOUNTS)
def test_an_amount_of_memory_is_written_with_its_largest_unit(amount: int) -> None:
    written = naming.gibibytes(amount)
    number, unit = int(written[:-2]), written[-2:]
    assert number * UNITS[unit] == amount
    assert number % 1024 or unit == "Pi"


@given(AMOUNTS, AMOUNTS)
def test_the_quota_bounds_what_pods_ask_for(cpus: int, gpus: int) -> None:
    hard = namespace.quota(Kubernetes(quota_cpus=cpus, quota_gpus=gpus))
    assert hard["requests.cpu"] == str(cpus)
    assert hard["requests.nvidia.com/gpu"] == str(gpus)


def test_clusters_that_are_not_there_yet_are_named_before_one_is_touched() -> None:
    said = plain(scene.stack())
    inputs = {site: msgspec.to_builtins(scene.GIVEN) for site in (scene.SITE, "handed-only")}
    found = program._given([scene.SITE], "dev", said, inputs)
    assert found[scene.SITE][1] == scene.GIVEN
    with pytest.raises(pulumi.RunError) as refused:
        program._given(["handed-only", "new", scene.SITE], "dev", said, inputs)
    said = str(refused.value)
    assert "cluster of handed-only, new: is in the settings, but not yet in the stack" in said
    assert "no cluster was changed. Try: make up ENV=dev" in said


def test_the_token_is_asked_for_each_time_and_never_written_down() -> None:
    eks = scene.stack().sites[scene.SITE].kubernetes
    assert eks is not None
    config = json.loads(kubeconfig(Connection(eks, "us-west-2")))
    [user] = config["users"]
    assert list(user["user"]) == ["exec"]
    words = user["user"]["exec"]["args"]
    assert words[:2] == ["eks", "get-token"]
    assert words[words.index("--cluster-name") + 1] == eks.cluster
    assert words[words.index("--region") + 1] == "us-west-2"
    assert config["clusters"][0]["cluster"]["server"] == eks.endpoint


def test_pods_hear_each_other_and_kuberay_and_only_ray_hears_labs() -> None:
    without = isolation.policy(scene.GIVEN, ray=False)["ingress"]
    assert len(without) == 1
    assert "ports" not in without[0]
    heard = isolation.policy(scene.GIVEN, ray=True)["ingress"]
    assert heard[0] == without[0]
    networks = {one["ipBlock"]["cidr"] for one in heard[1]["from"]}
    assert networks == set(scene.CLIENTS.values())
    assert {one["port"] for one in heard[1]["ports"]} == {8265, 10001}


def test_pods_do_not_reach_the_credentials_of_their_node() -> None:
    [rule] = isolation.policy(scene.GIVEN, ray=False)["egress"]
    blocks = [one["ipBlock"] for one in rule["to"] if "ipBlock" in one]
    assert blocks == [{"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}]


def test_researchers_do_nothing_with_secrets_but_read_rays_token() -> None:
    for with_ray in (False, True):
        secrets = [one for one in access.rules(ray=with_ray) if "secrets" in one["resources"]]
        assert [(one["verbs"], one["resourceNames"]) for one in secrets] == (
            [(["get"], [naming.RAY])] if with_ray else []
        )
    assert not any("*" in json.dumps(one) for one in access.rules(ray=True))


def test_a_gpu_pool_is_for_those_who_ask_for_a_gpu() -> None:
    plain = pools.node_pool(Pool(families=("c7i",)))
    assert "taints" not in plain["template"]["spec"]
    assert naming.GPU not in plain["limits"]
    dear = pools.node_pool(Pool(families=("g5",), gpu=True, max_gpus=4, market="on-demand"))
    [taint] = dear["template"]["spec"]["taints"]
    assert taint == {"key": naming.GPU, "effect": "NoSchedule"}
    assert dear["limits"][naming.GPU] == "4"
    tolerated = naming.GPU_TOLERATION
    assert (tolerated["key"], tolerated["effect"]) == (taint["key"], taint["effect"])


def test_nodes_go_when_they_are_empty_and_live_21_days_at_most() -> None:
    pool = pools.node_pool(Pool(families=("c7i",)))
    assert pool["disruption"]["consolidationPolicy"] == "WhenEmpty"
    template = pool["template"]["spec"]
    hours = sum(int(template[key][:-1]) for key in ("expireAfter", "terminationGracePeriod"))
    assert hours <= 21 * 24
    assert template["nodeClassRef"]["group"] == "eks.amazonaws.com"


def test_nodes_are_tagged_and_in_the_clusters_own_group() -> None:
    made = pools.node_class(scene.GIVEN)
    assert made["tags"] == {"ems-environment": "dev"}
    assert made["role"] == scene.GIVEN.node_role
    assert made["securityGroupSelectorTerms"] == [
        {"tags": {"aws:eks:cluster-name": scene.GIVEN.cluster}}
    ]
    untagged = pools.node_class(msgspec.structs.replace(scene.GIVEN, tags={}))
    assert "tags" not in untagged


def test_the_volume_is_kept_and_mounted_through_its_access_point() -> None:
    made = volume.volume(scene.GIVEN)
    assert made["persistentVolumeReclaimPolicy"] == "Retain"
    assert made["csi"]["volumeHandle"].split("::") == [
        scene.GIVEN.file_system,
        scene.GIVEN.access_point,
    ]


def test_ray_asks_for_a_token_and_scales_by_itself() -> None:
    made = ray.cluster(Ray(cluster=True), claim=True)
    assert made["authOptions"] == {"mode": "token"}
    assert made["enableInTreeAutoscaling"] is True
    assert tuple(map(int, made["rayVersion"].split("."))) >= (2, 52, 0)
    assert tuple(map(int, kuberay.VERSION.split("."))) >= (1, 5, 1)
    assert all("replicas" not in one for one in made["workerGroupSpecs"])


def test_no_ray_pod_is_moved_and_no_spot_notice_takes_the_head() -> None:
    groups = {"cpu": RayGroup(), "gpu": RayGroup(gpus=2)}
    made = ray.cluster(Ray(cluster=True, groups=groups), claim=True)
    head = made["headGroupSpec"]["template"]
    workers = {one["groupName"]: one["template"] for one in made["workerGroupSpecs"]}
    for template in (head, *workers.values()):
        annotations = template["metadata"]["annotations"]
        assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert head["spec"]["nodeSelector"] == {"karpenter.sh/capacity-type": "on-demand"}
    assert "nodeSelector" not in workers["cpu"]["spec"]
    assert workers["gpu"]["spec"]["tolerations"] == [naming.GPU_TOLERATION]
    [container] = workers["gpu"]["spec"]["containers"]
    assert container["resources"]["limits"][naming.GPU] == "2"
    assert container["image"].endswith("-gpu")


def test_the_way_to_ray_is_internal_and_for_those_who_are_named() -> None:
    notes = ray.balancer(scene.GIVEN)
    assert notes[f"{ray.BALANCER}-scheme"] == "internal"
    assert notes[f"{ray.BALANCER}-subnets"] == "subnet-0a,subnet-0b"
    made = ray.service(scene.GIVEN)
    assert made["loadBalancerSourceRanges"] == sorted(scene.CLIENTS.values())
    assert made["loadBalancerClass"] == "eks.amazonaws.com/nlb"


def test_kuberay_minds_one_namespace_from_outside_it() -> None:
    assert kuberay.values("ems")["watchNamespace"] == ["ems"]
    assert naming.OPERATOR_NAMESPACE != "ems"
