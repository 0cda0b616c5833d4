"""Orders as Jobs of the API: which go together, and what each Job and its pods are.

Orders that are alike become one Indexed Job: its container's arguments are the ids of the orders,
and an index picks one. So one object says all of it, and is made whole or not at all. Every pod
carries that list; `MOST_TOGETHER` keeps it to a few KiB. Pure: knows objects, opens nothing.

What the fields mean: https://kubernetes.io/docs/concepts/workloads/controllers/job/ (2025-11).
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ems.compute.job import Reason, Resources
from ems.compute.kubernetes.api import Object
from ems.compute.kubernetes.settings import KubernetesSettings, Volume
from ems.compute.remote.order import Order, Refused

MOST_TOGETHER = 100
JOB = "ems.dev/job"
"""The label of a Job and its pods: the Job's name."""
ARRAY = "ems.dev/array"
NAME = "ems.dev/name"
CONTAINER = "job"
GPU = "nvidia.com/gpu"
KEPT_S = 24 * 3600
"""An ended Job that nobody forgets goes after a day, with its pods."""
_POOL, _MARKET = "karpenter.sh/nodepool", "karpenter.sh/capacity-type"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount of the pod's own
_GPU_KINDS = (
    "nvidia.com/gpu.product",
    "eks.amazonaws.com/instance-gpu-name",
    "karpenter.k8s.aws/instance-gpu-name",
)
"""Labels of nodes that name their GPUs: NVIDIA's feature discovery, EKS Auto Mode, Karpenter."""
_SECRET = re.compile(r"k8s:(?P<name>[a-z0-9][-a-z0-9.]*)/(?P<key>[-._A-Za-z0-9]+)")
_PULL_S = 300
"""What the pod's own deadline leaves for its image, which counts there, and for the last words."""
_TIMER = "(sleep {wall} && : >events.jsonl.timeout && kill -TERM $$ 2>/dev/null) & "
"""At its limit a job hears why. Should it not end by that, its pod's deadline ends it."""
_BY_INDEX = 'shift "$JOB_COMPLETION_INDEX" && cd {base}/"$1" && [ ! -e events.jsonl.cancel ] && '
"""A child that was canceled before it had a pod does not begin when it gets one."""


def refusal(order: Order, settings: KubernetesSettings) -> Refused | None:
    """Return why an order can't be a Job here, if it can't."""
    if order.modules:
        loaded = ", ".join(order.modules)
        detail = f"environment modules ({loaded}) can't be loaded in a pod (allowed: an image)"
        return Refused(Reason.IMPOSSIBLE, detail)
    for name, reference in order.secrets.items():
        if not _SECRET.fullmatch(reference):
            detail = f"secret {name}: {reference!r} means nothing in a pod (allowed: k8s:NAME/KEY)"
            return Refused(Reason.IMPOSSIBLE, detail)
    if not (order.image or settings.image):
        detail = "no image is declared, neither by the job nor by image: of the target"
        return Refused(Reason.IMPOSSIBLE, detail)
    return None


def together(orders: Sequence[Order]) -> Iterator[list[Order]]:
    """Yield orders that may be one Job, in order of the first of each."""
    groups: dict[object, list[Order]] = {}
    for order in orders:
        groups.setdefault(_likeness(order), []).append(order)
    for group in groups.values():
        for at in range(0, len(group), MOST_TOGETHER):
            yield group[at : at + MOST_TOGETHER]


def _likeness(order: Order) -> object:
    base, _, last = order.folder.rpartition("/")
    if last != order.id:
        return order.id  # its folder does not follow from its id
    variables = tuple(sorted(order.variables.items()))
    secrets = tuple(sorted(order.secrets.items()))
    alike = order._replace(id="", name="", folder=base, variables={}, secrets={})
    fields = alike._asdict()
    del fields["variables"], fields["secrets"]  # no mapping can be a key
    return tuple(fields.values()), variables, secrets


