"""What the provider fills in or keeps apart itself: names, regions, default tags, allowed accounts.

As pulumi-aws does it: provider/autonaming.go, provider/tags.go, provider/region.go. Knows no wire
and no cloud.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rigs.sky import schema
from tests.rigs.sky.kind import Kind, Props
from tests.rigs.sky.wire import DEFAULTS, UNKNOWN, has_unknown

_RANDOM = 7


@dataclass(frozen=True)
class Provider:
    """What the program says of the provider."""

    region: str = "us-east-1"
    tags: Mapping[str, str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def refuse(self, account: str) -> None:
        """Raise in the real provider's words where the account is not one that may be used."""
        if (self.allowed and account not in self.allowed) or account in self.forbidden:
            raise PermissionError(f"AWS account ID not allowed: {account}")


def settings(args: Mapping[str, Any]) -> Provider:
    """Read the provider's settings; nested ones come as JSON documents."""

    def value(key: str, otherwise: Any) -> Any:
        given = args.get(key)
        if given is None or given == UNKNOWN:
            return otherwise
        return json.loads(given) if isinstance(given, str) else given

    region = args.get("region") or os.environ.get("AWS_REGION") or "us-east-1"
    return Provider(
        region=str(region),
        tags=dict((value("defaultTags", {}) or {}).get("tags") or {}),
        allowed=tuple(value("allowedAccountIds", ())),
        forbidden=tuple(value("forbiddenAccountIds", ())),
    )


def check_settings(args: Mapping[str, Any]) -> list[schema.Failure]:
    """Return what is wrong with the provider's settings."""
    region = args.get("region") or os.environ.get("AWS_REGION")
    if not region:
        return [schema.Failure("region", "missing. Try: pulumi config set aws:region us-east-1")]
    return []


def fill(
    kind: Kind, inputs: Props, old: Mapping[str, Any], name: str, seed: bytes, provider: Provider
) -> Props:
    """Return checked inputs: defaults, a name of the provider's own, the region and all tags."""
    filled = {**kind.defaults, **inputs}
    key = kind.name
    if key and filled.get(key) is None and f"{key}Prefix" not in filled:
        filled[key] = _kept(kind, old) or _made(kind, name, seed)
        filled[DEFAULTS] = [key]
    known = schema.shape(kind.token)
    if known and "region" in known.inputs and filled.get("region") is None:
        filled["region"] = provider.region
    if known and "tags" in known.inputs and "tagsAll" in known.outputs:
        filled["tagsAll"] = _all_tags(filled.get("tags"), provider)
    return filled


def from_prefix(kind: Kind, inputs: Props, random: str) -> Props:
    """Return inputs with the name that is made from `namePrefix`, at the time of making."""
    key = kind.name
    prefix = inputs.get(f"{key}Prefix") if key else None
    if key and prefix is not None and inputs.get(key) is None:
        return {**inputs, key: f"{prefix}{random}"}
    return inputs


def seen(props: Props) -> Props:
    """Return properties as a table sees them: `tags` are all tags, with the provider's."""
    plain = {key: value for key, value in props.items() if key not in (DEFAULTS, "tagsAll")}
    if isinstance(props.get("tagsAll"), dict):
        plain["tags"] = dict(props["tagsAll"])
    return plain


def told_apart(found: Props, inputs: Mapping[str, Any], provider: Provider, kind: Kind) -> Props:
    """Return what a table read with the provider's tags apart from the resource's own."""
    known = schema.shape(kind.token)
    if not (known and "tagsAll" in known.outputs) or not isinstance(found.get("tags"), dict):
        return found
    every = found["tags"]
    own = inputs.get("tags") or {}
    mine = {k: v for k, v in every.items() if k in own or provider.tags.get(k) != v}
    return {**found, "tagsAll": dict(every), "tags": mine}


def would_collide(kind: Kind, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether the program fixed a name that the old resource and the new would share."""
    key = kind.name
    if not key or key in new.get(DEFAULTS, ()) or new.get(key) is None:
        return False
    return new[key] == old.get(key) and new.get("region") == old.get("region")


def _kept(kind: Kind, old: Mapping[str, Any]) -> str | None:
    """The name that the provider once made; one that a program gave is not kept."""
    return old.get(kind.name or "") if kind.name in old.get(DEFAULTS, ()) else None


def _made(kind: Kind, name: str, seed: bytes) -> str:
    digest = hashlib.sha256(seed or os.urandom(8)).hexdigest()
    made = f"{name}-{digest[:_RANDOM]}"
    if kind.name == "bucket":
        made = made.lower()
    if len(made) > kind.name_max:
        raise ValueError(f"name {made!r} is longer than {kind.name_max} characters")
    return made


def _all_tags(tags: Any, provider: Provider) -> Any:
    if has_unknown(tags):
        return UNKNOWN
    return {**provider.tags, **(tags or {})}
