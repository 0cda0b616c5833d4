"""A Ray cluster that stands: its pods, and the load balancer by which labs reach it.

Knows KubeRay's objects. Does not know what runs in Ray.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from infra.eks.handover import SERVICE_ACCOUNT, Handover
from infra.kubernetes.isolation import RAY_PORTS
from infra.kubernetes.naming import (
    CLAIM,
    GPU,
    GPU_TOLERATION,
    KEEP,
    MARKET_LABEL,
    RAY,
    RAY_SERVICE,
    Object,
    gibibytes,
    meta,
)
from infra.settings.types import Ray, RayGroup

HEAD = RayGroup(cpus=2, memory_gib=8)
"""The head runs no tasks, so it need not be large."""
IDLE_S = 300
TOKEN_KEY = "auth_token"
MOUNT = "/data"
BALANCER = "service.beta.kubernetes.io/aws-load-balancer"


def image(ray: Ray, *, gpu: bool) -> str:
    """Return the image of a group's containers."""
    return ray.image or f"rayproject/ray:{ray.version}{'-gpu' if gpu else ''}"


def cluster(ray: Ray, *, claim: bool) -> Object:
    """Return the cluster: a head, and groups of workers that the autoscaler starts and ends.

    How many workers there are is the autoscaler's affair, so `replicas` is left out.
    """
    head = _pod(ray, "ray-head", HEAD, claim=claim)
    head["spec"] |= {
        # a head that is taken away takes every worker with it
        "nodeSelector": {MARKET_LABEL: "on-demand"},
        # the autoscaler beside the head starts pods through the API
        "automountServiceAccountToken": True,
    }
    head["spec"]["containers"][0]["ports"] = [
        {"name": name, "containerPort": port} for name, port in {"gcs": 6379, **RAY_PORTS}.items()
    ]
    return {
        "rayVersion": ray.version,
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"idleTimeoutSeconds": IDLE_S},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
            "template": head,
        },
        "workerGroupSpecs": [
            {
                "groupName": name,
                "minReplicas": 0,
                "maxReplicas": group.max_workers,
                "rayStartParams": {},
                "template": _pod(ray, "ray-worker", group, claim=claim),
            }
            for name, group in sorted(ray.groups.items())
        ],
    }


def _pod(ray: Ray, container: str, group: RayGroup, *, claim: bool) -> Object:
    amount = {"cpu": str(group.cpus), "memory": gibibytes(group.memory_gib)}
    if group.gpus:
        amount[GPU] = str(group.gpus)
    one: dict[str, Object] = {
        "name": container,
        "image": image(ray, gpu=group.gpus > 0),
        "resources": {"requests": amount, "limits": amount},
    }
    spec: dict[str, Object] = {"serviceAccountName": SERVICE_ACCOUNT, "containers": [one]}
    if claim:
        one["volumeMounts"] = [{"name": "data", "mountPath": MOUNT}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}]
    if group.gpus:
        spec["tolerations"] = [GPU_TOLERATION]
    return {"metadata": {"annotations": KEEP}, "spec": spec}


def service(handover: Handover) -> Object:
    """Return the way to the head from outside: for labs and joined sites alone."""
    return {
        "type": "LoadBalancer",
        "loadBalancerClass": "eks.amazonaws.com/nlb",
        "loadBalancerSourceRanges": sorted(set(handover.clients.values())),
        "selector": {"ray.io/cluster": RAY, "ray.io/node-type": "head"},
        "ports": [
            {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
            for name, port in RAY_PORTS.items()
        ],
    }


def balancer(handover: Handover) -> dict[str, str]:
    """Return the annotations of an internal load balancer, in subnets that are named."""
    made = {
        f"{BALANCER}-scheme": "internal",
        f"{BALANCER}-nlb-target-type": "ip",
        f"{BALANCER}-subnets": ",".join(handover.subnets),
    }
    if handover.tags:
        tags = ",".join(f"{key}={value}" for key, value in sorted(handover.tags.items()))
        made[f"{BALANCER}-additional-resource-tags"] = tags
    return made


def stand(
    name: str,
    namespace: str,
    ray: Ray,
    handover: pulumi.Output[Handover],
    opts: pulumi.ResourceOptions,
    *,
    claim: bool,
) -> pulumi.Output[str]:
    """Make cluster and load balancer, and return the address of Ray's Jobs API.

    The load balancer hangs on the cluster so that it goes first: what is left of it in a VPC keeps
    that from being deleted.
    """
    made = kubernetes.apiextensions.CustomResource(
        f"{name}-ray",
        api_version="ray.io/v1",
        kind="RayCluster",
        metadata=meta(RAY, namespace),
        spec=cluster(ray, claim=claim),
        opts=opts,
    )
    way = kubernetes.core.v1.Service(
        f"{name}-ray",
        metadata=meta(RAY_SERVICE, namespace, handover.apply(balancer)),
        spec=handover.apply(service),
        opts=opts.merge(
            pulumi.ResourceOptions(
                depends_on=[made],
                # node, image and load balancer take minutes each
                custom_timeouts=pulumi.CustomTimeouts(create="20m"),
            )
        ),
    )
    return way.status.apply(_address)


def _address(status: Object) -> str:
    """Return the address of the Jobs API; empty as long as the load balancer has none."""
    balancers = status.load_balancer.ingress if status and status.load_balancer else None
    host = next((one.hostname or one.ip for one in balancers or []), None)
    return f"http://{host}:{RAY_PORTS['dashboard']}" if host else ""


def token(namespace: str) -> str:
    """Return where the token lies."""
    return f"kubernetes:{namespace}/{RAY}/{TOKEN_KEY}"
