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
from infra.data.naming import bucket_name
from infra.eks.cluster import Cluster, ClusterArgs, MountedFileSystem
from infra.network.existing import Existing, ExistingArgs
from infra.network.site import Site, SiteArgs, SiteNetwork
from infra.plan import cidr
from infra.plan.iam import jobs
from infra.plan.routes import Topology, clients
from infra.settings.types import Environment, ExistingVpc
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
    at = _At(site, region, setting)
    bucket = _bucket(at)
    network = _network(at, bucket)
    files = _file_system(at, network) if at.settings.storage.file_system else None
    return Place(
        name=site,
        settings=at.settings,
        region=region,
        network=network,
        bucket=bucket,
        file_system=files,
        batch=_batch(at, network, files),
        sagemaker=_sagemaker(at, network, bucket),
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
            bucket_arns=bucket_arns(setting),
            secrets=[jobs.secrets(setting.environment, place.region.name, setting.account)],
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


@dataclass(frozen=True)
class _At:
    """A site that is being put together."""

    site: str
    region: Region
    setting: Setting

    @property
    def name(self) -> str:
        return f"{self.setting.environment}-{self.site}"

    @property
    def settings(self) -> SiteSettings:
        return self.setting.settings.sites[self.site]

    @property
    def opts(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(provider=self.region.provider)

    @property
    def repositories(self) -> str:
        return jobs.repositories(self.setting.environment, self.region.name, self.setting.account)

    @property
    def secrets(self) -> str:
        return jobs.secrets(self.setting.environment, self.region.name, self.setting.account)


def bucket_arns(setting: Setting) -> list[str]:
    """Return the ARNs of the buckets of all sites, known before any of them is there."""
    return [
        f"arn:aws:s3:::{bucket_name(setting.environment, name, setting.account, site.region)}"
        for name, site in sorted(setting.settings.sites.items())
    ]


def _bucket(at: _At) -> Bucket:
    return Bucket(
        f"{at.name}-data",
        BucketArgs(
            settings=at.settings.storage,
            environment=at.setting.environment,
            site=at.site,
            account=at.setting.account,
            region=at.region.name,
            protect=at.setting.settings.protect,
            flow_logs_days=at.setting.settings.log_retention_days,
        ),
        at.opts,
    )


def _network(at: _At, bucket: Bucket) -> SiteNetwork:
    return _existing(at, at.settings.vpc) if at.settings.vpc else _own_network(at, bucket)


def _existing(at: _At, vpc: ExistingVpc) -> SiteNetwork:
    args = ExistingArgs(
        vpc=vpc,
        region=at.settings.region,
        cidr=at.settings.cidr,
        zones=at.settings.zones,
        endpoints=at.settings.endpoints,
    )
    return Existing(at.name, args, at.opts).network


def _own_network(at: _At, bucket: Bucket) -> SiteNetwork:
    args = SiteArgs(
        plan=cidr.plan(at.settings.cidr, at.settings.zones),
        region=at.settings.region,
        nat=at.settings.nat,
        endpoints=at.settings.endpoints,
        flow_logs_bucket=bucket.flow_logs if at.settings.flow_logs else None,
        protect=at.setting.settings.protect,
    )
    return Site(at.name, args, at.opts).network


def _file_system(at: _At, network: SiteNetwork) -> FileSystem:
    return FileSystem(
        f"{at.name}-files",
        FileSystemArgs(
            settings=at.settings.storage,
            environment=at.setting.environment,
            site=at.site,
            vpc_id=network.vpc_id,
            subnets=network.private_subnets or network.public_subnets,
            clients=clients(at.setting.topology, at.site),
            protect=at.setting.settings.protect,
        ),
        at.opts,
    )


def _batch(at: _At, network: SiteNetwork, files: FileSystem | None) -> Batch | None:
    if at.settings.batch is None:
        return None
    return Batch(
        at.name,
        BatchArgs(
            settings=at.settings.batch,
            network=network,
            environment=at.setting.environment,
            site=at.site,
            region=at.region.name,
            account=at.setting.account,
            log_retention_days=at.setting.settings.log_retention_days,
            bucket_arns=bucket_arns(at.setting),
            repositories=[at.repositories],
            secrets=at.secrets,
            file_system_arn=files.arn if files else None,
            access_points=_access_points(at, files),
            tags=at.setting.tags,
            boundary=at.setting.boundary,
        ),
        at.opts,
    )


def _sagemaker(at: _At, network: SiteNetwork, bucket: Bucket) -> SageMaker | None:
    if not at.settings.sagemaker:
        return None
    return SageMaker(
        at.name,
        SageMakerArgs(
            region=at.region.name,
            account=at.setting.account,
            bucket_arns=bucket_arns(at.setting),
            bucket=bucket.name,
            repositories=[at.repositories],
            secrets=at.secrets,
            network=network,
            boundary=at.setting.boundary,
        ),
        at.opts,
    )


def _access_points(at: _At, files: FileSystem | None) -> list[pulumi.Output[str]]:
    here = f"{at.region.name}:{at.setting.account}"
    points = files.access_points.values() if files else ()
    start = f"arn:aws:elasticfilesystem:{here}:access-point/"
    return [pulumi.Output.concat(start, point) for point in points]
