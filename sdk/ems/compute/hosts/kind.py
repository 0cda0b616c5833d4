"""Targets of kind `ssh`: hosts that can be logged in to, and this machine as a durable place.

    targets:
      robots: {ssh: [pi@robot1, pi@robot2], slots: 2}
      station: {ssh: station, gpus: 1, python: ~/venv/bin/python}
      desk: {ssh: here}                                  # this machine; jobs outlive the runner

Knows the settings and their names. Nothing is asked of a host until it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from ems import units
from ems.compute.backend import Backend
from ems.compute.environments import Built, Front, Tidied, tidy
from ems.compute.hosts.scheduler import HostScheduler, Limits
from ems.compute.kinds import Finding, Setting
from ems.compute.remote.desk import DeskSite, Line, Near
from ems.compute.remote.environments import Environments, Given
from ems.compute.remote.spool import SpoolBackend
from ems.compute.remote.ssh import SshLink
from ems.errors import EmsError, UsageError

HERE = "here"
_POLL_S = 0.5


class Hosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of a target of this kind."""

    ssh: str | list[str]
    """A host, or several: `HOST`, `USER@HOST`, a name of ~/.ssh/config; `here`: this machine."""
    folder: str = "~/.ems-place"
    """Where all that EMS needs lies there; relative to this file for `here`."""
    python: str = "python3"
    """The Python 3.8 or newer that runs the worker there."""
    slots: int | None = None
    """How many CPUs jobs may use of each host; all of them if not set."""
    gpus: int | list[int | str] | None = None
    """How many GPUs, or which ones, by id; all of them if not set."""
    memory: str | float | None = None
    """How much memory, `16GiB`; all of it if not set."""
    options: list[str] = []
    """Further words for ssh's `-o`: `Port=2222`."""
    environments: Literal["build", "never"] = "build"
    """Whether what jobs declare is made there, below `folder`, where `python` does not have it."""
    pythons: list[str] = []
    """Further Pythons that environments may be made with, besides those that are found there."""


class _HostsKind:
    word = "ssh"
    settings = Hosts

    def open(self, name: str, settings: Hosts, setting: Setting) -> Sequence[Backend]:
        """Return a backend for each host."""
        limits, found = _limits(name, settings), list[Backend]()
        for place, host in _places(name, settings).items():
            link = _link(host, settings)
            site = DeskSite(link, _folder(host, settings, setting), settings.python)
            scheduler = HostScheduler(site, limits, tuple(dict.fromkeys((name, place))))
            environments: Environments = Given(settings.python)
            if settings.environments == "build":
                front = Front(site, link, settings.python)
                environments = Built(front, setting.objects, settings.pythons)
            found.append(
                SpoolBackend(
                    place, site, scheduler, setting.objects, setting.cache,
                    environments=environments, poll_s=_POLL_S, warn=setting.warn,
                )
            )  # fmt: skip
        return found

    def check(self, name: str, settings: Hosts, setting: Setting) -> Sequence[Finding]:
        """Ask each host for its Python, its slots and its disk."""
        limits = _limits(name, settings)
        return [
            _look(place, host, settings, setting, limits)
            for place, host in _places(name, settings).items()
        ]

    def tidy(
        self, name: str, settings: Hosts, setting: Setting, older_s: float, *, remove: bool
    ) -> Sequence[Tidied]:
        """Look for environments of each host that nobody used for so long."""
        found: list[Tidied] = []
        for place, host in _places(name, settings).items():
            link = _link(host, settings)
            site = DeskSite(link, _folder(host, settings, setting), settings.python)
            found.append(tidy(place, Front(site, link, settings.python), older_s, remove=remove))
            site.close()
        return found


KIND = _HostsKind()


def _look(place: str, host: str, settings: Hosts, setting: Setting, limits: Limits) -> Finding:
    site = DeskSite(_link(host, settings), _folder(host, settings, setting), settings.python)
    try:
        return Finding(place, True, HostScheduler(site, limits, ()).version())
    except EmsError as error:
        return Finding(place, False, f"{error.subject}: {error.problem}", error.next_step)
    finally:
        site.close()


def _folder(host: str, settings: Hosts, setting: Setting) -> str:
    """Return the folder; a relative one starts at `.ems.yaml` here, elsewhere at the home."""
    if host != HERE or settings.folder.startswith("~"):
        return settings.folder
    return str(setting.base / settings.folder)


def _link(host: str, settings: Hosts) -> Line:
    return Near() if host == HERE else SshLink(host, settings.options)


def _places(name: str, settings: Hosts) -> dict[str, str]:
    """Return the hosts by the name of the place that each is."""
    hosts = [settings.ssh] if isinstance(settings.ssh, str) else settings.ssh
    if not hosts:
        raise UsageError(
            f"targets: {name}: ssh", "names no host (allowed: HOST, or a list of them)"
        )
    for host in hosts:
        if not host or host.startswith("-") or any(each.isspace() for each in host):
            allowed = "HOST, USER@HOST, an alias of ~/.ssh/config, or here"
            raise UsageError(f"targets: {name}: ssh", f"{host!r} is no host (allowed: {allowed})")
        if hosts.count(host) > 1:
            raise UsageError(f"targets: {name}: ssh", f"{host!r} stands there twice")
    if len(hosts) == 1:
        return {name: hosts[0]}
    short = [host.rpartition("@")[2] for host in hosts]
    unique = len(set(short)) == len(short)
    return {
        f"{name}/{at}": host for at, host in zip(short if unique else hosts, hosts, strict=True)
    }


def _limits(name: str, settings: Hosts) -> Limits:
    """Return what jobs may use of each host; raises UsageError for what can't be."""
    where, gpus = f"targets: {name}", settings.gpus
    if settings.slots is not None and settings.slots < 1:
        raise UsageError(f"{where}: slots", f"{settings.slots} is too few (allowed: 1 or more)")
    if isinstance(gpus, int) and gpus < 0:
        raise UsageError(f"{where}: gpus", f"{gpus} is too few (allowed: 0 or more, or a list)")
    memory = None
    if settings.memory is not None:
        memory, _ = units.gib(settings.memory, f"{where}: memory")
    ids = tuple(str(each) for each in gpus) if isinstance(gpus, list) else gpus
    return Limits(settings.slots, memory, ids)
