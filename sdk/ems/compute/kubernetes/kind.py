"""The kind `kubernetes`: what its settings open, and whether a cluster is ready.

Where the site's files lie is chosen in `_site` alone. Knows settings, sites and schedulers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ems.compute.backend import Room
from ems.compute.kinds import Finding, Setting
from ems.compute.kubernetes.api import Api, ApiError, Object, path
from ems.compute.kubernetes.quantities import usable
from ems.compute.kubernetes.scheduler import Kubernetes
from ems.compute.kubernetes.settings import KubernetesSettings
from ems.compute.remote.environments import Given
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.site import Site
from ems.compute.remote.spool import SpoolBackend
from ems.errors import EmsError

_RIGHTS = (
    ("batch", "jobs", ("create", "list", "patch", "delete")),
    ("", "pods", ("list", "delete")),
)
"""Without these nothing runs; events, quotas and nodes are only looked at where it is allowed."""


class KubernetesKind:
    """A namespace of a cluster as a place."""

    word = "kubernetes"
    settings: type[Any] = KubernetesSettings

    def open(self, name: str, settings: KubernetesSettings, setting: Setting) -> Sequence[Any]:
        """Return the one backend of a target."""
        settings.verify(name)
        return [
            SpoolBackend(
                name,
                _site(settings, setting),
                Kubernetes(name, settings, _api(settings, setting)),
                setting.objects,
                setting.cache,
                environments=Given(settings.python),
                poll_s=1.0,
                warn=setting.warn,
            )
        ]

    def check(self, name: str, settings: KubernetesSettings, setting: Setting) -> Sequence[Finding]:
        """Ask the cluster who we are to it, and what is free."""
        api = _api(settings, setting)
        try:
            settings.verify(name)
            return [_look(name, settings, setting, api)]
        except EmsError as error:
            problem = f"{error.subject}: {error.problem}" if error.subject else error.problem
            return [Finding(name, False, problem, error.next_step)]
        finally:
            api.close()


KIND = KubernetesKind()


def _site(settings: KubernetesSettings, setting: Setting) -> Site:
    return FolderSite(_folder(settings, setting), settings.root)


def _folder(settings: KubernetesSettings, setting: Setting) -> Path:
    return setting.base / Path(settings.folder).expanduser()


def _api(settings: KubernetesSettings, setting: Setting) -> Api:
    file = settings.kubeconfig
    return Api(settings.kubernetes, str(setting.base / Path(file).expanduser()) if file else "")


def _look(name: str, settings: KubernetesSettings, setting: Setting, api: Api) -> Finding:
    scheduler = Kubernetes(name, settings, api)
    version, namespace = scheduler.version(), scheduler.namespace
    scheduler.verify_version()
    try:
        problem, step = _lacks(settings, api, namespace)
    except ApiError as error:
        raise api.problem(error, namespace) from None
    folder = _folder(settings, setting)
    if not problem and not folder.is_dir():
        problem = f"the folder {folder} is not there: pods share it as {settings.root}"
        step = "mount it here, or set folder:"
    if problem:
        return Finding(name, False, f"{version}: {problem}", step)
    room = scheduler.room()
    nodes = _nodes(api)
    return Finding(name, True, f"{version}, namespace {namespace}{nodes}{_used(room)}")


def _lacks(settings: KubernetesSettings, api: Api, namespace: str) -> tuple[str, str]:
    """Return what is missing and what to do about it; nothing where all is there."""
    missing = _refused_rights(api, namespace)
    if missing:
        asked = ", ".join(missing)
        return f"you may not {asked} in {namespace}", f"ask for a role in {namespace} with: {asked}"
    for kind, named in (
        ("serviceaccounts", settings.service_account),
        ("persistentvolumeclaims", settings.volume.claim),
        *(("persistentvolumeclaims", each.claim) for each in settings.volumes.values()),
    ):
        if named and not _there(api, path(kind, namespace, named)):
            what = kind.removesuffix("s")
            step = f"create it there, or name another one (kubectl get {kind} -n {namespace})"
            return f"there is no {what} {named} in namespace {namespace}", step
    if not _there(api, f"/api/v1/namespaces/{namespace}"):
        return f"there is no namespace {namespace}", f"kubectl create namespace {namespace}"
    return "", ""


def _there(api: Api, where: str) -> bool:
    """Whether an object is there; taken to be where it may not be seen."""
    try:
        api.get(where)
    except ApiError as error:
        if error.status in (403, 404):
            return error.status == 403
        raise
    return True


def _refused_rights(api: Api, namespace: str) -> list[str]:
    refused: list[str] = []
    for group, resource, verbs in _RIGHTS:
        for verb in verbs:
            asked: Object = {
                "namespace": namespace, "verb": verb, "group": group, "resource": resource,
            }  # fmt: skip
            review: Object = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": asked},
            }
            where = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            if not api.create(where, review)["status"]["allowed"]:
                refused.append(f"{verb} {resource}")
    return refused


def _nodes(api: Api) -> str:
    try:
        nodes = api.list("/api/v1/nodes")
    except ApiError:
        return ""  # a researcher need not see nodes
    ready = sum(map(usable, nodes))
    return f", {ready} of {len(nodes)} nodes ready"


def _used(room: Room) -> str:
    if room.free is None or room.total is None:
        return ""
    text = f", {room.total - room.free:g} of {room.total:g} CPUs in use"
    return text + (f", {room.gpus} GPUs free" if room.gpus else "")
