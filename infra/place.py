"""One site of an environment, put together: network, data, images, and what runs there.

Knows which component gets what from which. Does not know other sites, except by the networks that
may call on this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.compute.batch import Batch, BatchArgs
from infra.compute.sagemaker import SageMaker, SageMakerArgs
from infra.data.bucket import Bucket, BucketArgs
from infra.data.filesystem import FileSystem, FileSystemArgs
from infra.data.images import Images
from infra.eks.cluster import Cluster, ClusterArgs, MountedFileSystem
from infra.network.existing import Existing, ExistingArgs
from infra.network.site import Site, SiteArgs, SiteNetwork
from infra.plan import cidr
from infra.plan.routes import Topology, clients
from infra.settings.types import Environment
from infra.settings.types import Site as SiteSettings


@dataclass(frozen=True)
class Setting:
    """What all sites of an environment share."""

    environment: str
    settings: Environment
    account: str
    deployer: str
    """The ARN of the role that deploys."""
    topology: Topology
    asns: Mapping[str, int]
    """Site → its side of BGP."""
    tags: Mapping[str, str]

    @property
    def boundary(self) -> str | None:
        """The permissions boundary of every role, if there is one."""
        return self.settings.boundary or None


@dataclass(frozen=True)
class Region:
    """What an environment has once in a region, for all of its sites there."""

    name: str
    provider: aws.Provider
    topic: pulumi.Output[str]
    images: Images


@dataclass(frozen=True)
class Place:
    """A site as it was put together."""

    name: str
    settings: SiteSettings
    region: Region
    network: SiteNetwork
    bucket: Bucket
    file_system: FileSystem | None
    batch: Batch | None
    sagemaker: SageMaker | None


def make_place(site: str, region: Region, setting: Setting) -> Place:
    """Make a site; a cluster is made later (`make_cluster`), when researchers' role is known."""
    settings = setting.settings.sites[site]
    name = f"{setting.environment}-{site}"
    opts = pulumi.ResourceOptions(provider=region.provider)
    bucket = Bucket(
        f"{name}-data",
        BucketArgs(
            settings=settings.storage,
            environment=setting.environment,
            site=site,
            account=setting.account,
            region=region.name,
            protect=setting.settings.protect,
        ),
        opts,
    )
    network = _network(name, settings, bucket, setting.settings.protect, opts)
    files = (
        _file_system(name, site, network, setting, opts) if settings.storage.file_system else None
    )
    return Place(
        name=site,
        settings=settings,
        region=region,
        network=network,
        bucket=bucket,
        file_system=files,
        batch=_batch(site, region, network, bucket, files, setting, opts),
        sagemaker=_sagemaker(site, region, network, bucket, setting, opts),
    )


def make_cluster(place: Place, setting: Setting, submit_role: pulumi.Input[str] | None) -> Cluster:
    """Make the site's EKS cluster."""
    settings, files = place.settings, place.file_system
    assert settings.kubernetes is not None
    others = clients(setting.topology, place.name)
    return Cluster(
        f"{setting.environment}-{place.name}",
        ClusterArgs(
            settings=settings.kubernetes,
            network=place.network,
            deployer=setting.deployer,
            bucket_arn=place.bucket.arn,
            log_retention_days=setting.settings.log_retention_days,
            clients={who: network for who, network in others.items() if who != place.name},
            file_system=MountedFileSystem(files.id, files.arn, files.access_points["data"])
            if files
            else None,
            submit_role=submit_role,
            tags=setting.tags,
            boundary=setting.boundary,
            protect=setting.settings.protect,
        ),
        pulumi.ResourceOptions(provider=place.region.provider),
    )


def _network(
    name: str,
    settings: SiteSettings,
    bucket: Bucket,
    protect: bool,
    opts: pulumi.ResourceOptions,
) -> SiteNetwork:
    if settings.vpc:
        return Existing(
            name,
            ExistingArgs(
                vpc=settings.vpc,
                region=settings.region,
                cidr=settings.cidr,
                zones=settings.zones,
                endpoints=settings.endpoints,
            ),
            opts,
        ).network
    return Site(
        name,
        SiteArgs(
            plan=cidr.plan(settings.cidr, settings.zones),
            region=settings.region,
            nat=settings.nat,
            endpoints=settings.endpoints,
            flow_logs_bucket=bucket.flow_logs if settings.flow_logs else None,
            protect=protect,
        ),
        opts,
    ).network


def _file_system(
    name: str, site: str, network: SiteNetwork, setting: Setting, opts: pulumi.ResourceOptions
) -> FileSystem:
    return FileSystem(
        f"{name}-files",
        FileSystemArgs(
            settings=setting.settings.sites[site].storage,
            environment=setting.environment,
            site=site,
            vpc_id=network.vpc_id,
            subnets=network.private_subnets or network.public_subnets,
            clients=clients(setting.topology, site),
            protect=setting.settings.protect,
        ),
        opts,
    )


def _batch(
    site: str,
    region: Region,
    network: SiteNetwork,
    bucket: Bucket,
    files: FileSystem | None,
    setting: Setting,
    opts: pulumi.ResourceOptions,
) -> Batch | None:
    settings = setting.settings.sites[site].batch
    if settings is None:
        return None
    return Batch(
        f"{setting.environment}-{site}",
        BatchArgs(
            settings=settings,
            network=network,
            environment=setting.environment,
            site=site,
            region=region.name,
            account=setting.account,
            log_retention_days=setting.settings.log_retention_days,
            bucket_arn=bucket.arn,
            repositories=[_repositories(region, setting)],
            file_system_arn=files.arn if files else None,
            access_points=_access_points(region, files, setting),
            tags=setting.tags,
            boundary=setting.boundary,
        ),
        opts,
    )


def _sagemaker(
    site: str,
    region: Region,
    network: SiteNetwork,
    bucket: Bucket,
    setting: Setting,
    opts: pulumi.ResourceOptions,
) -> SageMaker | None:
    if not setting.settings.sites[site].sagemaker:
        return None
    return SageMaker(
        f"{setting.environment}-{site}",
        SageMakerArgs(
            region=region.name,
            account=setting.account,
            bucket_arn=bucket.arn,
            bucket=bucket.name,
            repositories=[_repositories(region, setting)],
            network=network,
            boundary=setting.boundary,
        ),
        opts,
    )


def _repositories(region: Region, setting: Setting) -> str:
    return f"arn:aws:ecr:{region.name}:{setting.account}:repository/{setting.environment}/*"


def _access_points(
    region: Region, files: FileSystem | None, setting: Setting
) -> list[pulumi.Output[str]]:
    start = f"arn:aws:elasticfilesystem:{region.name}:{setting.account}:access-point/"
    points = files.access_points.values() if files else ()
    return [pulumi.Output.concat(start, point) for point in points]
