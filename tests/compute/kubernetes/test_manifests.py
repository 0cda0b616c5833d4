"""Jobs as objects: which orders go together, and what pods ask for."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.compute.job import Reason, Resources
from ems.compute.kubernetes import manifests
from ems.compute.kubernetes.manifests import ids_of, job, refusal, together
from ems.compute.kubernetes.settings import KubernetesSettings
from ems.compute.remote.order import Order


def settings(**more: Any) -> KubernetesSettings:
    keys = {"kubernetes": "lab", "folder": "/f", "volume": {"claim": "ems-data"}, "image": "py:1"}
    return msgspec.convert({**keys, **more}, KubernetesSettings)


def order(id: str = "ems-1", **more: Any) -> Order:
    return Order(id, "train", ("python3", "w.pyz"), f"/ems/jobs/{id}", **more)


def pod(made: dict[str, Any]) -> dict[str, Any]:
    return made["spec"]["template"]["spec"]


def container(made: dict[str, Any]) -> dict[str, Any]:
    [one] = pod(made)["containers"]
    return one


def terms(made: dict[str, Any]) -> list[list[tuple[str, str, list[str]]]]:
    affinity = pod(made)["affinity"]["nodeAffinity"]
    either = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return [
        [(e["key"], e["operator"], e["values"]) for e in term["matchExpressions"]]
        for term in either
    ]


def test_one_order_is_a_plain_job_that_is_never_tried_again() -> None:
    made = job([order(grace_s=7)], settings())
    assert made["metadata"]["name"] == "ems-1"
    assert made["spec"]["backoffLimit"] == 0
    assert made["spec"]["podReplacementPolicy"] == "Failed"
    assert "activeDeadlineSeconds" not in {**made["spec"], **pod(made)}
    assert pod(made)["terminationGracePeriodSeconds"] == 7
    assert pod(made)["restartPolicy"] == "Never"
    assert pod(made)["serviceAccountName"] == "ems-job"
    assert container(made)["command"] == ["/bin/sh", "-c", order().shell()]
    assert made["spec"]["template"]["metadata"]["labels"]["ems.dev/job"] == "ems-1"
    assert "serviceAccountName" not in pod(job([order()], settings(service_account="")))


def test_a_limit_of_time_is_the_pods_and_never_the_jobs(tmp_path: Path) -> None:
    words = ("sh", "-c", "trap 'ls events.jsonl.timeout; exit 7' TERM; sleep 20 & wait")
    made = job([Order("ems-1", "n", words, str(tmp_path), wall_s=0.5, grace_s=9)], settings())
    assert "activeDeadlineSeconds" not in made["spec"]
    assert pod(made)["activeDeadlineSeconds"] == 310  # the image is fetched in that time, too
    [*shell, line] = container(made)["command"]
    done = subprocess.run([*shell, line.replace("$$", "$")], check=False, timeout=10)
    assert done.returncode == 7
    assert (tmp_path / "output").read_text() == "events.jsonl.timeout\n"


def test_what_is_asked_for_is_the_limit_but_for_cpus() -> None:
    resources = Resources.of(cpus=1.5, memory="2GiB", gpus=2, disk="10GiB")
    made = job([order(resources=resources)], settings())
    amounts = {"memory": "2048Mi", "ephemeral-storage": "10240Mi", "nvidia.com/gpu": "2"}
    asked = container(made)["resources"]
    assert asked == {"requests": {"cpu": "1500m", **amounts}, "limits": amounts}
    [toleration] = pod(made)["tolerations"]
    assert toleration == {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    limited = job([order(resources=resources)], settings(limit_cpus=True))
    assert container(limited)["resources"]["limits"]["cpu"] == "1500m"
    most = Resources.of(4, 16)  # 2.5 of 4 CPUs, as robot_gym's workers
    differing = job([order(resources=Resources.of(2.5, 8), limits=most)], settings())
    assert container(differing)["resources"] == {
        "requests": {"cpu": "2500m", "memory": "8192Mi"},
        "limits": {"cpu": "4000m", "memory": "16384Mi"},
    }
    assert "tolerations" not in pod(job([order()], settings()))


def test_nodes_by_pool_market_and_kind_of_gpu() -> None:
    market, pool = "karpenter.sh/capacity-type", "karpenter.sh/nodepool"
    assert terms(job([order()], settings())) == [[(market, "NotIn", ["spot"])]]
    spot = job([order(spot=True)], settings(node_pool="gpu"))
    assert terms(spot) == [[(market, "In", ["spot"]), (pool, "In", ["gpu"])]]
    # a cluster of a lab has no such label: spot is a wish there
    loose = pod(job([order(spot=True)], settings()))["affinity"]["nodeAffinity"]
    assert list(loose) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    kind = job([order(resources=Resources.of(gpus=1, gpu_kind="A100"))], settings())
    labels = [term[1] for term in terms(kind)]
    assert [names for _, _, names in labels] == [["A100", "a100"]] * 3
    assert labels[0][0] == "nvidia.com/gpu.product"


def test_security_is_as_tight_as_the_image_allows() -> None:
    made = job([order()], settings())
    assert pod(made)["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert container(made)["securityContext"] == {"allowPrivilegeEscalation": False}
    tight = job([order()], settings(user=1000))
    assert pod(tight)["securityContext"]["runAsNonRoot"] is True
    assert container(tight)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod(made)["automountServiceAccountToken"] is False


def test_volumes() -> None:
    more = {"/data": {"claim": "sets", "path": "a/b"}, "/opt": {"hostPath": "/opt"}}
    made = job([order()], settings(volumes=more, root="/site"))
    first, second, third, shm = container(made)["volumeMounts"]
    assert first == {"name": "v0", "mountPath": "/site"}
    assert second == {"name": "v1", "mountPath": "/data", "subPath": "a/b", "readOnly": True}
    assert (third["mountPath"], third["readOnly"]) == ("/opt", True)
    assert shm["mountPath"] == "/dev/shm"
    sources = [{k: v for k, v in each.items() if k != "name"} for each in pod(made)["volumes"]]
    assert sources[0] == {"persistentVolumeClaim": {"claimName": "ems-data"}}
    assert sources[2] == {"hostPath": {"path": "/opt", "type": "Directory"}}


def test_what_looks_like_a_reference_of_the_kubelets_stays_text() -> None:
    made = job([order(variables={"A": "$(HOME) $$ $x"})], settings())
    assert container(made)["env"] == [{"name": "A", "value": "$$(HOME) $$$$ $$x"}]
    secret = job([order(secrets={"KEY": "k8s:wandb/api.key"})], settings())
    reference = {"secretKeyRef": {"name": "wandb", "key": "api.key"}}
    assert container(secret)["env"] == [{"name": "KEY", "valueFrom": reference}]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"secrets": {"K": "env:K"}}, "k8s:NAME/KEY"),
        ({"secrets": {"K": "file:/k"}}, "k8s:NAME/KEY"),
        ({"secrets": {"K": "k8s:name"}}, "k8s:NAME/KEY"),
        ({"modules": ("cuda/12",)}, "cuda/12"),
    ],
)
def test_what_can_be_no_pod(more: dict[str, Any], said: str) -> None:
    refused = refusal(order(**more), settings())
    assert refused is not None
    assert refused.reason is Reason.IMPOSSIBLE
    assert said in refused.detail


def test_an_image_must_come_from_somewhere() -> None:
    assert refusal(order(), settings(image="")) is not None
    assert refusal(order(image="own:1"), settings(image="")) is None
    assert container(job([order(image="own:1")], settings()))["image"] == "own:1"


def test_only_orders_that_are_alike_go_together() -> None:
    different: list[dict[str, Any]] = [
        {},
        {"variables": {"A": "1"}},
        {"secrets": {"A": "k8s:a/b"}},
        {"image": "other"},
        {"wall_s": 60.0},
        {"spot": True},
        {"resources": Resources.of(cpus=2)},
    ]
    pairs = [order(f"ems-{at}-{n}", **each) for n in "ab" for at, each in enumerate(different)]
    groups = list(together(pairs))
    assert [[each.id[-1] for each in group] for group in groups] == [["a", "b"]] * len(different)
    elsewhere = order("ems-x")._replace(folder="/ems/jobs/other")
    assert len(list(together([order("ems-1"), elsewhere]))) == 2


def test_ten_thousand_orders_are_objects_of_a_size_that_is_taken() -> None:
    orders = [order(f"ems-{at:032x}", variables={"A": "x" * 100}) for at in range(10_000)]
    groups = list(together(orders))
    assert len(groups) == 100
    made = job(groups[0], settings())
    assert made["spec"]["completions"] == made["spec"]["parallelism"] == 100
    assert made["spec"]["backoffLimitPerIndex"] == 0
    assert "backoffLimit" not in made["spec"]
    assert "maxFailedIndexes" not in made["spec"]
    assert ids_of(made) == [each.id for each in groups[0]]
    assert len(json.dumps(made)) < 7_000
    # the name of a pod is the Job's with an index, and is a host's name
    assert len(made["metadata"]["name"]) + len("-99") <= 63
    names = {job(group, settings())["metadata"]["name"] for group in groups}
    assert len(names) == len(groups)
    assert job(groups[0], settings())["metadata"]["name"] == made["metadata"]["name"]
    assert job(groups[0][:-1], settings())["metadata"]["name"] != made["metadata"]["name"]


@pytest.mark.parametrize("wall_s", [None, 2.0])
def test_an_index_finds_its_folder(tmp_path: Path, wall_s: float | None) -> None:
    base = tmp_path / "with space"
    orders = [
        Order(
            f"ems-{at}",
            "n",
            ("sh", "-c", "echo $0 in; pwd", "a b"),
            f"{base}/ems-{at}",
            wall_s=wall_s,
        )
        for at in range(3)
    ]
    made = container(job(orders, settings()))
    for each in orders:
        Path(each.folder).mkdir(parents=True)
    (base / "ems-2/events.jsonl.cancel").touch()
    # what the kubelet does: `$$` becomes `$`
    words = [word.replace("$$", "$") for word in (*made["command"], *made["args"])]
    for index, code in ((0, 0), (1, 0), (2, 1)):
        environment = {"JOB_COMPLETION_INDEX": str(index), "PATH": "/usr/bin:/bin"}
        assert subprocess.run(words, env=environment, check=False).returncode == code
    assert (base / "ems-1/output").read_text() == f"a b in\n{base}/ems-1\n"
    assert not (base / "ems-2/output").exists()
    assert shlex.quote(str(base)) in words[2]
    assert manifests.ids_of(job(orders, settings())) == ["ems-0", "ems-1", "ems-2"]
