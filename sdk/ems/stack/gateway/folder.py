"""A lab gateway's folder: which files it has in which mode, and their writing.

`files` is pure; `write` alone touches the disk. Does not know what stands in the files, nor where
keys come from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ems.errors import EmsError, UsageError
from ems.stack.gateway import bgp, readme, scripts, swanctl
from ems.stack.gateway.plan import Gateway, Mode, check_mode

CONNECTIONS = "etc/swanctl/conf.d/ems-vpn.conf"
KEYS = "etc/swanctl/conf.d/ems-vpn-keys.conf"
DAEMON = "etc/strongswan.d/ems-vpn.conf"
SYSCTL = "etc/sysctl.d/90-ems-vpn.conf"
FIREWALL = "etc/ems-vpn/firewall.nft"
TUNNELS = "etc/ems-vpn/tunnels.sh"
ROUTES = "etc/ems-vpn/routes.sh"
KEEP = "etc/ems-vpn/keep.sh"
UNIT = "etc/systemd/system/ems-vpn.service"
FRR = "frr.conf"
README = "README.md"
IGNORE = ".gitignore"
ALL = (
    CONNECTIONS, KEYS, DAEMON, SYSCTL, FIREWALL, TUNNELS, ROUTES, KEEP, UNIT, FRR, README,
    IGNORE,
)  # fmt: skip
"""Every file that any mode has; `etc/` is copied onto the gateway as it is."""


@dataclass(frozen=True)
class File:
    """A file's text and its mode."""

    text: str
    mode: int = 0o644


def files(gateway: Gateway, mode: Mode, keys: Mapping[str, str]) -> dict[str, File]:
    """Return the folder's files by path; `keys` by the address of AWS's end, empty for none."""
    check_mode(gateway, mode)
    routed = mode == "route"
    found = {
        CONNECTIONS: File(swanctl.connections(gateway, mode)),
        KEYS: File(swanctl.secrets(gateway, keys), 0o600),
        DAEMON: File(swanctl.daemon(mode)),
        SYSCTL: File(scripts.sysctl()),
        FIREWALL: File(scripts.firewall(gateway, routed)),
        KEEP: File(scripts.keep(gateway, mode), 0o755),
        UNIT: File(scripts.unit(gateway, mode)),
        # Keys have no place in a repository.
        IGNORE: File(f"/{KEYS}\n"),
        README: File(readme.readme(gateway, mode, with_keys=bool(keys))),
    }
    if routed:
        found[TUNNELS] = File(scripts.tunnels(gateway), 0o755)
        if gateway.routing == "static":
            found[ROUTES] = File(scripts.routes(gateway), 0o755)
        else:
            found[FRR] = File(bgp.frr(gateway))
    return found


def refuse_full(folder: Path, lab: str) -> None:
    """Refuse a folder that is not new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is no folder"
        step = f"emsctl stack vpn {lab} -d NEW_FOLDER, or -f to replace what was written before"
        raise UsageError(str(folder), what, step)


def write(folder: Path, found: Mapping[str, File]) -> None:
    """Write the files, and remove those of another mode. What else lies there is left alone.

    A file is made with its mode, so that keys are never to be seen by others, not for a moment.
    """
    try:
        for path in ALL:
            (folder / path).unlink(missing_ok=True)
        for path, file in found.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(target, flags, file.mode), "w", encoding="utf-8") as stream:
                stream.write(file.text)
            target.chmod(file.mode)
    except OSError as error:
        raise EmsError(error.filename or str(folder), error.strerror or str(error)) from None
