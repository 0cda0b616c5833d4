"""A cluster, an environment's outputs, and the clusters' program on the real engine, for the tests.

In the place of the environment's program stands a small one of the same name that exports what a
test wants it to; both have one backend, as in life.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from ems.stack import outputs
from ems.stack.reading import STACK_OUTPUT, plain
from infra.eks import handover
from tests.rigs.kubernetes.cluster import Cluster
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.project import Project

SITE = "oregon"
ARN = "arn:aws:eks:us-west-2:123456789012:cluster/dev-oregon"
CLIENTS = {"dev-oregon": "10.16.0.0/16", "lab-usc-0": "10.0.0.0/16"}
GIVEN = handover.Handover(
    cluster="dev-oregon",
    namespace="ems",
    service_account=handover.SERVICE_ACCOUNT,
    node_role="dev-oregon-node-1a2b3c4",
    subnets=("subnet-0a", "subnet-0b"),
    clients=CLIENTS,
    file_system="fs-0123456789abcdef0",
    access_point="fsap-0123456789abcdef0",
    tags={"ems-environment": "dev"},
)


def stack(*, cluster: bool = True) -> outputs.StackOutputs:
    """Return what an environment of one site exports."""
    network = outputs.Network(
        vpc="vpc-1",
        cidr="10.16.0.0/16",
        zones=("usw2-az1", "usw2-az2"),
        jobs=outputs.JobNetwork(subnets=("subnet-0a",), security_groups=("sg-1",), public=True),
    )
    eks = outputs.Kubernetes(
        cluster="dev-oregon",
        arn=ARN,
        endpoint="https://0123.gr7.us-west-2.eks.amazonaws.com",
        certificate="QUJD",
        job_role="arn:aws:iam::123456789012:role/dev-oregon-job",
    )
    site = outputs.Site(
        region="us-west-2",
        network=network,
        storage=outputs.Storage(bucket="dev-oregon"),
        images=outputs.Images(registry="r", repositories={}),
        kubernetes=eks if cluster else None,
    )
    return outputs.StackOutputs(environment="dev", account="123456789012", sites={SITE: site})


def settings(kubernetes: Mapping[str, Any] | None, *, files: bool = True) -> dict[str, Any]:
    """Return the environment's file: one site, with this under `kubernetes`."""
    site: dict[str, Any] = {
        "region": "us-west-2",
        "cidr": "10.16.0.0/16",
        "zones": ["usw2-az1", "usw2-az2"],
        "storage": {"file_system": files},
        "batch": None,
    }
    if kubernetes is not None:
        site["kubernetes"] = dict(kubernetes)
    return {"ems:accounts": ["123456789012"], "ems:sites": {SITE: site}}


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Give a cluster with what EKS and KubeRay bring, without a node."""
    with (
        TemporaryDirectory(prefix="kube-") as folder,
        Cluster.start(Path(folder) / "c", upto="controllers") as cluster,
    ):
        cluster.define()
        yield cluster


@contextmanager
def scene(
    folder: Path,
    kubeconfig: Path,
    exported: outputs.StackOutputs,
    config: Mapping[str, Any],
) -> Iterator[Engine]:
    """Give the clusters' program with its settings, after the environment's has exported."""
    inputs = {SITE: msgspec.to_builtins(GIVEN)} if exported.sites[SITE].kubernetes else {}
    said = json.dumps({STACK_OUTPUT: plain(exported), handover.OUTPUT: inputs})
    source = f"""
        import json, pulumi
        for name, value in json.loads({said!r}).items():
            pulumi.export(name, value)
        """
    with (
        Cloud() as cloud,  # for the parameters; the cluster's own objects never go there
        Engine(folder / "first", None, Project.inline(source, name="ems")) as first,
    ):
        first.up()
        with Engine(
            folder / "second",
            cloud,
            Project.repository("infra/kubernetes", copied=("infra",)),
            config=config,
            environment={
                "PULUMI_BACKEND_URL": (folder / "first/state").as_uri(),
                "EMS_KUBECONFIG": str(kubeconfig),
            },
        ) as second:
            yield second
