"""The kind `slurm`: a cluster, from its login node or by ssh to it.

targets:
  cluster:
    slurm: here                  # or a login node: login.lab
    folder: /shared/ems          # the compute nodes see it under the same path
    partition: gpu
    preemptible: [--qos=scavenger]   # beside or instead of it, for jobs with spot=True
    modules: [python/3.11]       # loaded for each job
    options: [--constraint=a100]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ems.compute.environments import Built, Front, Tidied, tidy
from ems.compute.kinds import Finding, Setting
from ems.compute.remote.environments import Environments, Given
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.link import Here, Link
from ems.compute.remote.site import Site
from ems.compute.remote.spool import SpoolBackend
from ems.compute.slurm import options
from ems.compute.slurm.scheduler import SlurmScheduler
from ems.errors import EmsError, UsageError

HERE = "here"
POLL_S = 1.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a target of this kind."""

    slurm: str
    """`here`, where this machine has Slurm's commands; or the login node, as ssh takes it."""
    folder: str
    """A folder that login and compute nodes share under one path."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    preemptible: tuple[str, ...] = ()
    """sbatch's options for jobs that may be taken back (`spot`): a partition or a QOS."""
    options: tuple[str, ...] = ()
    """More of sbatch's options, for every job."""
    python: str = "python3"
    """What starts the worker on compute nodes: Python 3.8 or later."""
    modules: tuple[str, ...] = ()
    """Environment modules that are loaded for every job, before its own."""

    ssh_options: tuple[str, ...] = ()
    """Further words for ssh's `-o`: `Port=2222`."""
    environments: Literal["build", "never"] = "build"
    """Whether what jobs declare is made in `folder`, where `python` does not have it."""
    pythons: tuple[str, ...] = ()
    """Further Pythons that environments may be made with; compute nodes have them, too."""

    def site_options(self) -> list[str]:
        """Return sbatch's options for every job of this target."""
        named = (("partition", self.partition), ("account", self.account), ("qos", self.qos))
        return [*(f"--{key}={value}" for key, value in named if value), *self.options]


class SlurmKind:
    """Makes a backend of a target's keys, and looks whether its cluster is ready."""

    word = "slurm"
    settings = Settings

    def open(self, name: str, settings: Settings, setting: Setting) -> Sequence[SpoolBackend]:
        """Return the cluster's backend; nothing is asked of it yet."""
        folder = _folder(name, settings, setting)
        link, site = _reached(settings, folder)
        environments: Environments = Given(settings.python)
        if settings.environments == "build":
            environments = Built(
                _front(settings, link, site), setting.objects, settings.pythons
            )  # fmt: skip
        return [
            SpoolBackend(
                name, site, _scheduler(name, settings, link, folder), setting.objects,
                setting.cache, environments=environments, poll_s=POLL_S, warn=setting.warn,
            )
        ]  # fmt: skip

    def check(self, name: str, settings: Settings, setting: Setting) -> Sequence[Finding]:
        """Ask the cluster for its release, its nodes, its folder and its Python."""
        try:
            folder = _folder(name, settings, setting)
            link, _ = _reached(settings, folder)
            try:
                return [_look(name, settings, link, folder)]
            finally:
                link.close()
        except EmsError as error:
            return [Finding(name, False, f"{error.subject}: {error.problem}", error.next_step)]

    def tidy(
        self, name: str, settings: Settings, setting: Setting, older_s: float, *, remove: bool
    ) -> Sequence[Tidied]:
        """Look for environments of the cluster that nobody used for so long."""
        link, site = _reached(settings, _folder(name, settings, setting))
        try:
            return [tidy(name, _front(settings, link, site), older_s, remove=remove)]
        finally:
            site.close()
            link.close()


KIND = SlurmKind()


def _reached(settings: Settings, folder: str) -> tuple[Link, Site]:
    """Return how the login node is reached, and the files there; nothing is asked of it yet."""
    if settings.slurm == HERE:
        return Here(), FolderSite(Path(folder))
    from ems.compute.remote.desk import DeskSite
    from ems.compute.remote.ssh import SshLink

    link = SshLink(settings.slurm, settings.ssh_options)
    return link, DeskSite(link, folder, settings.python)


def _front(settings: Settings, link: Link, site: Site) -> Front:
    return Front(site, link, settings.python, settings.modules)


def _folder(name: str, settings: Settings, setting: Setting) -> str:
    """Return the folder's path, as login and compute nodes see it."""
    options.check(name, "options", settings.options)
    options.check(name, "preemptible", settings.preemptible)
    if not settings.slurm:
        raise UsageError(f"target {name}", f"slurm: '' (allowed: {HERE}, or a login node)")
    if settings.slurm == HERE and settings.folder:
        return str((setting.base / Path(settings.folder).expanduser()).absolute())
    if not settings.folder.startswith("/"):
        allowed = "an absolute path that login and compute nodes share"
        raise UsageError(f"target {name}", f"folder: {settings.folder!r} (allowed: {allowed})")
    return settings.folder.rstrip("/") or "/"


def _scheduler(name: str, settings: Settings, link: Link, folder: str) -> SlurmScheduler:
    return SlurmScheduler(
        link, folder, targets=(name,), partition=settings.partition,
        site=settings.site_options(), preemptible=settings.preemptible, modules=settings.modules,
    )  # fmt: skip


_WRITABLE = 'mkdir -p "$1" && [ -w "$1" ]'
_PYTHON = '"$1" -c "import sys; sys.exit(sys.version_info < (3, 8))"'


def _look(name: str, settings: Settings, link: Link, folder: str) -> Finding:
    scheduler = _scheduler(name, settings, link, folder)
    version, there = scheduler.version(), scheduler.nodes()
    if not there:
        what = f"there is no partition {settings.partition!r}"
        return Finding(name, False, f"{version}: {what}", "sinfo -s")
    if link.run(["sh", "-c", _WRITABLE, "ems", folder]).code:
        return Finding(
            name, False, f"folder {folder} can't be written on {link.where}",
            "folder: … of the target, one that login and compute nodes share",
        )  # fmt: skip
    room = scheduler.room()
    if room.why:
        return Finding(name, False, f"{version}: {room.why}", "sinfo -R")
    number = sum(each.number for each in there)
    used = (room.total or 0) - (room.free or 0)
    what = f"{version}, {number} nodes, {used:g} of {room.total:g} CPUs in use"
    return Finding(name, True, what + _said_of_python(settings, link))


def _said_of_python(settings: Settings, link: Link) -> str:
    """Say where Python is missing on the login node; compute nodes may have it all the same."""
    if settings.modules or not link.run(["sh", "-c", _PYTHON, "ems", settings.python]).code:
        return ""
    return f" ({settings.python} of 3.8 or later is not on {link.where}; compute nodes need it)"
