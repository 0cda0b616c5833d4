"""What a process needs around it to be inside a sandbox: variables, and which ones must go.

Knows the variables of AWS's tools, of the engine and of its stand-ins.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.rigs.sandbox.place import Place
from tests.rigs.sky import install
from tests.rigs.sky.clients import KEYS
from tests.rigs.sky.engine import PLUGINS

REGION = "us-west-2"
"""The home of the environment `sandbox`."""
_FOREIGN = ("AWS_", "PULUMI_", "SKY_", "EMS_KUBECONFIG", "KUBECONFIG")
"""A profile or an endpoint of another cloud must not get in."""


def variables(place: Place, endpoint: str) -> dict[str, str]:
    """Return the variables of a sandbox, without PATH."""
    found = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        **KEYS,
        "PULUMI_HOME": str(place.home),
        "PULUMI_BACKEND_URL": place.state.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "sandbox",  # it guards nothing: all keys here are known
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_ERROR_OUTPUT_STRING": "true",
        "SKY_PYTHON": sys.executable,
    }
    if place.cluster_ready.exists():
        kubeconfig = str(place.cluster / "kubeconfig")
        found |= {"EMS_KUBECONFIG": kubeconfig, "KUBECONFIG": kubeconfig}
    return found


def environment(place: Place, endpoint: str) -> dict[str, str]:
    """Return the whole environment of a process inside."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)},
        **variables(place, endpoint),
        "PATH": os.pathsep.join([*_folders(), os.environ.get("PATH", "")]),
    }


def shell(place: Place, endpoint: str, outside: Mapping[str, str]) -> list[str]:
    """Return the commands that bring a shell with the variables `outside` into a sandbox."""
    inside = variables(place, endpoint)
    lines = [
        f"unset {name}"
        for name in sorted(outside)
        if name.startswith(_FOREIGN) and name not in inside
    ]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in inside.items()]
    path = os.pathsep.join(_folders())
    if not outside.get("PATH", "").startswith(path):  # asked for a second time
        lines.append(f'export PATH={shlex.quote(path)}:"$PATH"')
    return lines


def _folders() -> list[str]:
    """Return the folders of the stand-ins, the engine and `emsctl`."""
    return [str(PLUGINS), str(install.folder() or ""), str(Path(sys.prefix) / "bin")]
