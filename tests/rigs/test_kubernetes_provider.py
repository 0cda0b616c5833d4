"""The Kubernetes provider's stand-in on the real engine: what it does as the real provider does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.rigs import rig
from tests.rigs.kubernetes.cluster import Cluster
from tests.rigs.sky import kubernetes_provider_rules as rules
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.project import Project

PROGRAM = """
import os
import pulumi
import pulumi_kubernetes as k

provider = k.Provider("p", kubeconfig=os.environ["WHERE"], cluster_identifier="one")
opts = pulumi.ResourceOptions(provider=provider)
config = pulumi.Config()
space = k.core.v1.Namespace("space", metadata={"name": "small"}, opts=opts)
inside = opts.merge(pulumi.ResourceOptions(depends_on=[space]))
k.core.v1.ConfigMap(
    "named", metadata={"name": "named", "namespace": "small"}, data={"a": config.require("a")},
    opts=inside,
)
auto = k.core.v1.ConfigMap(
    "auto", metadata={"namespace": "small"}, data={"a": config.require("a")}, opts=inside
)
pulumi.export("auto", auto.metadata.name)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One cluster for the module."""
    with (
        TemporaryDirectory(prefix="kube-") as folder,
        Cluster.start(Path(folder) / "c", upto="controllers") as started,
    ):
        yield started


def _engine(folder: Path, cluster: Cluster) -> Engine:
    where = {"WHERE": str(cluster.kubeconfig)}
    return Engine(folder, None, Project.inline(PROGRAM), config={"a": "1"}, environment=where)


@pytest.mark.slow
@pytest.mark.timeout(300)
@rig("pulumi")
@rig("kubernetes")
def test_made_replaced_refused_and_taken_away(tmp_path: Path, cluster: Cluster) -> None:
    with _engine(tmp_path / "e", cluster) as engine:
        assert not engine.preview().errors
        engine.up()
        engine.nothing_to_do()
        first = engine.outputs()["auto"]
        assert first.startswith("auto-")
        # the data of a ConfigMap are never changed in place: a fixed name goes before it comes
        # again, another is made first
        engine.configure({"a": "2"})
        assert engine.up().names("replace") == ["auto", "named"]
        assert engine.outputs()["auto"] != first
        made = cluster.api.get("v1", "ConfigMap", "named", "small")
        assert made is not None
        assert made["data"] == {"a": "2"}
        # what was deleted behind its back is made again
        cluster.api.delete("/api/v1/namespaces/small/configmaps/named")
        assert engine.up("--refresh").names("create") == ["named"]
        engine.destroy()
        assert cluster.api.get("v1", "Namespace", "small") is None
        # what somebody else has made is not taken over
        cluster.ctl("create", "namespace", "small")
        refused = engine.up(check=False)
        assert refused.code != 0
        assert "already exists" in refused.shown()
        assert not [one for one in engine.resources() if one["type"].endswith(":Namespace")]


def test_only_what_the_real_provider_names_is_replaced() -> None:
    volume = {"apiVersion": "v1", "kind": "PersistentVolume"}
    assert "spec.csi" in rules.replacing(volume)
    assert "spec.mountOptions" not in rules.replacing(volume)
    pool = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool"}
    assert rules.replacing(pool) == rules.ALWAYS


def test_differences_have_paths_that_the_engine_reads() -> None:
    old = {"a": {"x.y/z": 1, "b": [1, 2]}, "gone": 1}
    new = {"a": {"x.y/z": 2, "b": [1, 3]}, "new": 1}
    assert dict(rules.differences(old, new)) == {
        'a["x.y/z"]': "UPDATE",
        "a.b[1]": "UPDATE",
        "gone": "DELETE",
        "new": "ADD",
    }


def test_only_fields_that_the_program_gave_are_compared_with_the_cluster() -> None:
    inputs = {"spec": {"a": 1, "list": [{"b": 1}], "gone": 1}}
    live = {"spec": {"a": 2, "list": [{"b": 3, "default": 4}], "more": 5}, "status": {}}
    assert rules.live_inputs(inputs, live) == {"spec": {"a": 2, "list": [{"b": 3}]}}
