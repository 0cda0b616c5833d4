"""The engine's property values: protobuf structs to Python's own values and back.

Knows no resource and no operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

Props = dict[str, Any]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine sends, and expects, where a preview cannot know a value."""
DEFAULTS = "__defaults"
"""The input that names the inputs that the provider filled in itself."""
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"


def unpack(struct: struct_pb2.Struct) -> Props:
    """Return a struct's values: whole numbers as int, secrets laid open."""
    value = _opened(json_format.MessageToDict(struct))
    assert isinstance(value, dict)
    return value


def pack(props: Mapping[str, Any], secrets: tuple[str, ...] = ()) -> struct_pb2.Struct:
    """Return the struct of what is not None; `secrets` are marked for the state to encrypt."""
    struct = struct_pb2.Struct()
    closed = {
        key: {_SIGNATURE: _SECRET, "value": value} if key in secrets else value
        for key, value in props.items()
    }
    struct.update(_present(closed))
    return struct


def has_unknown(value: Any) -> bool:
    """Return whether a preview's value is not known, or some part of it."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value == UNKNOWN


def _opened(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return _opened(value.get("value"))
        return {key: _opened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(item) for item in value]
    # every number on the wire is a double, and boto3 insists on int
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _present(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _present(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [_present(item) for item in value]
    return value
