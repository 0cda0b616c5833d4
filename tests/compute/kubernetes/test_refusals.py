"""What a cluster refuses, and whom; and what the check of a place says about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ems.compute.backend import Room
from ems.compute.job import JobState, Reason, Resources
from ems.compute.kubernetes.api import Api
from ems.compute.kubernetes.kind import KIND
from ems.compute.kubernetes.scheduler import Kubernetes, new_enough
from ems.compute.remote.order import Native, PlaceError, Unreachable
from ems.errors import UsageError
from tests.compute.kubernetes.lab import Lab, finish, sh, until
from tests.rigs import rig
from tests.rigs.kubernetes.cluster import Cluster

pytestmark = rig("kubernetes")


@pytest.fixture
def space(cluster: Cluster, tmp_path: Path) -> Any:
    """Make a namespace with objects in it; it goes with the test."""
    made: list[tuple[str, Lab]] = []

    def make(name: str, labels: dict[str, str], *things: dict[str, Any]) -> Lab:
        meta = {"name": name, "labels": labels}
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        for thing in things:
            cluster.api.apply({**thing, "metadata": {"name": "ems", "namespace": name}})
        made.append((name, one := Lab(cluster, tmp_path, name)))
        return one

    yield make
    for name, one in made:
        one.close()
        cluster.ctl("delete", "namespace", name, "--wait=false")


Space = Callable[..., Lab]


def _quota(**hard: str) -> dict[str, Any]:
    named = {"requests.cpu": hard.pop("cpu"), **hard}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": named}}


def _said(lab: Lab, id: str, true: Callable[[Native], bool]) -> Native:
    scheduler = lab.scheduler()
    until(lambda: true(scheduler.look([id])[id]))
    return scheduler.look([id])[id]


def test_a_quota_that_is_used_up_is_waited_for_and_one_too_small_is_told(space: Space) -> None:
    lab = space("tight", {}, _quota(cpu="1"))
    half = Resources.of(cpus=0.75)
    lab.scheduler().start([lab.order("ems-first", "exec sleep 60", resources=half, grace_s=1)])
    _said(lab, "ems-first", lambda native: native.state is JobState.RUNNING)
    assert lab.scheduler().room().free == 0.25
    big = Resources.of(cpus=3)
    orders = [
        lab.order("ems-second", "true", resources=half),
        lab.order("ems-big", "true", resources=big),
    ]
    assert lab.scheduler().start(orders) == [None, None]
    waits = _said(lab, "ems-second", lambda native: "exceeded quota" in native.waiting)
    assert waits.state is JobState.SUBMITTED
    never = _said(lab, "ems-big", lambda native: native.state.ended)
    assert (never.state, never.reason) == (JobState.FAILED, Reason.NO_CAPACITY)
    assert "limited: requests.cpu=1" in never.detail


def test_pod_security_and_a_missing_service_account(space: Space) -> None:
    level = {"pod-security.kubernetes.io/enforce": "baseline"}
    lab = space("secure", level)
    lab.scheduler().start([lab.order("ems-mounts", "true")])
    mounts = _said(lab, "ems-mounts", lambda native: native.state.ended)
    assert mounts.reason is Reason.IMPOSSIBLE
    assert "violates PodSecurity" in mounts.detail
    lab.scheduler(service_account="nobody").start([lab.order("ems-nobody", "true")])
    nobody = _said(lab, "ems-nobody", lambda native: native.state.ended)
    assert nobody.reason is Reason.IMPOSSIBLE
    assert "service_account" in nobody.detail
    # written down: the Jobs have ended, for whoever asks
    jobs = {each["metadata"]["name"]: each for each in lab.jobs()}
    until(lambda: all(each["status"].get("conditions") for each in lab.jobs()))
    assert set(jobs) == {"ems-mounts", "ems-nobody"}


def test_with_a_claim_and_a_user_pods_meet_the_restricted_level(space: Space) -> None:
    lab = space("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
    claim = {"claim": "ems-data"}
    scheduler = lab.scheduler(volume=claim, volumes={"/data": claim}, user=1000)
    scheduler.start([lab.order("ems-one", "true", resources=Resources.of(gpus=1))])
    waits = _said(lab, "ems-one", lambda native: bool(native.waiting))
    assert 'persistentvolumeclaim "ems-data" not found' in waits.waiting


def test_a_volume_that_is_not_on_the_node_is_told_while_it_waits(lab: Lab) -> None:
    scheduler = lab.scheduler(volumes={"/data": {"hostPath": "/no/such/folder"}})
    scheduler.start([lab.order("ems-mount", "true")])
    waits = _said(lab, "ems-mount", lambda native: "hostPath" in native.waiting)
    assert waits.state is JobState.SUBMITTED


def test_jobs_run_as_a_user_and_with_what_it_may(lab: Lab) -> None:
    place = lab.place(user=12345)
    for folder in (lab.there, *(lab.there / each for each in ("jobs", "objects", "scratch"))):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
    id = "ems-user"
    order = lab.order(id, "id -u; ls /usr/bin/env; touch /usr/x", grace_s=1)
    (lab.there / "jobs" / id).chmod(0o777)
    lab.scheduler(user=12345).start([order])
    ended = _said(lab, id, lambda native: native.state.ended)
    assert ended.exit_code == 1
    assert lab.output(id).startswith("12345\n/usr/bin/env\n")
    assert place.backend.capabilities.targets == ("lab",)


def _researcher(lab: Lab, folder: Path) -> Path:
    """Return a kubeconfig of somebody who may look at pods and nothing else."""
    name = lab.namespace
    ctl = lab.cluster.ctl
    ctl("create", "serviceaccount", "ann", "-n", name)
    ctl("create", "role", "looks", "-n", name, "--verb=list", "--resource=pods")
    ctl("create", "rolebinding", "ann", "-n", name, "--role=looks", f"--serviceaccount={name}:ann")
    config = yaml.safe_load(lab.cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": ctl("create", "token", "ann", "-n", name).strip()}
    made = folder / "ann"
    made.write_text(yaml.safe_dump(config))
    return made


def test_who_may_not_is_told_what_to_ask_for(space: Space, tmp_path: Path) -> None:
    lab = space("rights", {})
    ann = _researcher(lab, tmp_path)
    mine = lab.settings(kubeconfig=str(ann))
    scheduler = Kubernetes("lab", mine, Api("rig", str(ann)))
    assert scheduler.room().free is None
    with pytest.raises(PlaceError) as refused:
        scheduler.start([lab.order("ems-one", "true")])
    assert "may not list jobs in rights" in refused.value.problem
    assert "ask for the right" in refused.value.next_step
    [finding] = KIND.check("lab", mine, lab.setting())
    assert not finding.ready
    assert (
        "you may not create jobs, list jobs, patch jobs, delete jobs, delete pods" in finding.what
    )

    config = yaml.safe_load(ann.read_text())
    config["users"][0]["user"] = {"token": "nonsense"}
    ann.write_text(yaml.safe_dump(config))
    [finding] = KIND.check("lab", mine, lab.setting())
    assert "does not know you" in finding.what
    assert "whoami" in finding.next_step


def test_the_check_of_a_place(lab: Lab) -> None:
    [good] = KIND.check("lab", lab.settings(), lab.setting())
    assert good.ready, good.what
    assert good.what.startswith("kubernetes 1.34.1, namespace lab, 1 of 1 nodes ready, ")
    assert good.what.endswith(" CPUs in use")

    def bad(**keys: Any) -> str:
        [finding] = KIND.check("lab", lab.settings(**keys), lab.setting())
        assert not finding.ready
        return f"{finding.what} → {finding.next_step}"

    assert "no namespace nowhere" in bad(namespace="nowhere")
    assert "no serviceaccount ems-job" in bad(service_account="ems-job")
    assert "no persistentvolumeclaim data" in bad(volumes={"/data": {"claim": "data"}})
    assert "folder" in bad(folder="elsewhere")
    assert "kubectl config get-contexts" in bad(kubernetes="other")
    assert "is not in" in bad(kubeconfig="missing")
    assert "pull_policy" in bad(pull_policy="Sometimes")


def test_a_namespace_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(PlaceError, match="there is no namespace nowhere"):
        lab.scheduler(namespace="nowhere").start([lab.order("ems-one", "true")])


def test_settings_that_cannot_be_are_refused_before_anything_is_asked(lab: Lab) -> None:
    for keys, word in (
        ({"volume": {}}, "either claim"),
        ({"volume": {"claim": "a", "hostPath": "/b"}}, "either claim"),
        ({"volumes": {"/ems": {"claim": "a"}}}, "where the site's is"),
        ({"volumes": {"data": {"claim": "a"}}}, "absolute path"),
        ({"volume": {"hostPath": "data"}}, "absolute path"),
        ({"volume": {"claim": "a", "path": "../b"}}, "leads out"),
        ({"namespace": "Lab"}, "not a name"),
        ({"node_pool": "a b"}, "not a label"),
    ):
        with pytest.raises(UsageError, match=word):
            KIND.open("lab", lab.settings(**keys), lab.setting())


@pytest.mark.parametrize(
    ("version", "enough"),
    [("1.28.9", False), ("1.29.0", True), ("1.34.1", True), ("1.30.4-eks-036c24b", True)],
)
def test_a_release_that_would_try_failed_jobs_again(version: str, enough: bool) -> None:
    assert new_enough(f"kubernetes {version}") is enough


def test_nodes_that_come_when_they_are_asked_for_limit_nothing(space: Space) -> None:
    lab = space("grows", {}, _quota(cpu="7"))
    until(lambda: lab.scheduler(node_pool="gpu").room() == Room(7, 7))
    assert lab.scheduler().room().gpus == 0


def test_nobody_listens_there(lab: Lab) -> None:
    config = yaml.safe_load(lab.cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (lab.folder / "gone").write_text(yaml.safe_dump(config))
    scheduler = lab.scheduler(kubeconfig=str(lab.folder / "gone"))
    with pytest.raises(Unreachable, match=r"does not answer \(Connection refused\)"):
        scheduler.version()
    place = lab.place(kubeconfig=str(lab.folder / "gone"))
    handles = place.backend.submit([sh(place, "true")])
    place.until(lambda: bool(lab.warnings))
    place.backend.cancel(handles, 1)
    assert finish(place, handles, 10)[0].state is JobState.CANCELED
