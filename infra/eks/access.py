"""Who may enter a cluster through its API, and from which networks.

Knows IAM principals, Kubernetes groups and networks. What a group may do inside is settled by the
clusters' own program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from infra.eks.handover import RESEARCHERS

ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


def key(principal: str) -> str:
    """Return a principal's name for resources: account and role, so that no two are the same."""
    _, _, _, _, account, path = principal.split(":", 5)
    return f"{account}-{path.partition('/')[2].replace('/', '-')}"


def admins(name: str, cluster: aws.eks.Cluster, principals: Sequence[str]) -> list[pulumi.Resource]:
    """Let each principal administer the cluster; each is named once, however often it is given.

    The creator is no administrator by itself, so the one that deploys must be among them.
    """
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
            f"{name}-api-{client}",
            security_group_id=group.id,
            description=f"Kubernetes API from {client}",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=network,
            opts=pulumi.ResourceOptions(parent=group),
        )
    return group
