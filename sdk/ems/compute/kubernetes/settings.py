"""The keys of a target of this kind in `.ems.yaml`.

    targets:
      lab: {kubernetes: lab-context, folder: /shared/ems, volume: {claim: ems-data}}
      cloud:
        kubernetes: arn:aws:eks:…:cluster/dev
        namespace: ems
        folder: /mnt/efs/ems            # as this machine sees it
        volume: {claim: ems-data}       # what pods mount at `root`: the same folder
        node_pool: gpu
        volumes: {/data: {claim: data-sets}}

Knows keys and what they may hold. Does not know clusters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ems.errors import UsageError

PULL_POLICIES = ("", "Always", "IfNotPresent", "Never")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


class Volume(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What pods mount: a PersistentVolumeClaim of the namespace, or a folder of every node."""

    claim: str = ""
    host_path: str = msgspec.field(default="", name="hostPath")
    path: str = ""
    """A folder inside of the volume; all of it by default."""


class KubernetesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A target of kind `kubernetes`."""

    kubernetes: str
    """A context of the kubeconfig, or `in-cluster` for a runner that is itself a pod."""
    folder: str
    """The folder of the site as this machine sees it; relative to the settings' file."""
    volume: Volume
    """The same folder as pods mount it, at `root`."""
    root: str = "/ems"
    volumes: Mapping[str, Volume] = msgspec.field(default_factory=dict[str, Volume])
    """Further mounts, read-only: path in the pod → volume."""
    kubeconfig: str = ""
    """A path; $KUBECONFIG or ~/.kube/config if not set."""
    namespace: str = ""
    """The context's own if not set."""
    image: str = ""
    """For jobs that declare none; it needs sh and Python 3.8 or later."""
    python: str = "python3"
    pull_policy: str = ""
    service_account: str = "ems-job"
    """Empty for the namespace's default one."""
    node_pool: str = ""
    """Karpenter's (EKS Auto Mode's): jobs go to its nodes alone."""
    user: int | None = None
    """The user id of jobs; then pods meet the `restricted` level of PodSecurity, as far as volumes
    do. The image's own user if not set."""
    limit_cpus: bool = False
    """Whether a job is held to the CPUs that it asked for, even where others are idle."""

    def verify(self, name: str) -> None:
        """Raise UsageError for what can't be, with the key at fault."""
        if self.pull_policy not in PULL_POLICIES:
            allowed = ", ".join(filter(None, PULL_POLICIES))
            problem = f"pull_policy {self.pull_policy!r} is not one of {allowed}"
            raise UsageError(f"target {name}", problem)
        for key, value in (
            ("namespace", self.namespace),
            ("service_account", self.service_account),
        ):
            if value and not _NAME.fullmatch(value):
                allowed = "lower-case letters, digits, - and ."
                raise UsageError(f"target {name}", f"{key} {value!r} is not a name ({allowed})")
        if self.node_pool and not _LABEL.fullmatch(self.node_pool):
            raise UsageError(f"target {name}", f"node_pool {self.node_pool!r} is not a label")
        mounts = {self.root: self.volume, **self.volumes}
        if len(mounts) <= len(self.volumes):
            raise UsageError(f"target {name}", f"volumes has {self.root!r}, where the site's is")
        for path, volume in mounts.items():
            _verify_mount(name, path, volume)


def _verify_mount(name: str, path: str, volume: Volume) -> None:
    if not path.startswith("/") or path == "/":
        raise UsageError(f"target {name}", f"{path!r} is not an absolute path for a volume")
    if bool(volume.claim) == bool(volume.host_path):
        problem = f"the volume at {path} needs either claim: NAME or hostPath: PATH"
        raise UsageError(f"target {name}", problem)
    if volume.host_path and not volume.host_path.startswith("/"):
        problem = f"hostPath {volume.host_path!r} of the volume at {path} is not an absolute path"
        raise UsageError(f"target {name}", problem)
    if volume.path.startswith("/") or ".." in volume.path.split("/"):
        problem = f"path {volume.path!r} leads out of the volume at {path}"
        raise UsageError(f"target {name}", problem)
