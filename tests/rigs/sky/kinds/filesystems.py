"""EFS: file systems, mount targets, access points.

moto has no UpdateFileSystem and no PutBackupPolicy: a file system's throughput is as the program
last said, and a backup policy is kept in the state alone.
"""

from __future__ import annotations

from tests.rigs.sky.kind import Call, Kind, Props, remembered
from tests.rigs.sky.kinds.forms import lower, tag_changes, tag_list, tag_map, upper


def _file_system_create(call: Call, props: Props) -> str:
    said: Props = {
        "CreationToken": props.get("creationToken") or call.name,
        "ThroughputMode": props["throughputMode"],
        "Tags": tag_list(props.get("tags")),
    }
    for ours, theirs in _FIXED.items():
        if props.get(ours) is not None and theirs != "CreationToken":
            said[theirs] = props[ours]
    made = call.efs.create_file_system(**said)
    id_ = call.made(made["FileSystemId"])
    _put_lifecycle(call, id_, props)
    return id_


_FIXED = {
    "creationToken": "CreationToken",
    "encrypted": "Encrypted",
    "kmsKeyId": "KmsKeyId",
    "performanceMode": "PerformanceMode",
    "availabilityZoneName": "AvailabilityZoneName",
}
_EFS_LIFECYCLE = {
    "transitionToIa": "TransitionToIA",
    "transitionToPrimaryStorageClass": "TransitionToPrimaryStorageClass",
    "transitionToArchive": "TransitionToArchive",
}


def _put_lifecycle(call: Call, id_: str, props: Props) -> None:
    policies = [
        {_EFS_LIFECYCLE[key]: value for key, value in policy.items()}
        for policy in props.get("lifecyclePolicies") or []
    ]
    call.efs.put_lifecycle_configuration(FileSystemId=id_, LifecyclePolicies=policies)


def _file_system_read(call: Call, id_: str, props: Props) -> Props | None:
    said = call.efs.describe_file_systems(FileSystemId=id_)["FileSystems"][0]
    policies = call.efs.describe_lifecycle_configuration(FileSystemId=id_)["LifecyclePolicies"]
    back = {theirs: ours for ours, theirs in _EFS_LIFECYCLE.items()}
    return {
        **{ours: said[theirs] for ours, theirs in _FIXED.items() if theirs in said},
        "arn": said["FileSystemArn"],
        "dnsName": f"{id_}.efs.{call.region}.amazonaws.com",
        "name": said.get("Name", ""),
        "ownerId": said["OwnerId"],
        "numberOfMountTargets": said["NumberOfMountTargets"],
        "lifecyclePolicies": [{back[k]: v for k, v in each.items()} for each in policies],
        "tags": tag_map(said["Tags"]),
    }


def _file_system_update(call: Call, id_: str, old: Props, new: Props) -> None:
    _put_lifecycle(call, id_, new)
    _tag(call, id_, old, new)


def _tag(call: Call, id_: str, old: Props, new: Props) -> None:
    wanted, gone = tag_changes(old, new)
    if wanted:
        call.efs.tag_resource(ResourceId=id_, Tags=tag_list(wanted))
    if gone:
        call.efs.untag_resource(ResourceId=id_, TagKeys=gone)


FILE_SYSTEM = Kind(
    "aws:efs/fileSystem:FileSystem",
    create=_file_system_create,
    read=_file_system_read,
    update=_file_system_update,
    delete=lambda call, id_, props: call.efs.delete_file_system(FileSystemId=id_),
    replaces=dict.fromkeys(_FIXED, "efs/file_system.go"),
    defaults={"throughputMode": "bursting"},
    computed=("kmsKeyId", "performanceMode", "availabilityZoneName"),
)

BACKUP = remembered(
    "aws:efs/backupPolicy:BackupPolicy",
    "efs.PutBackupPolicy",
    identity=lambda call, props: props["fileSystemId"],
    replaces={"fileSystemId": "efs/backup_policy.go"},
)


def _mount_target_create(call: Call, props: Props) -> str:
    said: Props = {"FileSystemId": props["fileSystemId"], "SubnetId": props["subnetId"]}
    if props.get("securityGroups"):
        said["SecurityGroups"] = props["securityGroups"]
    if props.get("ipAddress"):
        said["IpAddress"] = props["ipAddress"]
    return call.made(call.efs.create_mount_target(**said)["MountTargetId"])


def _mount_target_read(call: Call, id_: str, props: Props) -> Props | None:
    said = call.efs.describe_mount_targets(MountTargetId=id_)["MountTargets"][0]
    groups = call.efs.describe_mount_target_security_groups(MountTargetId=id_)["SecurityGroups"]
    file_system, zone = said["FileSystemId"], said["AvailabilityZoneName"]
    host = f"{file_system}.efs.{call.region}.amazonaws.com"
    return {
        "fileSystemId": file_system,
        "subnetId": said["SubnetId"],
        "securityGroups": groups,
        "ipAddress": said["IpAddress"],
        "availabilityZoneId": said["AvailabilityZoneId"],
        "availabilityZoneName": zone,
        "networkInterfaceId": said["NetworkInterfaceId"],
        "ownerId": said["OwnerId"],
        "dnsName": host,
        "mountTargetDnsName": f"{zone}.{host}",
        "fileSystemArn": f"arn:aws:elasticfilesystem:{call.region}:{call.account}"
        f":file-system/{file_system}",
    }


MOUNT_TARGET = Kind(
    "aws:efs/mountTarget:MountTarget",
    create=_mount_target_create,
    read=_mount_target_read,
    update=lambda call, id_, old, new: call.efs.modify_mount_target_security_groups(
        MountTargetId=id_, SecurityGroups=new.get("securityGroups") or []
    ),
    delete=lambda call, id_, props: call.efs.delete_mount_target(MountTargetId=id_),
    replaces=dict.fromkeys(("fileSystemId", "subnetId", "ipAddress"), "efs/mount_target.go"),
    computed=("ipAddress", "securityGroups"),
    sets=("securityGroups",),
)


def _access_point_create(call: Call, props: Props) -> str:
    said: Props = {"FileSystemId": props["fileSystemId"], "ClientToken": call.name}
    if props.get("posixUser"):
        said["PosixUser"] = upper(props["posixUser"])
    if props.get("rootDirectory"):
        said["RootDirectory"] = upper(props["rootDirectory"])
    made = call.efs.create_access_point(**said, Tags=tag_list(props.get("tags")))
    return call.made(made["AccessPointId"])


def _access_point_read(call: Call, id_: str, props: Props) -> Props | None:
    said = call.efs.describe_access_points(AccessPointId=id_)["AccessPoints"][0]
    return {
        "fileSystemId": said["FileSystemId"],
        "posixUser": lower(said.get("PosixUser")),
        "rootDirectory": lower(said.get("RootDirectory")),
        "arn": said["AccessPointArn"],
        "ownerId": said["OwnerId"],
        "fileSystemArn": f"arn:aws:elasticfilesystem:{call.region}:{call.account}"
        f":file-system/{said['FileSystemId']}",
        "tags": tag_map(said.get("Tags") or []),
    }


ACCESS_POINT = Kind(
    "aws:efs/accessPoint:AccessPoint",
    create=_access_point_create,
    read=_access_point_read,
    update=_tag,
    delete=lambda call, id_, props: call.efs.delete_access_point(AccessPointId=id_),
    replaces=dict.fromkeys(("fileSystemId", "posixUser", "rootDirectory"), "efs/access_point.go"),
    computed=("rootDirectory",),
)

KINDS = [FILE_SYSTEM, BACKUP, MOUNT_TARGET, ACCESS_POINT]
