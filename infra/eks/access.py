"""Who may enter a cluster through its API, and from which networks.

Knows IAM principals, Kubernetes groups and networks. What a group may do inside is settled by the
clusters' own program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from infra.eks.handover import RESEARCHERS
from infra.settings.fault import Fault, SettingsError, at
from infra.settings.types import Environment

ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


def administrators(admins: Sequence[str], deployer: str) -> tuple[str, ...]:
    """Return who administers a cluster: those who are named, or else the one that deploys.

    Never both: two who deploy in turn would take each other's access away.
    """
    return tuple(admins) or (deployer,)


def check_deployer(settings: Environment, deployer: str) -> None:
    """Refuse, before anything is made, a principal that could not enter the clusters that it makes.

    The creator is no administrator by itself. `deployer` is the role or user, not its session.
    """
    found = [
        Fault(
            at("sites", name, "kubernetes", "admins"),
            f"{deployer} deploys, and could not enter the cluster (allowed: {', '.join(admins)})",
            f"one of these to deploy with, or {deployer} in the list",
        )
        for name, site in settings.sites.items()
        if site.kubernetes
        and deployer not in administrators(admins := site.kubernetes.admins, deployer)
    ]
    if found:
        raise SettingsError("who deploys", found)


def key(principal: str) -> str:
    """Return a principal's name for resources, so that no two are the same.

    The account, and its kind, path and name as they are: `111122223333-role/team/admin`.
    """
    _, _, _, _, account, path = principal.split(":", 5)
    return f"{account}-{path}"


def admins(name: str, cluster: aws.eks.Cluster, principals: Sequence[str]) -> list[pulumi.Resource]:
    """Let each principal administer the cluster; each is named once, however often it is given."""
    made: list[pulumi.Resource] = []
    for principal in dict.fromkeys(principals):
        entry = aws.eks.AccessEntry(
            f"{name}-access-{key(principal)}",
            cluster_name=cluster.name,
            principal_arn=principal,
            opts=pulumi.ResourceOptions(parent=cluster),
        )
        made.append(
            aws.eks.AccessPolicyAssociation(
                f"{name}-admin-{key(principal)}",
                cluster_name=cluster.name,
                principal_arn=principal,
                policy_arn=ADMIN_POLICY,
                access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                opts=pulumi.ResourceOptions(parent=entry, depends_on=[entry]),
            )
        )
    return made


def researchers(
    name: str, cluster: aws.eks.Cluster, role_arn: pulumi.Input[str]
) -> aws.eks.AccessEntry:
    """Let the submit role in as a Kubernetes group; AWS's own access policies don't know Ray."""
    return aws.eks.AccessEntry(
        f"{name}-access-researchers",
        cluster_name=cluster.name,
        principal_arn=role_arn,
        kubernetes_groups=[RESEARCHERS],
        opts=pulumi.ResourceOptions(parent=cluster),
    )


def private_clients(
    name: str, vpc_id: pulumi.Input[str], clients: Mapping[str, str], parent: pulumi.Resource
) -> aws.ec2.SecurityGroup:
    """Open the private endpoint to each network: by itself it answers the cluster's nodes alone.

    A group of our own, beside the one that EKS makes and keeps, so that neither minds the other's
    rules. It lets nothing out: only what the control plane is asked comes through it.
    """
    group = aws.ec2.SecurityGroup(
        f"{name}-api",
        vpc_id=vpc_id,
        description="Kubernetes API of the cluster, for labs and joined sites",
        tags={"Name": f"{name}-api"},
        opts=pulumi.ResourceOptions(parent=parent),
    )
    for client, network in sorted(clients.items()):
        aws.vpc.SecurityGroupIngressRule(
            # by network: a lab that gets another name keeps its rule, and AWS takes none twice
            f"{name}-api-from-{network.replace('/', '-')}",
            security_group_id=group.id,
            description=f"Kubernetes API from {client}",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=network,
            opts=pulumi.ResourceOptions(parent=group),
        )
    return group
