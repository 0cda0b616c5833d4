"""The IAM documents of a cluster: who takes its roles, and what those may do.

Pure: ARNs come as text. What a job may do with data is Batch's rule too (`infra.plan.iam.jobs`).
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.plan.iam.documents import Statement, trusts_service

CLUSTER_POLICIES = (
    "AmazonEKSClusterPolicy",
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
"""What Auto Mode does in the account is done with these."""
NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
DRIVER_POLICIES = ("service-role/AmazonEFSCSIDriverPolicy",)


def managed(policy: str) -> str:
    """Return the ARN of a policy that AWS keeps."""
    return f"arn:aws:iam::aws:policy/{policy}"


def trust(service: str, *, sessions: bool = True) -> str:
    """Return who may take a role: an AWS service, with session tags where it sets them.

    Auto Mode tags its sessions with the cluster's name, pod identity with namespace and service
    account; without `sts:TagSession` neither can take the role at all.
    """
    tagged = ("sts:TagSession",) if sessions else ()
    return trusts_service(service, None, actions=("sts:AssumeRole", *tagged))


def tagging() -> list[Statement]:
    """Return what lets Auto Mode put tags of our own on what it starts.

    Its managed policies forbid tags that are not AWS's own, so that nodes of a NodeClass with tags
    would fail to launch. Each action stays bound to the cluster by the tag of its session.
    """
    start = ("ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate")
    disks = ("arn:aws:ec2:*:*:volume/*", "arn:aws:ec2:*:*:snapshot/*")
    return [
        _tagged(
            "Compute", start, ("*",), "kubernetes-node-class-name", "kubernetes-node-pool-name"
        ),
        _tagged("Storage", ("ec2:CreateVolume", "ec2:CreateSnapshot"), disks),
        _tagged("Networking", ("ec2:CreateNetworkInterface",), ("*",), "kubernetes-cni-node-name"),
        _tagged("LoadBalancer", _BALANCERS, ("*",)),
    ]


_BALANCERS = tuple(
    f"elasticloadbalancing:Create{what}"
    for what in ("Listener", "LoadBalancer", "Rule", "TargetGroup")
)


def _tagged(sid: str, actions: Sequence[str], resources: Sequence[str], *tags: str) -> Statement:
    """Let the cluster's own session make what it tags with its name, and with some value of each of
    EKS's `tags`."""
    asked = "aws:RequestTag/eks:"
    same = {f"{asked}eks-cluster-name": "${aws:PrincipalTag/eks:eks-cluster-name}"}
    conditions: dict[str, dict[str, str]] = {"StringEquals": same}
    if tags:
        conditions["StringLike"] = {f"{asked}{tag}": "*" for tag in tags}
    return Statement(sid, actions, resources, conditions)


def mounts(file_system_arn: str) -> list[Statement]:
    """Return what a node's driver needs to mount the file system by IAM, and only that one."""
    actions = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")
    return [Statement("Mount", actions, (file_system_arn,))]
