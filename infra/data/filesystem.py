"""A site's EFS file system: what jobs, clusters and labs mount.

Knows one file system, where it is mounted from, and who reaches it. Does not know routes between
networks (`infra/network`), nor what mounts it.

There is no `aws.efs.FileSystemPolicy`, on purpose. Any such policy takes the place of the built-in
one that lets every client in; one that only denies (no TLS, say) shuts out everybody who has no IAM
allow for `elasticfilesystem:ClientMount`: labs and other sites, who mount by address with no IAM at
all. Who reaches port 2049 is decided by the security group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.settings.types import Storage

NFS = 2049
OWNER = 1000
"""User and group of what jobs write; the first user of most images and machines."""
ROOTS: Mapping[str, str] = {"data": "/data", "scratch": "/scratch"}
"""Purpose → the folder that its access point is the root of."""


@dataclass(frozen=True)
class FileSystemArgs:
    """One site's file system."""

    settings: Storage
    environment: str
    site: str
    vpc_id: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    """Zone id → the subnet that holds the zone's mount target: one in each zone."""
    clients: Mapping[str, str]
    """Who mounts it (`oregon`, `virginia`, `usc-10.0.0.0-16`), and from which network."""
    protect: bool


def transition(days: int) -> str:
    """Return EFS's word for a number of days: `AFTER_1_DAY`, `AFTER_30_DAYS`."""
    return f"AFTER_{days}_DAY" if days == 1 else f"AFTER_{days}_DAYS"


class FileSystem(pulumi.ComponentResource):
    """A file system with a mount target in each zone and an access point for each purpose."""

    id: pulumi.Output[str]
    arn: pulumi.Output[str]
    access_points: dict[str, pulumi.Output[str]]
    """Purpose → access point id."""
    addresses: dict[str, pulumi.Output[str]]
    """Zone id → the mount target's address. Its name resolves in its own VPC alone, so labs and
    other sites mount by this."""
    security_group: pulumi.Output[str]

    def __init__(
        self, name: str, args: FileSystemArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:data:FileSystem", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        # The engine takes away what hangs on a protected thing before it gets to that: what mounts
        # go through is protected with the file system.
        held = child.merge(pulumi.ResourceOptions(protect=args.protect))
        file_system = _file_system(name, args, held)
        group = _security_group(name, args, child)
        self.id = file_system.id
        self.arn = file_system.arn
        self.security_group = group.id
        self.access_points = {
            purpose: _access_point(f"{name}-{purpose}", root, file_system, held).id
            for purpose, root in ROOTS.items()
        }
        self.addresses = {
            zone: _mount_target(f"{name}-{zone}", subnet, file_system, group, held).ip_address
            for zone, subnet in args.subnets.items()
        }
        self.register_outputs(
            {"id": self.id, "access_points": self.access_points, "addresses": self.addresses}
        )


def _mount_target(
    name: str,
    subnet: pulumi.Input[str],
    file_system: aws.efs.FileSystem,
    group: aws.ec2.SecurityGroup,
    held: pulumi.ResourceOptions,
) -> aws.efs.MountTarget:
    return aws.efs.MountTarget(
        name,
        file_system_id=file_system.id,
        subnet_id=subnet,
        security_groups=[group.id],
        # EFS allows one in a zone: a new one beside the old is a MountTargetConflict
        opts=held.merge(pulumi.ResourceOptions(delete_before_replace=True)),
    )


def _file_system(
    name: str, args: FileSystemArgs, held: pulumi.ResourceOptions
) -> aws.efs.FileSystem:
    keep = held.merge(pulumi.ResourceOptions(retain_on_delete=args.protect))
    file_system = aws.efs.FileSystem(
        name,
        # The token and the encryption replace the file system with an empty one when they change,
        # and so do key, performance mode and zone, which are left to AWS: constants, no settings.
        creation_token=f"ems-{args.environment}-{args.site}",
        encrypted=True,
        throughput_mode=args.settings.throughput,
        lifecycle_policies=[
            {"transition_to_ia": transition(args.settings.infrequent_access_after_days)},
            {"transition_to_primary_storage_class": "AFTER_1_ACCESS"},
        ],
        tags={"Name": name},
        opts=keep,
    )
    aws.efs.BackupPolicy(
        f"{name}-backup",
        file_system_id=file_system.id,
        backup_policy={"status": "ENABLED" if args.settings.backup else "DISABLED"},
        opts=keep,
    )
    return file_system


def _security_group(
    name: str, args: FileSystemArgs, child: pulumi.ResourceOptions
) -> aws.ec2.SecurityGroup:
    """Return the mount targets' group: port 2049 from the clients.

    It has no egress rule: a mount target answers, and opens no connection of its own.
    """
    group = aws.ec2.SecurityGroup(
        f"{name}-nfs",
        vpc_id=args.vpc_id,
        description="Mount targets: NFS from the site, its peers and its labs",
        opts=child,
    )
    for client, cidr in args.clients.items():
        aws.vpc.SecurityGroupIngressRule(
            # named by the network: under another client's name it would be a rule that is there
            # already, which AWS refuses; so a lab or site that is renamed changes a description
            f"{name}-nfs-from-{cidr.replace('/', '-')}",
            security_group_id=group.id,
            description=client,
            ip_protocol="tcp",
            from_port=NFS,
            to_port=NFS,
            cidr_ipv4=cidr,
            opts=child,
        )
    return group


def _access_point(
    name: str, root: str, file_system: aws.efs.FileSystem, held: pulumi.ResourceOptions
) -> aws.efs.AccessPoint:
    return aws.efs.AccessPoint(
        name,
        file_system_id=file_system.id,
        posix_user={"uid": OWNER, "gid": OWNER},
        root_directory={
            "path": root,
            "creation_info": {"owner_uid": OWNER, "owner_gid": OWNER, "permissions": "0775"},
        },
        opts=held,
    )
