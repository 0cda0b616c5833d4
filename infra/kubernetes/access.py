"""What jobs and researchers may do through the cluster's API: their own namespace, no more.

Knows roles and groups of Kubernetes. Who is in the group is settled by the environment's program.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from infra.eks.handover import RESEARCHERS, SERVICE_ACCOUNT
from infra.kubernetes.naming import RAY, Object, meta

LOOK = ["get", "list", "watch"]
DO = [*LOOK, "create", "update", "patch", "delete", "deletecollection"]


def rules(*, ray: bool) -> list[Object]:
    """Return what researchers may do: run jobs, see pods, read logs; with Ray, its objects too.

    AWS's own access policies know nothing of `ray.io`, and Kubernetes' role `edit` would let read
    every Secret.
    """
    made = [
        _rule("batch", ["jobs", "jobs/status"], DO),
        _rule("", ["pods"], [*LOOK, "delete"]),
        _rule("", ["pods/log", "events", "services"], LOOK),
        _rule("", ["persistentvolumeclaims", "resourcequotas", "limitranges"], LOOK),
    ]
    if ray:
        kinds = ["rayclusters", "rayjobs", "rayservices"]
        both = [*kinds, *(f"{kind}/status" for kind in kinds)]
        token = {**_rule("", ["secrets"], ["get"]), "resourceNames": [RAY]}
        made += [_rule("ray.io", both, DO), token]
    return made


def access(name: str, namespace: str, opts: pulumi.ResourceOptions, *, ray: bool) -> None:
    """Make the service account of jobs, and the role of researchers with its binding."""
    kubernetes.core.v1.ServiceAccount(
        f"{name}-jobs",
        metadata=meta(SERVICE_ACCOUNT, namespace),
        # a job talks to AWS by pod identity, and to this API not at all
        automount_service_account_token=False,
        opts=opts,
    )
    role = kubernetes.rbac.v1.Role(
        f"{name}-researchers",
        metadata=meta(RESEARCHERS, namespace),
        rules=rules(ray=ray),
        opts=opts,
    )
    group = "rbac.authorization.k8s.io"
    bound: Object = {"apiGroup": group, "kind": "Role", "name": RESEARCHERS}
    people: Object = {"apiGroup": group, "kind": "Group", "name": RESEARCHERS}
    kubernetes.rbac.v1.RoleBinding(
        f"{name}-researchers",
        metadata=meta(RESEARCHERS, namespace),
        role_ref=bound,
        subjects=[people],
        opts=opts.merge(pulumi.ResourceOptions(depends_on=[role])),
    )


def _rule(group: str, resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}
