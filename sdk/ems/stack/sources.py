"""Where an environment's outputs are read from: a Pulumi stack, SSM, or a file.

    dev                  the Pulumi stack of that name, of the project around the folder
    ssm:us-west-2/dev    the parameters of that environment in that region
    sky.json             a file, in any folder; its name ends in .json

Knows the three forms. Clients of AWS are handed in. Does not know what the outputs are used for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ems.errors import EmsError, UsageError
from ems.stack import aws, pulumi_cli, ssm
from ems.stack.outputs import StackOutputs
from ems.stack.pulumi_cli import NotYet
from ems.stack.reading import (
    CLUSTER_OUTPUT,
    STACK_OUTPUT,
    json_of,
    merge,
    parse,
    parse_clusters,
    parse_document,
    without_cluster,
)

FORMS = "a Pulumi stack's name, ssm:REGION/NAME, or a path that ends in .json"
_STACK = re.compile(r"([\w.-]+/){0,2}[\w.-]+", re.ASCII)
_SSM = re.compile(r"ssm:([a-z]{2}(?:-[a-z]+)+-\d+)/([\w.-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class PulumiStack:
    """A Pulumi stack by name."""

    name: str


@dataclass(frozen=True, slots=True)
class SsmEnvironment:
    """An environment whose parameters stand in a region."""

    region: str
    name: str


@dataclass(frozen=True, slots=True)
class OutputsFile:
    """A file that holds outputs as JSON."""

    path: Path


Reference = PulumiStack | SsmEnvironment | OutputsFile


@dataclass(frozen=True, slots=True)
class Read:
    """An environment's outputs, where they were read, and what was noticed on the way."""

    outputs: StackOutputs
    where: str
    notes: tuple[str, ...] = ()


def reference(said: str) -> Reference:
    """Return what a person named; UsageError for what has none of the three forms."""
    if said.endswith(".json"):
        return OutputsFile(Path(said).expanduser())
    if found := _SSM.fullmatch(said):
        return SsmEnvironment(found[1], found[2])
    if said.startswith("ssm:") or not _STACK.fullmatch(said):
        raise UsageError("stack", f"{said!r} names none (allowed: {FORMS})")
    return PulumiStack(said)


def read(said: Reference, folder: Path, clients: aws.Clients = aws.client) -> Read:
    """Return the outputs that a reference leads to.

    `folder` is where the search for Pulumi.yaml begins and where a relative path does.
    """
    match said:
        case OutputsFile(path):
            return _from_file(folder / path)
        case SsmEnvironment(region, name):
            gathered = ssm.read(clients("ssm", region), region, name)
            notes = tuple(
                f"{path} is left over from an earlier `up`" for path in gathered.left_over
            )
            return Read(gathered.outputs, f"SSM parameters below /ems/{name}/ in {region}", notes)
        case PulumiStack(name):
            return _from_pulumi(pulumi_cli.project_of(folder, name), name)


def _from_file(path: Path) -> Read:
    try:
        text = path.read_bytes()
    except OSError as error:
        problem = f"can't be read: {(error.strerror or str(error)).lower()}"
        step = "emsctl stack show REF -o json > FILE, by someone who has another way"
        raise EmsError(str(path), problem, step) from None
    return Read(parse_document(json_of(text, str(path)), str(path)), f"file {path}")


def _from_pulumi(project: Path, stack: str) -> Read:
    where = f"Pulumi stack {stack} of {project}"
    found = _one(pulumi_cli.outputs(project, stack), STACK_OUTPUT, stack)
    outputs = parse(found, f"stack {stack}")
    clusters = project / pulumi_cli.CLUSTERS
    wanted = any(site.kubernetes for site in outputs.sites.values())
    if not wanted or not (clusters / pulumi_cli.PROJECT_FILE).is_file():
        return Read(outputs, where)
    subject = f"stack {stack} of {pulumi_cli.CLUSTERS}"
    try:
        document = pulumi_cli.outputs(clusters, stack)
    except NotYet:
        step = f"make up ENV={pulumi_cli.environment_of(stack)}"
        return Read(outputs, where, (f"the clusters have no workspaces yet. Try: {step}",))
    published = parse_clusters(_one(document, CLUSTER_OUTPUT, stack), subject)
    notes = tuple(
        f"the workspace of {site} outlived its cluster"
        for site in without_cluster(outputs, published)
    )
    return Read(merge(outputs, published), where, notes)


def _one(document: Mapping[str, Any], name: str, stack: str) -> object:
    if name not in document:
        raise EmsError(
            f"stack {stack}",
            f"has no output '{name}' (there: {', '.join(sorted(document))}), so it is none of EMS",
            "emsctl -C CHECKOUT …",
        )
    return document[name]