def job(orders: Sequence[Order], settings: KubernetesSettings) -> Object:
    """Return the Job for orders that are alike, or for one."""
    first = orders[0]
    name = first.id if len(orders) == 1 else _array_name(orders)
    labels = {JOB: name, "app.kubernetes.io/managed-by": "ems", NAME: first.name.strip("-_.")}
    array = {ARRAY: "true"} if len(orders) > 1 else {}
    # a node with a job on it is not taken away to save money
    meta: Object = {"labels": labels, "annotations": {"karpenter.sh/do-not-disrupt": "true"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {**labels, **array}},
        "spec": {
            "ttlSecondsAfterFinished": KEPT_S,
            # no second pod beside one that still ends
            "podReplacementPolicy": "Failed",
            "template": {"metadata": meta, "spec": _pod(orders, settings)},
            **_never_again(len(orders)),
        },
    }


def _never_again(count: int) -> Object:
    """Return what lets no pod be tried again: whether to, EMS decides."""
    if count > 1:
        indexed: Object = {"completionMode": "Indexed", "completions": count, "parallelism": count}
        return {**indexed, "backoffLimitPerIndex": 0}  # one that fails does not end the others
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    # so the Job itself remembers why its pod is gone
    rules = [{"action": "FailJob", "onPodConditions": disrupted}]
    return {"backoffLimit": 0, "podFailurePolicy": {"rules": rules}}


def ids_of(made: Object) -> list[str]:
    """Return the ids of the orders in a Job, by index."""
    if ARRAY not in made["metadata"].get("labels", {}):
        return [made["metadata"]["name"]]
    return made["spec"]["template"]["spec"]["containers"][0]["args"][1:]


def _array_name(orders: Sequence[Order]) -> str:
    """Return a name that follows from the orders, so that none is made twice."""
    return "ems-a-" + hashlib.sha256(" ".join(o.id for o in orders).encode()).hexdigest()[:32]


def _pod(orders: Sequence[Order], settings: KubernetesSettings) -> Object:
    order = orders[0]
    pod: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": max(1, math.ceil(order.grace_s)),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _user(settings.user),
        "containers": [_container(orders, settings)],
        "volumes": _volumes(settings),
        **_where(order, settings),
    }
    if settings.service_account:
        pod["serviceAccountName"] = settings.service_account
    if order.wall_s is not None:
        # the pod's deadline: the Job's own would take pod and exit code with it
        pod["activeDeadlineSeconds"] = math.ceil(order.wall_s + order.grace_s + _PULL_S)
    return pod


def _container(orders: Sequence[Order], settings: KubernetesSettings) -> Object:
    order = orders[0]
    amounts = _amounts(order.resources)
    limits = _amounts(order.limits or order.resources)
    if limits["cpu"] == amounts["cpu"] and not settings.limit_cpus:
        del limits["cpu"]  # what nobody else uses is free to take
    restricted = {"capabilities": {"drop": ["ALL"]}} if settings.user is not None else {}
    container: Object = {
        "name": CONTAINER,
        "image": order.image or settings.image,
        "command": ["/bin/sh", "-c", _literal(_line(orders))],
        "env": [
            *({"name": key, "value": _literal(text)} for key, text in order.variables.items()),
            *(_secret(key, reference) for key, reference in order.secrets.items()),
        ],
        "resources": {"requests": amounts, "limits": limits},
        "volumeMounts": _mounts(settings),
        "securityContext": {"allowPrivilegeEscalation": False, **restricted},
    }
    if len(orders) > 1:
        # the first word is the script's own name, so that index 0 shifts nothing away
        container["args"] = [CONTAINER, *(each.id for each in orders)]
    if settings.pull_policy:
        container["imagePullPolicy"] = settings.pull_policy
    return container


def _line(orders: Sequence[Order]) -> str:
    """Return the line for `sh`: into the folder, the limit of time, and then the job."""
    order = orders[0]
    if len(orders) == 1 and order.wall_s is None:
        return order.shell()
    enter = f"cd {shlex.quote(order.folder)} && "
    if len(orders) > 1:
        enter = _BY_INDEX.format(base=shlex.quote(order.folder.rpartition("/")[0]))
    begin = order._replace(folder=".").shell()
    if order.wall_s is None:
        return enter + begin
    return f"{enter}{{ {_TIMER.format(wall=math.ceil(order.wall_s))}{begin}; }}"


