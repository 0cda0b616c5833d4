"""Outputs from Pulumi's command line: for whoever has the checkout and may read its state.

Knows one command of Pulumi and what it says when it can't. Does not know what the outputs mean.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

from ems.errors import EmsError, nearest
from ems.stack.reading import json_of

PROJECT_FILE = "Pulumi.yaml"
CLUSTERS = Path("infra", "kubernetes")
"""Where the clusters' own program lies in the project."""
_TIMEOUT_S = 120
_WITHOUT = "emsctl stack use ssm:REGION/{stack}, which needs no Pulumi"


class NotYet(EmsError):
    """The stack is not there, or it has not yet been brought up."""


def environment_of(stack: str) -> str:
    """Return the environment of a stack: `dev` of `lab/ems/dev`."""
    return stack.rpartition("/")[2]


def project_of(folder: Path, stack: str) -> Path:
    """Return the folder of the environment's program: the nearest one upward with Pulumi.yaml.

    Programs inside of it (`ems-kubernetes`, `ems-account`) are passed by.
    """
    for each in (folder, *folder.parents):
        file = each / PROJECT_FILE
        if file.is_file() and not re.search(r"^name:\s*ems-", file.read_text("utf-8"), re.M):
            return each
    raise EmsError(
        stack,
        f"is a Pulumi stack's name, and there is no {PROJECT_FILE} in {folder} or above",
        f"emsctl -C CHECKOUT …, or {_WITHOUT.format(stack=stack)}",
    )


def outputs(project: Path, stack: str) -> dict[str, Any]:
    """Return all outputs of a stack; NotYet where there are none."""
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        raise EmsError("pulumi", "is not on the PATH", f"{_WITHOUT.format(stack=stack)}")
    words = [pulumi, "stack", "output", "--json", "--stack", stack, "--non-interactive"]
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(
            words, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        problem = f"`pulumi stack output` gave no answer within {_TIMEOUT_S} s"
        raise EmsError(f"stack {stack}", problem, f"pulumi stack output --stack {stack}") from None
    if done.returncode:
        raise _refusal(project, stack, done.stderr.decode(errors="replace"))
    found = json_of(done.stdout, f"stack {stack}")
    if not found:
        raise NotYet(
            f"stack {stack}",
            "has no outputs yet",
            _first_up(stack),
        )
    return cast("dict[str, Any]", found)


def _refusal(project: Path, stack: str, told: str) -> EmsError:
    """Return the error for what Pulumi wrote to standard error."""
    subject = f"stack {stack}"
    if "no stack named" in told:
        return _no_stack(project, stack)
    if "passphrase" in told:
        return EmsError(
            subject,
            "its state is encrypted, and the passphrase is missing or wrong",
            "export PULUMI_CONFIG_PASSPHRASE_FILE=…",
        )
    if "PULUMI_ACCESS_TOKEN" in told or "pulumi login" in told:
        return EmsError(
            subject,
            "Pulumi is not logged in to where the state lies",
            f"pulumi login s3://BUCKET, or {_WITHOUT.format(stack=stack)}",
        )
    lines = [line.removeprefix("error: ") for line in told.splitlines() if line.strip()]
    problem = " ".join((lines or ["ended without a word"])[-1].split())
    return EmsError(subject, f"Pulumi says: {problem}", f"pulumi stack output --stack {stack}")


def _no_stack(project: Path, stack: str) -> NotYet:
    """Return the error for a stack that is not made yet, or that no file of settings is for."""
    files = sorted(project.glob("stacks/Pulumi.*.yaml")) or sorted(project.glob("Pulumi.*.yaml"))
    names = [file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files]
    name = environment_of(stack)
    if name in names:
        return NotYet(f"stack {stack}", "there is none yet", _first_up(stack))
    near = nearest(name, names)
    meant = f" (did you mean '{near}'?)" if near else ""
    there = f" (there are: {', '.join(names)})" if names else ""
    return NotYet(
        f"stack {stack}",
        f"there is none of this name, nor settings for one{meant}{there}",
        f"emsctl stack use {near or 'NAME'}" if names else "pulumi stack ls",
    )


def _first_up(stack: str) -> str:
    return f"emsctl check --stack {stack}, then make up ENV={environment_of(stack)}"
