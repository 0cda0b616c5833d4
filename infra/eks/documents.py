"""The IAM documents of a cluster: who takes its roles, and what those may do.

Pure: ARNs come as text. What a job may do with data is Batch's rule too (`infra.plan.iam.jobs`).
"""

from __future__ import annotations

import json

from infra.plan.iam.documents import Statement

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
    actions = ["sts:AssumeRole", "sts:TagSession"] if sessions else ["sts:AssumeRole"]
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": actions}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


def tagging() -> list[Statement]:
    """Return what lets Auto Mode put tags of our own on what it starts.

    Its managed policies forbid tags that are not AWS's own, so that nodes of a NodeClass with tags
    would fail to launch. Each action stays bound to the cluster by the tag of its session.
    """
    same = {"aws:RequestTag/eks:eks-cluster-name": "${aws:PrincipalTag/eks:eks-cluster-name}"}
    node = {
        "aws:RequestTag/eks:kubernetes-node-class-name": "*",
        "aws:RequestTag/eks:kubernetes-node-pool-name": "*",
    }
    interface = {"aws:RequestTag/eks:kubernetes-cni-node-name": "*"}
    start = ("ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate")
    balancers = ("CreateListener", "CreateLoadBalancer", "CreateRule", "CreateTargetGroup")
    return [
        Statement("Compute", start, ("*",), {"StringEquals": same, "StringLike": node}),
        Statement(
            "Storage",
            ("ec2:CreateVolume", "ec2:CreateSnapshot"),
            ("arn:aws:ec2:*:*:volume/*", "arn:aws:ec2:*:*:snapshot/*"),
            {"StringEquals": same},
        ),
        Statement(
            "Networking",
            ("ec2:CreateNetworkInterface",),
            ("*",),
            {"StringEquals": same, "StringLike": interface},
        ),
        Statement(
            "LoadBalancer",
            tuple(f"elasticloadbalancing:{action}" for action in balancers),
            ("*",),
            {"StringEquals": same},
        ),
    ]


def mounts(file_system_arn: str) -> list[Statement]:
    """Return what a node's driver needs to mount the file system by IAM, and only that one."""
    actions = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")
    return [Statement("Mount", actions, (file_system_arn,))]
