"""What this machine needs before `pulumi up`: the CLI, and the passphrase of the stack's secrets.

Knows versions, variables and files, no AWS. Reads no passphrase.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.settings.fault import Fault

OLDEST = (3, 246, 0)
"""The release of Pulumi that the programs are tested with; Pulumi.yaml asks for it too."""
_INSTALL = "https://www.pulumi.com/docs/iac/download-install/"
_VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


def faults(project: Path, document: Mapping[str, Any]) -> Iterator[Fault]:
    """Return what this machine lacks for a stack, whose file says `document`."""
    yield from cli()
    yield from passphrase(project, document, os.environ)


def cli() -> Iterator[Fault]:
    """Return what is off with the Pulumi CLI."""
    wanted = ".".join(map(str, OLDEST))
    try:
        done = subprocess.run(
            ["pulumi", "version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    except FileNotFoundError:
        yield Fault("pulumi", f"is not on the PATH (allowed: {wanted} or newer)", _INSTALL)
        return
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Fault("pulumi", f"does not answer: {error}", _INSTALL)
        return
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout)
    if done.returncode or not found:
        said = " ".join((done.stderr or done.stdout).split())[:200]
        yield Fault("pulumi", f"`pulumi version` says {said or 'nothing'!r}", _INSTALL)
    elif tuple(map(int, found.groups())) < OLDEST:
        what = f"the CLI is {found[0]}, which is too old (allowed: {wanted} or newer)"
        yield Fault("pulumi", what, _INSTALL)


def passphrase(
    project: Path, document: Mapping[str, Any], variables: Mapping[str, str]
) -> Iterator[Fault]:
    """Return what is off with the passphrase, for a stack whose secrets need one."""
    if not needs_passphrase(project, document, variables) or _VARIABLES[0] in variables:
        return
    file = variables.get(_VARIABLES[1])
    if file is None:
        yield Fault(
            _VARIABLES[0],
            "is not set, and the stack's secrets are encrypted by a passphrase (allowed: the "
            f"passphrase there, or a file's name in {_VARIABLES[1]})",
            f"read -rs {_VARIABLES[0]} && export {_VARIABLES[0]}",
        )
    elif not os.access(file, os.R_OK):
        what = f"names {file}, which can't be read"
        yield Fault(_VARIABLES[1], f"{what} (allowed: a file that holds the passphrase)")


def needs_passphrase(
    project: Path, document: Mapping[str, Any], variables: Mapping[str, str]
) -> bool:
    """Whether a stack's secrets are encrypted by a passphrase, as every self-kept backend does."""
    provider = str(document.get("secretsprovider") or "")
    if provider and provider not in ("passphrase", "default"):
        return False
    if document.get("encryptionsalt") or provider == "passphrase":
        return True
    backend = variables.get("PULUMI_BACKEND_URL") or _backend(project)
    return bool(backend) and not backend.startswith("https://")


def _backend(project: Path) -> str:
    try:
        found: Any = yaml.safe_load((project / "Pulumi.yaml").read_text(encoding="utf-8"))
        return str((found.get("backend") or {}).get("url") or "")
    except (OSError, yaml.YAMLError, AttributeError):
        return ""
