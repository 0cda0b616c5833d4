"""Node pools: what a cluster may start beyond Auto Mode's own pools, which have no GPU and no spot.

Knows Karpenter's objects as Auto Mode has them. Does not know what runs on the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from infra.eks.handover import Handover
from infra.kubernetes.naming import GPU, MARKET_LABEL, NODE_CLASS, Object, meta
from infra.settings.types import Pool

DISK = "100Gi"
LIFE = "480h"
GRACE = "24h"
"""How long a node lives, and how long pods that must not be disturbed may hold it then: 21 days
together, which is all that Auto Mode gives a node."""
ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}


def node_class(handover: Handover) -> Object:
    """Return how nodes are set up: in the cluster's subnets, with our tags on all they have."""
    return {
        "role": handover.node_role,
        "subnetSelectorTerms": [{"id": subnet} for subnet in handover.subnets],
        # the group that EKS made for the cluster and its nodes
        "securityGroupSelectorTerms": [{"tags": {"aws:eks:cluster-name": handover.cluster}}],
        "ephemeralStorage": {"size": DISK},
        "networkPolicy": "DefaultAllow",
        **({"tags": dict(handover.tags)} if handover.tags else {}),
    }


def node_pool(pool: Pool) -> Object:
    """Return what a pool may start.

    Nodes go when they are empty, never under a pod: an experiment that is moved starts over.
    """
    template: dict[str, Object] = {
        "nodeClassRef": {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": NODE_CLASS},
        "requirements": [
            _one_of("eks.amazonaws.com/instance-family", *pool.families),
            _one_of(MARKET_LABEL, pool.market),
            _one_of("kubernetes.io/arch", ARCHITECTURES[pool.architecture]),
        ],
        "expireAfter": LIFE,
        "terminationGracePeriod": GRACE,
    }
    limits = {"cpu": str(pool.max_cpus)}
    if pool.gpu:  # nodes that cost tens of times as much are for those who ask for a GPU
        template["taints"] = [{"key": GPU, "effect": "NoSchedule"}]
        limits[GPU] = str(pool.max_gpus)
    return {
        # before Auto Mode's own pools, which are on demand
        "weight": 10,
        "template": {"spec": template},
        "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "300s"},
        "limits": limits,
    }


def make(
    name: str,
    pools: Mapping[str, Pool],
    handover: pulumi.Output[Handover],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Make the pools, and the class of their nodes where there is one."""
    if not pools:
        return []
    nodes = kubernetes.apiextensions.CustomResource(
        f"{name}-nodes",
        api_version="eks.amazonaws.com/v1",
        kind="NodeClass",
        metadata=meta(NODE_CLASS),
        spec=handover.apply(node_class),
        opts=opts,
    )
    on = opts.merge(pulumi.ResourceOptions(depends_on=[nodes]))
    return [
        nodes,
        *(
            kubernetes.apiextensions.CustomResource(
                f"{name}-pool-{key}",
                api_version="karpenter.sh/v1",
                kind="NodePool",
                metadata=meta(key),
                spec=node_pool(pool),
                opts=on,
            )
            for key, pool in pools.items()
        ),
    ]


def _one_of(key: str, *values: str) -> Object:
    return {"key": key, "operator": "In", "values": list(values)}
