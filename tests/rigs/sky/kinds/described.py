"""EC2's things: each is found by its id in a describe call, tagged by one call, and has a state.

Serves no type itself: the tables of this folder share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.rigs.sky.kind import Call, Props
from tests.rigs.sky.kinds.forms import tag_changes, tag_list, tag_map

_GONE = ("deleted", "deleting", "rejected", "failed")


def find(call: Call, describe: str, ids: str, key: str, id_: str) -> Props | None:
    """Return what a describe call says of one thing; None where it says that it is deleted."""
    found = getattr(call.ec2, describe)(**{ids: [id_]})[key]
    for thing in found:
        state = thing.get("State") or thing.get("Status", {}).get("Code")
        if state not in _GONE:
            return thing
    return None


def told(thing: Mapping[str, Any], **names: str) -> Props:
    """Return properties under Pulumi's names; what the cloud doesn't tell is left out."""
    return {ours: thing[aws] for ours, aws in names.items() if thing.get(aws) is not None}


def tags(thing: Mapping[str, Any]) -> Props:
    """Return a thing's tags as a property."""
    return {"tags": tag_map(thing.get("Tags") or [])}


def retag(call: Call, id_: str, old: Props, new: Props) -> None:
    """Bring a thing's tags from the old properties' to the new ones'."""
    wanted, gone = tag_changes(old, new)
    if gone:
        call.ec2.delete_tags(Resources=[id_], Tags=[{"Key": key} for key in gone])
    if wanted:
        call.ec2.create_tags(Resources=[id_], Tags=tag_list(wanted))


def made(call: Call, id_: str, props: Props) -> str:
    """Say that a thing exists, then tag it."""
    call.made(id_)
    retag(call, id_, {}, props)
    return id_


def arn(call: Call, what: str, id_: str) -> str:
    """Return the ARN of one of EC2's things."""
    return f"arn:aws:ec2:{call.region}:{call.account}:{what}/{id_}"


def given(props: Props, **names: str) -> Props:
    """Return a call's arguments from the properties that the program gave."""
    return {aws: props[ours] for ours, aws in names.items() if props.get(ours) is not None}
