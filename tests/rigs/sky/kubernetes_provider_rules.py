"""What the Kubernetes provider knows of kinds: what replaces an object, and what it waits for.

From pulumi-kubernetes, whose file is named beside each rule. Knows no wire and no server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.rigs.kubernetes.client import Api, Object

RELEASE = "kubernetes:helm.sh/v3:Release"
REMEMBERED: Mapping[str, str] = {
    RELEASE: "Helm: the chart is not fetched, nothing of it is made",
    "kubernetes:core/v1:Service": "type LoadBalancer: its address is made up",
}
"""Token → what is taken as done, since nothing here could do it."""


def notes() -> list[str]:
    """Return what a run of tests must say at its end: what is remembered, and not made."""
    said = [f"{token.removeprefix('kubernetes:')} ({why})" for token, why in REMEMBERED.items()]
    return [f"remembered, not made, in Kubernetes: {', '.join(said)}"]


ALWAYS = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
_SOURCES = ("awsElasticBlockStore", "csi", "hostPath", "local", "nfs")
REPLACES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("v1", "ConfigMap"): ("data", "binaryData"),
    ("v1", "Secret"): ("type", "data", "stringData"),
    ("v1", "PersistentVolume"): tuple(f"spec.{source}" for source in _SOURCES),
    ("v1", "PersistentVolumeClaim"): ("spec",),
    ("v1", "ResourceQuota"): ("spec.scopes",),
    ("v1", "Service"): ("spec.clusterIP",),
    ("apps/v1", "Deployment"): ("spec.selector",),
    ("batch/v1", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): ("roleRef",),
    ("storage.k8s.io/v1", "StorageClass"): ("parameters", "provisioner"),
}
"""Kind → what can't be changed in place: provider/pkg/provider/diff.go. A ConfigMap's data too,
unless the provider is told otherwise (enableConfigMapMutable)."""


def forced(settings: Mapping[str, Any], thing: Object) -> bool:
    """Whether an object takes fields that another manager owns: provider or annotation says so."""
    annotations = thing["metadata"].get("annotations") or {}
    said = annotations.get("pulumi.com/patchForce", settings.get("enablePatchForce"))
    return str(said).lower() == "true"


def replacing(thing: Object) -> tuple[str, ...]:
    """Return the dotted paths of an object that can't be changed in place."""
    kind = (thing.get("apiVersion", ""), thing.get("kind", ""))
    return (*ALWAYS, *REPLACES.get(kind, ()))


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield what differs: dotted path, and ADD, DELETE or UPDATE."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            part = key if key.replace("_", "").isalnum() else f'["{key}"]'
            below = part if not path else f"{path}{'' if part[0] == '[' else '.'}{part}"
            yield from differences(old.get(key), new.get(key), below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for at, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{path}[{at}]")
    elif old != new:
        yield path, "ADD" if old is None else "DELETE" if new is None else "UPDATE"


def live_inputs(inputs: Any, live: Any) -> Any:
    """Return the inputs as the cluster has them: only fields that the program gave."""
    if isinstance(inputs, dict) and isinstance(live, dict):
        return {key: live_inputs(value, live[key]) for key, value in inputs.items() if key in live}
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [live_inputs(one, other) for one, other in zip(inputs, live, strict=True)]
    return live


def ready(api: Api, thing: Object) -> str:
    """Return what an object still waits for, or nothing: provider/pkg/await/awaiters.go."""
    wait = _AWAITED.get((thing["apiVersion"], thing["kind"]))
    return wait(api, thing) if wait else ""


def _claim(api: Api, thing: Object) -> str:
    phase = thing.get("status", {}).get("phase")
    name = thing["spec"].get("storageClassName")
    storage = api.get("storage.k8s.io/v1", "StorageClass", name) if name else None
    if storage and storage.get("volumeBindingMode") == "WaitForFirstConsumer":
        return ""
    return "" if phase == "Bound" else f"the claim is {phase}, not Bound"


def _volume(api: Api, thing: Object) -> str:
    phase = thing.get("status", {}).get("phase")
    return "" if phase in ("Available", "Bound") else f"the volume is {phase}"


def _quota(api: Api, thing: Object) -> str:
    counted = thing.get("status", {}).get("hard")
    return "" if counted == thing["spec"].get("hard") else "the quota is not counted yet"


def _service(api: Api, thing: Object) -> str:
    """A load balancer's address comes from the cloud. Here nobody makes one, so it is made up."""
    has = thing.get("status", {}).get("loadBalancer", {}).get("ingress")
    if thing["spec"].get("type") != "LoadBalancer" or has:
        return ""
    name, namespace = thing["metadata"]["name"], thing["metadata"]["namespace"]
    host = f"{name}.{namespace}.elb.internal"
    api.status(thing, {"loadBalancer": {"ingress": [{"hostname": host}]}})
    return "the load balancer has no address"


_AWAITED: Mapping[tuple[str, str], Callable[..., str]] = {
    ("v1", "PersistentVolume"): _volume,
    ("v1", "PersistentVolumeClaim"): _claim,
    ("v1", "ResourceQuota"): _quota,
    ("v1", "Service"): _service,
}