def _literal(text: str) -> str:
    """Return a text that the kubelet, which fills in `$(NAME)`, leaves as it is."""
    return text.replace("$", "$$")


def _secret(variable: str, reference: str) -> Object:
    found = _SECRET.fullmatch(reference)
    assert found is not None  # `refusal` was asked
    return {"name": variable, "valueFrom": {"secretKeyRef": found.groupdict()}}


def _amounts(resources: Resources) -> dict[str, str]:
    """Return what the pod asks for; memory, disk and GPUs are its limits too."""
    amounts = {"cpu": f"{math.ceil(resources.cpus * 1000)}m"}
    if resources.memory_gib:
        amounts["memory"] = f"{math.ceil(resources.memory_gib * 1024)}Mi"
    if resources.disk_gib:
        amounts["ephemeral-storage"] = f"{math.ceil(resources.disk_gib * 1024)}Mi"
    if resources.gpus:
        amounts[GPU] = str(resources.gpus)
    return amounts


def _user(user: int | None) -> Object:
    profile: Object = {"seccompProfile": {"type": "RuntimeDefault"}}
    if user is not None:
        profile |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
        profile["runAsNonRoot"] = user != 0
        profile["fsGroupChangePolicy"] = "OnRootMismatch"
    return profile


def _where(order: Order, settings: KubernetesSettings) -> Object:
    """Return which nodes a pod may go to."""
    terms: list[Object] = []
    preferred: list[Object] = []
    spot = {"key": _MARKET, "operator": "In", "values": ["spot"]}
    if not order.spot:
        terms.append({**spot, "operator": "NotIn"})  # so are nodes without the label
    elif settings.node_pool:
        terms.append(spot)
    else:
        preferred.append({"weight": 100, "preference": {"matchExpressions": [spot]}})
    if settings.node_pool:
        terms.append({"key": _POOL, "operator": "In", "values": [settings.node_pool]})
    kind = order.resources.gpu_kind
    if order.resources.gpus and kind:
        names = list(dict.fromkeys((kind, kind.lower())))
        gpus = [{"key": key, "operator": "In", "values": names} for key in _GPU_KINDS]
        either = [{"matchExpressions": [*terms, each]} for each in gpus]
    else:
        either = [{"matchExpressions": terms}] if terms else []
    affinity: Object = {}
    if either:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": either}
    if preferred:
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    where: Object = {"affinity": {"nodeAffinity": affinity}} if affinity else {}
    if order.resources.gpus:
        where["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    return where


def _all_volumes(settings: KubernetesSettings) -> Mapping[str, Volume]:
    return {settings.root: settings.volume, **settings.volumes}


def _volumes(settings: KubernetesSettings) -> list[Object]:
    made = [_volume(f"v{at}", each) for at, each in enumerate(_all_volumes(settings).values())]
    # data loaders pass arrays through it, and a runtime's own has 64 MiB
    return [*made, {"name": "shm", "emptyDir": {"medium": "Memory"}}]


def _volume(name: str, volume: Volume) -> Object:
    if volume.claim:
        return {"name": name, "persistentVolumeClaim": {"claimName": volume.claim}}
    return {"name": name, "hostPath": {"path": volume.host_path, "type": "Directory"}}


def _mounts(settings: KubernetesSettings) -> list[Object]:
    made: list[dict[str, Any]] = []
    for at, (path, volume) in enumerate(_all_volumes(settings).items()):
        mount: Object = {"name": f"v{at}", "mountPath": path}
        if volume.path:
            mount["subPath"] = volume.path
        if at:
            mount["readOnly"] = True
        made.append(mount)
    return [*made, {"name": "shm", "mountPath": _SHARED_MEMORY}]
