"""Ray clusters as a kind of place.

    cluster: {ray: http://head:8265, folder: /shared/ems}
    farm: {ray: http://head:8265, folder: /mnt/ems, root: /shared/ems, resources: {rollout: 1}}

Knows the keys of such a target. `folder` is one that this machine and all nodes share.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from ems.compute.backend import Backend
from ems.compute.kinds import Finding, Setting
from ems.compute.ray import cluster
from ems.compute.ray.dashboard import Dashboard
from ems.compute.ray.scheduler import RayScheduler
from ems.compute.remote.environments import Given
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.spool import SpoolBackend
from ems.compute.variables import resolve
from ems.errors import EmsError, UsageError

POLL_S = 0.5
_TOKEN_FILE = Path("~/.ray/auth_token")


class RaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a target that is a Ray cluster."""

    ray: str
    """Where its dashboard answers: `http://head:8265`."""
    folder: str
    """A folder that this machine and all nodes share, as this machine sees it."""
    root: str = ""
    """The same folder as the nodes see it; `folder` if not set."""
    python: str = "python3"
    """The Python of the nodes that has Ray; it runs the jobs too."""
    token: str = ""
    """The cluster's token: `env:NAME` or `file:PATH`; where Ray's own tools look if not set."""
    resources: Mapping[str, float] = {}
    """Custom resources that each job takes: `{rollout: 1}`."""


class RayKind:
    """Opens Ray clusters and looks whether they are ready."""

    word = "ray"
    settings = RaySettings

    def open(self, name: str, settings: RaySettings, setting: Setting) -> Sequence[Backend]:
        """Return the cluster's backend; nothing is asked of it yet."""
        site = _site(name, settings, setting)
        scheduler = RayScheduler(
            _dashboard(name, settings), site, target=name,
            python=settings.python, resources=settings.resources,
        )  # fmt: skip
        return [
            SpoolBackend(
                name, site, scheduler, setting.objects, setting.cache,
                environments=Given(settings.python), poll_s=POLL_S, warn=setting.warn,
            )
        ]  # fmt: skip

    def check(self, name: str, settings: RaySettings, setting: Setting) -> Sequence[Finding]:
        """Ask for the version, the nodes and the CPUs in use, and look at the folder."""
        try:
            return [_look(name, settings, setting)]
        except EmsError as error:
            return [Finding(name, False, f"{error.subject}: {error.problem}", error.next_step)]


KIND = RayKind()


def _look(name: str, settings: RaySettings, setting: Setting) -> Finding:
    _site(name, settings, setting)
    dashboard = _dashboard(name, settings)
    version, nodes = dashboard.version(), dashboard.nodes()
    alive = sum(each["state"] == "ALIVE" for each in nodes)
    what = f"ray {version}, {alive} of {len(nodes)} nodes alive"
    room = cluster.room(dashboard.status())
    if room.free is not None and room.total is not None:
        what += f", {room.total - room.free:g} of {room.total:g} CPUs in use"
    folder = _folder(settings, setting)
    if not os.access(folder, os.W_OK):
        return Finding(name, False, f"{what}; {folder} is no folder that can be written here",
                       f"mount it here, or mend `folder` of {name}")  # fmt: skip
    return Finding(name, bool(alive), what)


def _folder(settings: RaySettings, setting: Setting) -> Path:
    return setting.base / Path(settings.folder).expanduser()


def _site(name: str, settings: RaySettings, setting: Setting) -> FolderSite:
    if settings.root and not settings.root.startswith("/"):
        raise UsageError(f"target {name}", f"root {settings.root!r} is not absolute")
    for what, much in settings.resources.items():
        if what in ("CPU", "GPU", "memory") or not much > 0:
            problem = f"resources can't hold {what}: {much:g} (allowed: custom ones, above 0)"
            raise UsageError(f"target {name}", problem)
    return FolderSite(_folder(settings, setting), settings.root)


def _dashboard(name: str, settings: RaySettings) -> Dashboard:
    address = urllib.parse.urlsplit(settings.ray)
    if address.scheme not in ("http", "https") or not address.hostname:
        problem = f"ray: {settings.ray!r} is no address of a dashboard (allowed: http://HOST:8265)"
        raise UsageError(f"target {name}", problem)
    return Dashboard(settings.ray, _token(name, settings.token))


def _token(name: str, reference: str) -> Callable[[], str]:
    """Return what finds the token at each call, so that a new one is taken as soon as it is there.

    Where no reference is given it is looked for as Ray does: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH,
    ~/.ray/auth_token (docs.ray.io, "Token Authentication", read 2026-11-21).
    """
    if reference:
        if reference.partition(":")[0] not in ("env", "file"):
            problem = f"token {reference!r} is no reference (allowed: env:NAME, file:PATH)"
            raise UsageError(f"target {name}", problem)
        return lambda: resolve("token", reference)
    return _rays_token


def _rays_token() -> str:
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    path = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    if path:
        return resolve("token", f"file:{path}")
    default = _TOKEN_FILE.expanduser()
    return resolve("token", f"file:{default}") if default.exists() else ""
