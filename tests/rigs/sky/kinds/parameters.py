"""SSM parameters. moto takes any length; AWS takes 4 KB in the Standard tier, 8 KB in Advanced."""

from __future__ import annotations

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import tag_changes, tag_list, tag_map

ROOM = {"Standard": 4096, "Advanced": 8192, "Intelligent-Tiering": 8192}


class TooLong(ValueError):
    """What AWS answers with a ValidationException."""


def _put(call: Call, props: Props, *, overwrite: bool) -> None:
    value = props.get("insecureValue") or props.get("value") or ""
    tier = props.get("tier") or "Standard"
    length = len(value.encode())
    if length > ROOM[tier]:
        raise TooLong(
            f"ValidationException: {tier} tier parameters support a maximum parameter value of "
            f"{ROOM[tier]} characters; {props['name']} has {length}"
        )
    more: Props = {} if overwrite else {"Tags": tag_list(props.get("tags"))}
    if props.get("description"):
        more["Description"] = props["description"]
    call.ssm.put_parameter(
        Name=props["name"], Type=props["type"], Value=value, Tier=tier, Overwrite=overwrite, **more
    )


def _create(call: Call, props: Props) -> str:
    _put(call, props, overwrite=bool(props.get("overwrite")))
    return call.made(props["name"])


def _read(call: Call, id_: str, props: Props) -> Props | None:
    said = call.ssm.get_parameter(Name=id_, WithDecryption=True)["Parameter"]
    named = [{"Key": "Name", "Option": "Equals", "Values": [id_]}]
    more = call.ssm.describe_parameters(ParameterFilters=named)["Parameters"][0]
    tags = call.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=id_)["TagList"]
    found: Props = {
        "name": said["Name"],
        "type": said["Type"],
        "arn": said["ARN"],
        "version": said["Version"],
        "dataType": said.get("DataType", "text"),
        "tier": more.get("Tier", "Standard"),
        "tags": tag_map(tags),
        "insecureValue" if props.get("insecureValue") else "value": said["Value"],
    }
    if more.get("Description"):
        found["description"] = more["Description"]
    return found


def _update(call: Call, id_: str, old: Props, new: Props) -> None:
    _put(call, {**new, "name": id_}, overwrite=True)
    wanted, gone = tag_changes(old, new)
    named = {"ResourceType": "Parameter", "ResourceId": id_}
    if wanted:
        call.ssm.add_tags_to_resource(**named, Tags=tag_list(wanted))
    if gone:
        call.ssm.remove_tags_from_resource(**named, TagKeys=gone)


PARAMETER = Kind(
    "aws:ssm/parameter:Parameter",
    create=_create,
    read=_read,
    update=_update,
    delete=lambda call, id_, props: call.ssm.delete_parameter(Name=id_),
    # not here: from Advanced back to Standard replaces too, which depends on the values
    replaces=dict.fromkeys(("name", "dataType"), "ssm/parameter.go"),
    name="name",
    computed=("arn", "dataType", "keyId", "tier", "version", "value"),
    renewed=("version",),
    secrets=("value",),
)

KINDS = [PARAMETER]
