"""The site's file system as pods see it: one claim, and a class for more.

Knows the EFS driver's parameters. Does not know what lies in the file system.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from infra.eks.handover import Handover
from infra.kubernetes.naming import CLAIM, STORAGE_CLASS, Object, meta

DRIVER = "efs.csi.aws.com"
NOMINAL = "1Ti"
"""A claim must name a size; EFS has none."""


def volume(handover: Handover) -> Object:
    """Return the volume: the file system by its access point, and kept when the claim goes.

    Mounted with TLS, and without IAM: who reaches the file system its security group decides.
    """
    handle = f"{handover.file_system}::{handover.access_point}"
    return {
        "capacity": {"storage": NOMINAL},
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": STORAGE_CLASS,
        "claimRef": {"namespace": handover.namespace, "name": CLAIM},
        "mountOptions": ["tls"],
        "csi": {"driver": DRIVER, "volumeHandle": handle},
    }


def new_folders(handover: Handover) -> dict[str, str]:
    """Return how the driver makes volumes of its own: an access point with a folder for each."""
    return {
        "provisioningMode": "efs-ap",
        "fileSystemId": handover.file_system,
        "directoryPerms": "770",
        "basePath": "/volumes",
    }


def claim(
    name: str,
    namespace: str,
    handover: pulumi.Output[Handover],
    opts: pulumi.ResourceOptions,
    inside: pulumi.ResourceOptions,
) -> kubernetes.core.v1.PersistentVolumeClaim:
    """Make class, volume and claim; `inside` are the options of what lies in the namespace."""
    storage = kubernetes.storage.v1.StorageClass(
        f"{name}-efs",
        metadata=meta(STORAGE_CLASS),
        provisioner=DRIVER,
        parameters=handover.apply(new_folders),
        reclaim_policy="Retain",
        volume_binding_mode="Immediate",
        opts=opts,
    )
    # a volume's name is the cluster's, not the namespace's
    held = kubernetes.core.v1.PersistentVolume(
        f"{name}-data",
        metadata=meta(f"{namespace}-{CLAIM}"),
        spec=handover.apply(volume),
        opts=opts.merge(pulumi.ResourceOptions(depends_on=[storage])),
    )
    wanted: Object = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": STORAGE_CLASS,
        "volumeName": f"{namespace}-{CLAIM}",
        "resources": {"requests": {"storage": NOMINAL}},
    }
    return kubernetes.core.v1.PersistentVolumeClaim(
        f"{name}-data",
        metadata=meta(CLAIM, namespace),
        spec=wanted,
        opts=inside.merge(pulumi.ResourceOptions(depends_on=[held])),
    )
