"""Outputs as JSON and back: their release, what is damaged and where, the clusters' part put in.

Knows the two documents and the form of every value in them. Does not know where the text comes
from (`sources.py`), nor how it is split into parameters (`parameters.py`).
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec

from ems.errors import EmsError
from ems.stack.outputs import OLDEST, SCHEMA, ClusterOutputs, Outputs, Site, StackOutputs

STACK_OUTPUT = "stack"
"""The output of the environment's program that holds its StackOutputs."""
CLUSTER_OUTPUT = "workspaces"
"""The output of the clusters' program that holds its ClusterOutputs."""
_ANEW = "make up, which writes them anew"
_T = TypeVar("_T")


def plain(outputs: Outputs) -> dict[str, Any]:
    """Return outputs as plain dicts, lists, texts and numbers: what a program exports."""
    return msgspec.json.decode(encode(outputs))  # so that tuples are lists, as they are read


def encode(outputs: Outputs) -> str:
    """Return outputs as JSON text."""
    return msgspec.json.encode(outputs).decode()


def decode(text: str | bytes, where: str = "outputs") -> StackOutputs:
    """Return the outputs of an environment from JSON text.

    Raises EmsError, with the path of the value, for what is damaged, foreign or of a release that
    is not known. A key that is not known is left alone.
    """
    return parse(json_of(text, where), where)


def decode_clusters(text: str | bytes, where: str = "outputs") -> ClusterOutputs:
    """Return what the clusters' program published, from JSON text."""
    return parse_clusters(json_of(text, where), where)


def parse(value: object, where: str = "outputs") -> StackOutputs:
    """Return the outputs of an environment from plain data."""
    known_release(value, where)
    return typed(value, StackOutputs, where)


def parse_clusters(value: object, where: str = "outputs") -> ClusterOutputs:
    """Return what the clusters' program published, from plain data."""
    known_release(value, where)
    return typed(value, ClusterOutputs, where)


def parse_document(value: object, where: str) -> StackOutputs:
    """Return outputs from a document that holds them alone, or all outputs of a Pulumi stack.

    So what `pulumi stack output --json` or `emsctl stack show -o json` wrote to a file will do.
    """
    if not isinstance(value, dict) or STACK_OUTPUT not in value:
        return parse(cast("object", value), where)
    document = cast("dict[str, object]", value)
    outputs = parse(document[STACK_OUTPUT], where)
    if CLUSTER_OUTPUT not in document:
        return outputs
    return merge(outputs, parse_clusters(document[CLUSTER_OUTPUT], where))


# -- the clusters' part -------------------------------------------------------------------------


def merge(stack: StackOutputs, clusters: ClusterOutputs) -> StackOutputs:
    """Return an environment's outputs with each cluster's workspace in its place.

    A workspace whose site has no cluster any more is left out; `without_cluster` names those.
    """
    if clusters.environment != stack.environment:
        raise EmsError(
            f"clusters of {clusters.environment}",
            f"belong to another environment than {stack.environment}",
            f"make up ENV={stack.environment}",
        )
    sites = {name: _with_workspace(site, name, clusters) for name, site in stack.sites.items()}
    return msgspec.structs.replace(stack, sites=sites)


def without_cluster(stack: StackOutputs, clusters: ClusterOutputs) -> tuple[str, ...]:
    """Return the sites whose workspace outlived their cluster, or the site itself."""
    return tuple(
        name
        for name in clusters.workspaces
        if name not in stack.sites or stack.sites[name].kubernetes is None
    )


def _with_workspace(site: Site, name: str, clusters: ClusterOutputs) -> Site:
    workspace = clusters.workspaces.get(name)
    if site.kubernetes is None or workspace is None:
        return site
    cluster = msgspec.structs.replace(site.kubernetes, workspace=workspace)
    return msgspec.structs.replace(site, kubernetes=cluster)


# -- what may be wrong --------------------------------------------------------------------------


def json_of(text: str | bytes, where: str) -> object:
    """Return what a JSON text holds; EmsError where it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error).removeprefix("JSON is malformed: ")
        raise EmsError(where, f"is no JSON: {problem}", _ANEW) from None


def known_release(value: object, where: str) -> int:
    """Return the schema number of a document; EmsError where it is missing or can't be read."""
    schema = cast("dict[str, object]", value).get("schema") if isinstance(value, dict) else None
    if type(schema) is not int:
        raise EmsError(where, "holds no outputs of EMS ($.schema is not there)", _ANEW)
    if schema > SCHEMA:
        raise EmsError(
            where,
            f"has schema {schema}, a later release's (readable: {_readable()})",
            "pip install --upgrade emsctl",
        )
    if schema < OLDEST:
        raise EmsError(
            where,
            f"has schema {schema}, an earlier release's (readable: {_readable()})",
            "make up with this release of EMS, which writes it anew",
        )
    return schema


def _readable() -> str:
    return str(SCHEMA) if OLDEST == SCHEMA else f"{OLDEST} to {SCHEMA}"


def typed(value: object, kind: type[_T], where: str) -> _T:
    """Return plain data as a type; EmsError with the path of the first value that does not fit."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise EmsError(where, _fault(value, kind, "$"), _ANEW) from None


def _fault(value: object, kind: Any, path: str) -> str:
    """Return which value does not fit, and why; names the keys, where msgspec says `[...]`."""
    for step, inner, inner_kind in _inside(value, kind):
        try:
            msgspec.convert(inner, inner_kind)
        except msgspec.ValidationError:
            return _fault(inner, inner_kind, path + step)
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        reason = re.sub(r" - at .*", "", str(error)).replace("`", "'")
        return f"{path}: {reason[:1].lower()}{reason[1:]}"
    return f"{path}: does not fit"


def _inside(value: object, kind: Any) -> Iterator[tuple[str, object, Any]]:
    """Yield the parts of a value, each with its step of the path and its type."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(each for each in typing.get_args(kind) if each is not types.NoneType)
    origin = typing.get_origin(kind) or kind
    if isinstance(value, dict):
        rows = cast("dict[str, object]", value)
        if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            for each in msgspec.structs.fields(origin):
                if each.encode_name in rows:
                    yield f".{each.encode_name}", rows[each.encode_name], each.type
        elif len(typing.get_args(kind)) == 2:
            for key, inner in rows.items():
                yield f".{key}", inner, typing.get_args(kind)[1]
    elif isinstance(value, list) and origin is tuple:
        of = typing.get_args(kind)[0]
        for at, inner in enumerate(cast("list[object]", value)):
            yield f"[{at}]", inner, of
