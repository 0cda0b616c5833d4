"""An EKS cluster in Auto Mode: AWS keeps the nodes, the add-ons and their versions.

Knows what goes through AWS's API. What goes through the cluster's own (namespace, pools, Ray) is
made by `infra/kubernetes`, which gets `handover`. Knows neither labs nor sites, only networks by
name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.eks import access
from infra.eks.handover import SERVICE_ACCOUNT
from infra.eks.networks import SERVICE_NETWORK, check_service_network, control_plane_subnets
from infra.eks.roles import Roles
from infra.kubernetes.naming import BUILT_IN_POOLS
from infra.network.site import SiteNetwork
from infra.settings.types import Kubernetes

LOGS = ("api", "audit", "authenticator")
"""What the control plane writes into the log group; the rest costs more than it tells."""
DRIVER_ACCOUNTS = ("efs-csi-controller-sa", "efs-csi-node-sa")


@dataclass(frozen=True)
class MountedFileSystem:
    """The site's file system, as pods mount it."""

    id: pulumi.Input[str]
    arn: pulumi.Input[str]
    access_point: pulumi.Input[str]


@dataclass(frozen=True)
class ClusterArgs:
    """What a cluster is made from."""

    settings: Kubernetes
    network: SiteNetwork
    deployer: str
    """The ARN of the role (or user) that deploys, not of its session."""
    bucket_arns: Sequence[pulumi.Input[str]]
    """The buckets of all sites: a store lies in one, and jobs everywhere read and write it."""
    log_retention_days: int
    clients: Mapping[str, str] = field(default_factory=dict)
    """Name → network that reaches the API and Ray privately: labs and joined sites."""
    file_system: MountedFileSystem | None = None
    submit_role: pulumi.Input[str] | None = None
    """The role of researchers, where there is one."""
    secrets: Sequence[str] = ()
    """ARN patterns of the secrets that jobs may read."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags for nodes, volumes and load balancers, which default tags don't reach."""
    boundary: pulumi.Input[str] | None = None
    """The permissions boundary of every role, if there is one."""
    protect: bool = False


class Cluster(pulumi.ComponentResource):
    """A cluster; `name` is `<environment>-<site>`."""

    cluster_name: pulumi.Output[str]
    arn: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    certificate: pulumi.Output[str]
    job_role: pulumi.Output[str]
    """The ARN of the role that jobs have."""
    handover: pulumi.Output[dict[str, Any]]
    """The fields of `infra.eks.handover.Handover`."""

    def __init__(
        self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        subnets = list(control_plane_subnets(name, args.network.job_subnets).values())
        clients = {name: args.network.cidr, **args.clients}
        check_service_network(name, clients)
        super().__init__("ems:eks:Cluster", name, None, opts)
        self._name, self._args = name, args
        self._roles = Roles(name, self, args.boundary)
        node, before = self._roles.nodes()
        api = access.private_clients(name, args.network.vpc_id, clients, self)
        places = _endpoints(args.settings, subnets, api.id)
        cluster = self._control_plane(places, node, before)
        self._people(cluster)
        self._driver(cluster)
        self.job_role = self._job_role(cluster).arn
        self.cluster_name = cluster.name
        self.arn = cluster.arn
        self.endpoint = cluster.endpoint
        self.certificate = cluster.certificate_authority.apply(lambda one: one.data or "")
        self.handover = _handover(args, cluster, clients, node, subnets)
        self._register()

    def _register(self) -> None:
        self.register_outputs(
            {
                "cluster": self.cluster_name,
                "arn": self.arn,
                "endpoint": self.endpoint,
                "certificate": self.certificate,
                "jobRole": self.job_role,
                "handover": self.handover,
            }
        )

    def _logs(self) -> aws.cloudwatch.LogGroup:
        """Make the log group, before the cluster: EKS would make one that keeps all for ever.

        Its name is EKS's choice, by the cluster's own, which is fixed therefore.
        """
        return aws.cloudwatch.LogGroup(
            f"{self._name}-control-logs",
            name=f"/aws/eks/{self._name}/cluster",
            retention_in_days=self._args.log_retention_days,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _control_plane(
        self,
        places: aws.eks.ClusterVpcConfigArgs,
        node: aws.iam.Role,
        before: list[pulumi.Resource],
    ) -> aws.eks.Cluster:
        args = self._args
        role, policies = self._roles.control_plane(tagged=bool(args.tags))
        compute, network, storage = _auto_mode(node)
        return aws.eks.Cluster(
            self._name,
            name=self._name,
            role_arn=role.arn,
            version=args.settings.version,
            access_config=aws.eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
            ),
            enabled_cluster_log_types=list(LOGS),
            upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
            vpc_config=places,
            bootstrap_self_managed_addons=False,
            compute_config=compute,
            kubernetes_network_config=network,
            storage_config=storage,
            opts=pulumi.ResourceOptions(
                parent=self, protect=args.protect, depends_on=[self._logs(), *policies, *before]
            ),
        )

    def _people(self, cluster: aws.eks.Cluster) -> None:
        """Let in who administers the cluster, and researchers where they have a role."""
        args = self._args
        principals = access.administrators(args.settings.admins, args.deployer)
        access.admins(self._name, cluster, principals)
        if args.submit_role is not None:
            access.researchers(self._name, cluster, args.submit_role)

    def _driver(self, cluster: aws.eks.Cluster) -> None:
        """Install the EFS driver, the one add-on that Auto Mode does not bring."""
        files = self._args.file_system
        if files is None:
            return
        role, policies = self._roles.file_system_driver(files.arn)
        aws.eks.Addon(
            f"{self._name}-efs-csi",
            cluster_name=cluster.name,
            addon_name="aws-efs-csi-driver",
            pod_identity_associations=[
                aws.eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=account)
                for account in DRIVER_ACCOUNTS
            ],
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            opts=pulumi.ResourceOptions(parent=cluster, depends_on=policies),
        )

    def _job_role(self, cluster: aws.eks.Cluster) -> aws.iam.Role:
        """Give the job service account a role; Auto Mode brings pod identity's agent."""
        job = self._roles.jobs(*self._args.bucket_arns, secrets=self._args.secrets)
        aws.eks.PodIdentityAssociation(
            f"{self._name}-job",
            cluster_name=cluster.name,
            namespace=self._args.settings.namespace,
            service_account=SERVICE_ACCOUNT,
            role_arn=job.arn,
            opts=pulumi.ResourceOptions(parent=cluster),
        )
        return job


