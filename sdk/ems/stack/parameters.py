"""An environment's outputs as SSM parameters: one for each site and component, one for each queue.

    /ems/<environment>/stack                         what belongs to the set, and the account's part
    /ems/<environment>/labs/<lab>                    a lab with its VPN connections
    /ems/<environment>/sites/<site>/site             region, and which components there are
    /ems/<environment>/sites/<site>/<component>      network, storage, images, batch, kubernetes, …
    /ems/<environment>/sites/<site>/queues/<queue>   one Batch queue
    /ems/<environment>/sites/<site>/workspace        published by the clusters' own program

Each is a JSON object with its schema number. Whoever writes them calls `split` on the tree that it
exports: only the names in it have to be known, its leaves may be anything (values that are known
after an apply), so that the set of parameters stands before their texts do. Then, for each, once
its values are known, `text`:

    for path, part in split(tree).items():
        value = pulumi.Output.from_input(part).apply(lambda known, path=path: text(path, known))
        aws.ssm.Parameter(path, name=path, type="String", insecure_value=value)

Knows paths, sizes and what belongs together. Does not know SSM's client (`ssm.py`) nor Pulumi.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ems.errors import EmsError
from ems.stack.outputs import (
    SCHEMA,
    ClusterOutputs,
    Images,
    Kubernetes,
    Lab,
    Network,
    Outputs,
    Queue,
    SageMaker,
    StackOutputs,
    Storage,
    Workspace,
)
from ems.stack.reading import json_of, known_release, parse, plain, typed

LIMIT_BYTES = 4096
"""What a Standard parameter holds; an Advanced one is charged for and never becomes Standard."""


class Head(Outputs):
    """The parameter that says which others belong to the set."""

    environment: str
    account: str
    sites: tuple[str, ...]
    labs: tuple[str, ...] = ()
    submit_policies: Mapping[str, str] = {}
    submit_role: str = ""


class SiteHead(Outputs):
    """A site's own parameter: its region, and its components by name."""

    region: str
    components: tuple[str, ...]
    alarms: str = ""


class BatchHead(Outputs):
    """Batch at a site without its queues, which have parameters of their own."""

    queues: tuple[str, ...]
    log_group: str
    job_role: str
    execution_role: str


