"""What may open a connection to the namespace's pods, and where those may connect to.

Knows networks and ports. Does not know who has them.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from infra.eks.handover import Handover
from infra.kubernetes.naming import OPERATOR_NAMESPACE, Object, meta

RAY_PORTS = {"dashboard": 8265, "client": 10001}
METADATA = "169.254.169.254/32"
"""The node's own credentials are there."""


def policy(handover: Handover, *, ray: bool) -> Object:
    """Return who may talk to the pods: each other, KubeRay, and for Ray labs and joined sites."""
    operator = {"kubernetes.io/metadata.name": OPERATOR_NAMESPACE}
    inside = [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": operator}}]
    ingress: list[Object] = [{"from": inside}]
    if ray:
        networks = sorted(set(handover.clients.values()))
        ingress.append(
            {
                "from": [{"ipBlock": {"cidr": network}} for network in networks],
                "ports": [{"protocol": "TCP", "port": port} for port in RAY_PORTS.values()],
            }
        )
    anywhere = {"ipBlock": {"cidr": "0.0.0.0/0", "except": [METADATA]}}
    return {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": [{"to": [anywhere, {"namespaceSelector": {}}]}],
    }


def isolate(
    name: str,
    namespace: str,
    handover: pulumi.Output[Handover],
    opts: pulumi.ResourceOptions,
    *,
    ray: bool,
) -> None:
    """Make the policy, and have Auto Mode heed it: by itself it ignores every NetworkPolicy."""
    heed = kubernetes.core.v1.ConfigMap(
        f"{name}-heed-policies",
        metadata=meta("amazon-vpc-cni", "kube-system"),
        data={"enable-network-policy-controller": "true"},
        opts=opts,
    )
    kubernetes.networking.v1.NetworkPolicy(
        f"{name}-isolation",
        metadata=meta("ems", namespace),
        spec=handover.apply(lambda given: policy(given, ray=ray)),
        opts=opts.merge(pulumi.ResourceOptions(depends_on=[heed])),
    )
