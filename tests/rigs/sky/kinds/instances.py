"""Launch templates, and AWS's public parameters with the images that instances start from."""

from __future__ import annotations

from typing import Any

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import lower, tag_changes, tag_list, tag_map, upper

_NUMBERS = ("volumeSize", "iops", "throughput", "httpPutResponseHopLimit")


def _template_data(props: Props) -> Props:
    made: Props = {}
    if props.get("metadataOptions"):
        made["MetadataOptions"] = upper(props["metadataOptions"])
    for disk in props.get("blockDeviceMappings") or ():
        ebs = {key: _flag(value) for key, value in upper(disk["ebs"]).items()}
        made.setdefault("BlockDeviceMappings", []).append(
            {"DeviceName": disk["deviceName"], "Ebs": ebs}
        )
    for each in props.get("tagSpecifications") or ():
        tags = {"ResourceType": each["resourceType"], "Tags": tag_list(each["tags"])}
        made.setdefault("TagSpecifications", []).append(tags)
    for ours, aws in (("imageId", "ImageId"), ("userData", "UserData")):
        if props.get(ours):
            made[aws] = props[ours]
    return made


def _flag(value: Any) -> Any:
    """The provider has flags that may be left open as text (nullable.TypeNullableBool)."""
    return value == "true" if value in ("true", "false") else value


def _told(key: str, value: Any) -> Any:
    """moto tells what it was sent as text."""
    if key in _NUMBERS:
        return int(value)
    if key in ("encrypted", "deleteOnTermination"):
        return str(value).lower()
    return value


def _template_create(call: Call, props: Props) -> str:
    made = call.ec2.create_launch_template(
        LaunchTemplateName=props["name"], LaunchTemplateData=_template_data(props)
    )
    id_ = call.made(made["LaunchTemplate"]["LaunchTemplateId"])
    if props.get("tags"):
        call.ec2.create_tags(Resources=[id_], Tags=tag_list(props["tags"]))
    return id_


def _template_read(call: Call, id_: str, props: Props) -> Props | None:
    got = call.ec2.describe_launch_templates(LaunchTemplateIds=[id_])["LaunchTemplates"][0]
    versions = call.ec2.describe_launch_template_versions(
        LaunchTemplateId=id_, Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    tags = call.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [id_]}])["Tags"]
    return {
        **_template_told(versions[0]["LaunchTemplateData"]),
        "name": got["LaunchTemplateName"],
        "arn": f"arn:aws:ec2:{call.region}:{call.account}:launch-template/{id_}",
        "latestVersion": got["LatestVersionNumber"],
        "defaultVersion": got["DefaultVersionNumber"],
        "tags": tag_map(tags),
    }


def _template_told(data: Props) -> Props:
    found: Props = {}
    if data.get("MetadataOptions"):
        options = lower(data["MetadataOptions"])
        found["metadataOptions"] = {k: _told(k, v) for k, v in options.items()}
    for disk in data.get("BlockDeviceMappings") or ():
        ebs = {k: _told(k, v) for k, v in lower(disk["Ebs"]).items()}
        found.setdefault("blockDeviceMappings", []).append(
            {"deviceName": disk["DeviceName"], "ebs": ebs}
        )
    for each in data.get("TagSpecifications") or ():
        tags = {"resourceType": each["ResourceType"], "tags": tag_map(each["Tags"])}
        found.setdefault("tagSpecifications", []).append(tags)
    return found


def _template_update(call: Call, id_: str, old: Props, new: Props) -> None:
    if _template_data(old) != _template_data(new):
        call.ec2.create_launch_template_version(
            LaunchTemplateId=id_, LaunchTemplateData=_template_data(new)
        )
        if new.get("updateDefaultVersion"):
            latest = call.ec2.describe_launch_templates(LaunchTemplateIds=[id_])
            number = latest["LaunchTemplates"][0]["LatestVersionNumber"]
            call.ec2.modify_launch_template(LaunchTemplateId=id_, DefaultVersion=str(number))
    wanted, gone = tag_changes(old, new)
    if gone:
        call.ec2.delete_tags(Resources=[id_], Tags=[{"Key": key} for key in gone])
    if wanted:
        call.ec2.create_tags(Resources=[id_], Tags=tag_list(wanted))


def _parameter(call: Call, props: Props) -> Props:
    """`aws.ssm.getParameter`: moto knows AWS's public parameters."""
    got = call.ssm.get_parameter(
        Name=props["name"], WithDecryption=props.get("withDecryption", True)
    )["Parameter"]
    return {
        "id": got["Name"],
        "name": got["Name"],
        "arn": got["ARN"],
        "type": got["Type"],
        "value": got["Value"],
        "insecureValue": got["Value"] if got["Type"] != "SecureString" else None,
        "version": got["Version"],
        "region": call.region,
    }


KINDS = [
    Kind(
        "aws:ec2/launchTemplate:LaunchTemplate",
        create=_template_create,
        read=_template_read,
        delete=lambda call, id_, props: call.ec2.delete_launch_template(LaunchTemplateId=id_),
        update=_template_update,
        name="name",
        name_max=125,
        computed=("arn", "latestVersion"),
        renewed=("latestVersion", "defaultVersion"),
    ),
]

CALLS = {"aws:ssm/getParameter:getParameter": _parameter}
