"""A program of one site's network and its cluster, from structured settings, for the tests."""

from __future__ import annotations

import msgspec
import pulumi
import pulumi_aws as aws

from infra.eks import handover
from infra.eks.cluster import Cluster, ClusterArgs, MountedFileSystem
from infra.network.site import Site, SiteArgs
from infra.plan import cidr
from infra.settings.types import Kubernetes

REGION = "us-west-2"
CIDR = "10.16.0.0/16"
ZONES = ("usw2-az1", "usw2-az2")
ACCOUNT = "123456789012"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:role/deploy"
BUCKET = "arn:aws:s3:::dev-oregon"
FILES = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/fs-0123456789abcdef0"


def deploy() -> None:
    """Make what the settings of `eks` say; nothing but the network without `settings`."""
    config = pulumi.Config("eks")
    provider = aws.Provider(
        REGION, region=REGION, default_tags={"tags": {"ems-environment": "dev"}}
    )
    opts = pulumi.ResourceOptions(provider=provider)
    zones = tuple(config.get_object("zones") or ZONES)
    network = Site("dev-oregon", SiteArgs(cidr.plan(CIDR, zones), REGION), opts).network
    wanted = config.get_object("settings")
    if wanted is None:
        return
    made = Cluster(
        "dev-oregon",
        ClusterArgs(
            settings=msgspec.convert(wanted, Kubernetes),
            network=network,
            deployer=config.get("deployer") or DEPLOYER,
            bucket_arns=[BUCKET],
            log_retention_days=30,
            clients=config.get_object("clients") or {},
            file_system=MountedFileSystem("fs-0123456789abcdef0", FILES, "fsap-01")
            if config.get_bool("files")
            else None,
            submit_role=config.get("researchers"),
            tags=config.get_object("tags") or {},
            protect=config.get_bool("protect") or False,
        ),
        opts,
    )
    pulumi.export(handover.OUTPUT, {"oregon": made.handover})
    for name in ("cluster_name", "arn", "endpoint", "certificate", "job_role"):
        pulumi.export(name, getattr(made, name))
