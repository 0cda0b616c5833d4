"""CloudWatch's log groups."""

from __future__ import annotations

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import tag_changes


def _create(call: Call, props: Props) -> str:
    more: Props = {"kmsKeyId": props["kmsKeyId"]} if props.get("kmsKeyId") else {}
    call.logs.create_log_group(logGroupName=props["name"], tags=props.get("tags") or {}, **more)
    call.made(props["name"])
    _retain(call, props["name"], props)
    return props["name"]


def _retain(call: Call, name: str, props: Props) -> None:
    days = props.get("retentionInDays")
    if days:
        call.logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    else:
        call.logs.delete_retention_policy(logGroupName=name)


def _read(call: Call, name: str, props: Props) -> Props | None:
    groups = call.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    said = next((group for group in groups if group["logGroupName"] == name), None)
    if said is None:
        return None
    arn = said["arn"].removesuffix(":*")
    found: Props = {
        "name": name,
        "arn": arn,
        "retentionInDays": said.get("retentionInDays", 0),
        "tags": call.logs.list_tags_for_resource(resourceArn=arn)["tags"],
    }
    if said.get("kmsKeyId"):
        found["kmsKeyId"] = said["kmsKeyId"]
    return found


def _update(call: Call, name: str, old: Props, new: Props) -> None:
    _retain(call, name, new)
    wanted, gone = tag_changes(old, new)
    if wanted:
        call.logs.tag_resource(resourceArn=old["arn"], tags=wanted)
    if gone:
        call.logs.untag_resource(resourceArn=old["arn"], tagKeys=gone)


def _delete(call: Call, name: str, props: Props) -> None:
    if not props.get("skipDestroy"):
        call.logs.delete_log_group(logGroupName=name)


LOG_GROUP = Kind(
    "aws:cloudwatch/logGroup:LogGroup",
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
    replaces=dict.fromkeys(("name", "namePrefix", "logGroupClass"), "logs/group.go"),
    name="name",
    name_max=512,
    defaults={"retentionInDays": 0, "skipDestroy": False},
)

KINDS = [LOG_GROUP]