_COMPONENTS: Mapping[str, type[Outputs]] = {
    "network": Network,
    "storage": Storage,
    "images": Images,
    "batch": BatchHead,
    "kubernetes": Kubernetes,
    "sagemaker": SageMaker,
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """Outputs put together again, and the parameters that no longer belong to them."""

    outputs: StackOutputs
    left_over: tuple[str, ...]


def prefix(environment: str) -> str:
    """Return the path below which an environment's parameters stand."""
    return f"/ems/{environment}/"


# -- writing ------------------------------------------------------------------------------------


def split(tree: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return path → part for an environment's tree, which has the form of StackOutputs.

    Plain mappings are needed where names are read: the tree itself, `sites` and each site, `batch`
    and its `queues`, `labs`. All else is handed on untouched. A component that is None is left out.
    """
    base = prefix(tree["environment"])
    head = {key: tree[key] for key in ("environment", "account")}
    head |= {key: tree[key] for key in ("submit_policies", "submit_role") if key in tree}
    labs: Mapping[str, Any] = tree.get("labs") or {}
    parts = {f"{base}stack": {**head, "sites": list(tree["sites"]), "labs": list(labs)}}
    for name, site in tree["sites"].items():
        parts |= _split_site(f"{base}sites/{name}/", site)
    return parts | {f"{base}labs/{name}": lab for name, lab in labs.items()}


def split_clusters(tree: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return path → part for the tree of the clusters' program, of the form of ClusterOutputs."""
    base = prefix(tree["environment"])
    return {f"{base}sites/{name}/workspace": part for name, part in tree["workspaces"].items()}


def parameter_paths(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the parameters that an environment's tree is split into."""
    return tuple(split(tree))


def text(path: str, part: object) -> str:
    """Return what a parameter holds: its part, checked, as JSON with the schema number.

    Raises EmsError for a part that does not fit its place, or that is longer than 4 KB.
    """
    value = typed(part, _kind(path), path)
    held = msgspec.json.encode({"schema": SCHEMA, **plain(value)})
    if len(held) > LIMIT_BYTES:
        raise EmsError(
            path,
            f"would hold {len(held)} bytes (allowed: {LIMIT_BYTES}, what a Standard parameter of "
            "SSM holds)",
            "shorter or fewer names there (queues, repositories, networks, pools)",
        )
    return held.decode()


def to_parameters(outputs: StackOutputs) -> dict[str, str]:
    """Return path → text for an environment whose outputs are known."""
    return {path: text(path, part) for path, part in split(plain(outputs)).items()}


def clusters_to_parameters(outputs: ClusterOutputs) -> dict[str, str]:
    """Return path → text for the workspaces of an environment's clusters."""
    return {path: text(path, part) for path, part in split_clusters(plain(outputs)).items()}


def _split_site(base: str, site: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    present = [name for name in _COMPONENTS if site.get(name) is not None]
    head = {"region": site["region"], "components": present, "alarms": site.get("alarms", "")}
    parts: dict[str, dict[str, Any]] = {f"{base}site": head}
    for name in present:
        parts[base + name] = site[name]
    if "batch" in present:
        batch: dict[str, Any] = dict(site["batch"])
        queues: Mapping[str, Any] = batch["queues"]
        parts[f"{base}batch"] = {**batch, "queues": list(queues)}
        parts |= {f"{base}queues/{name}": queue for name, queue in queues.items()}
    cluster = site.get("kubernetes")
    if isinstance(cluster, Mapping) and "workspace" in cluster:
        rest: dict[str, Any] = dict(site["kubernetes"])
        workspace = rest.pop("workspace")
        parts[f"{base}kubernetes"] = rest
        if workspace is not None:
            parts[f"{base}workspace"] = workspace
    return parts


def _kind(path: str) -> type[Outputs]:
    """Return what a parameter of this name holds."""
    match path.split("/"):
        case ["", "ems", _, "stack"]:
            return Head
        case ["", "ems", _, "labs", _]:
            return Lab
        case ["", "ems", _, "sites", _, "site"]:
            return SiteHead
        case ["", "ems", _, "sites", _, "workspace"]:
            return Workspace
        case ["", "ems", _, "sites", _, "queues", _]:
            return Queue
        case ["", "ems", _, "sites", _, name] if name in _COMPONENTS:
            return _COMPONENTS[name]
        case _:
            raise EmsError(path, "is no parameter of EMS (allowed: /ems/<environment>/…)")


# -- reading ------------------------------------------------------------------------------------


def from_parameters(texts: Mapping[str, str], environment: str, where: str = "SSM") -> Gathered:
    """Return the outputs that a set of parameters holds.

    Raises EmsError if one is missing, is damaged or was written by another release than the rest:
    then an `up` was interrupted. What the set does not name is left over from an earlier one.
    """
    return _Gathering(texts, prefix(environment), environment, where).all()


class _Gathering:
    """The parameters of one environment, and which of them have been used."""

    def __init__(self, texts: Mapping[str, str], base: str, environment: str, where: str) -> None:
        self.texts = texts
        self.base = base
        self.where = where
        self.next_step = f"make up ENV={environment}"
        self.used: set[str] = set()
        self.missing: list[str] = []
        self.schema: int | None = None

    def all(self) -> Gathered:
        head = self.part(f"{self.base}stack")
        if not head:
            raise self._incomplete()
        kept = typed(head, Head, f"{self.base}stack")
        sites = {name: self.site(f"{self.base}sites/{name}/") for name in kept.sites}
        labs = {name: self.part(f"{self.base}labs/{name}") for name in kept.labs}
        if self.missing:
            raise self._incomplete()
        outputs = parse({**head, "sites": sites, "labs": labs}, self.where)
        return Gathered(outputs, tuple(sorted(set(self.texts) - self.used)))

    def site(self, base: str) -> dict[str, Any]:
        head = self.part(f"{base}site")
        names = typed(head, SiteHead, f"{base}site").components if head else ()
        site = {**head, **{name: self.part(base + name) for name in names}}
        if batch := site.get("batch"):
            queues = typed(batch, BatchHead, f"{base}batch").queues
            site["batch"] = {
                **batch,
                "queues": {name: self.part(f"{base}queues/{name}") for name in queues},
            }
        if site.get("kubernetes") and f"{base}workspace" in self.texts:
            site["kubernetes"] = {**site["kubernetes"], "workspace": self.part(f"{base}workspace")}
        return site

    def part(self, path: str) -> dict[str, Any]:
        """Return what a parameter holds, without more ado if it is missing: all are named later."""
        if path not in self.texts:
            self.missing.append(path)
            return {}
        self.used.add(path)
        value = json_of(self.texts[path], path)
        schema = known_release(value, path)
        self.schema = self.schema or schema
        if schema != self.schema:
            raise EmsError(
                path,
                f"has schema {schema}, {self.base}stack has {self.schema}: an `up` was interrupted",
                self.next_step,
            )
        typed(value, _kind(path), path)
        return msgspec.convert(value, dict[str, Any])

    def _incomplete(self) -> EmsError:
        shown = ", ".join(self.missing[:4]) + (" …" if len(self.missing) > 4 else "")
        return EmsError(
            self.where,
            f"{shown} not there, so an `up` or a `destroy` was interrupted",
            self.next_step,
        )