def _auto_mode(
    node: aws.iam.Role,
) -> tuple[
    aws.eks.ClusterComputeConfigArgs,
    aws.eks.ClusterKubernetesNetworkConfigArgs,
    aws.eks.ClusterStorageConfigArgs,
]:
    """Return what asks for Auto Mode: EKS takes all three together or none."""
    balancing = aws.eks.ClusterKubernetesNetworkConfigElasticLoadBalancingArgs(enabled=True)
    return (
        aws.eks.ClusterComputeConfigArgs(
            enabled=True, node_pools=list(BUILT_IN_POOLS), node_role_arn=node.arn
        ),
        aws.eks.ClusterKubernetesNetworkConfigArgs(
            service_ipv4_cidr=SERVICE_NETWORK, elastic_load_balancing=balancing
        ),
        aws.eks.ClusterStorageConfigArgs(
            block_storage=aws.eks.ClusterStorageConfigBlockStorageArgs(enabled=True)
        ),
    )


def _endpoints(
    settings: Kubernetes, subnets: list[pulumi.Input[str]], group: pulumi.Input[str]
) -> aws.eks.ClusterVpcConfigArgs:
    """Answer inside the VPC always, over the internet only to the networks that are listed."""
    public = list(settings.public_access_from)
    return aws.eks.ClusterVpcConfigArgs(
        subnet_ids=subnets,
        security_group_ids=[group],
        endpoint_private_access=True,
        endpoint_public_access=bool(public),
        public_access_cidrs=public or None,
    )


def _handover(
    args: ClusterArgs,
    cluster: aws.eks.Cluster,
    clients: Mapping[str, str],
    node: aws.iam.Role,
    subnets: list[pulumi.Input[str]],
) -> pulumi.Output[dict[str, Any]]:
    fields: dict[str, Any] = {
        "cluster": cluster.name,
        "namespace": args.settings.namespace,
        "service_account": SERVICE_ACCOUNT,
        "node_role": node.name,
        "subnets": subnets,
        "clients": dict(clients),
        "tags": dict(args.tags),
    }
    if args.file_system is not None:
        fields |= {
            "file_system": args.file_system.id,
            "access_point": args.file_system.access_point,
        }
    return pulumi.Output.all(**fields)
