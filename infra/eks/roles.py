"""The IAM roles of a cluster: control plane, nodes, jobs, and the driver that mounts EFS.

Knows which policy is whose. Does not know the cluster: the roles are there before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.eks import documents
from infra.plan.iam.documents import document
from infra.plan.iam.jobs import objects


@dataclass(frozen=True)
class Roles:
    """How the roles of one cluster are made."""

    name: str
    parent: pulumi.Resource
    boundary: pulumi.Input[str] | None

    def control_plane(self, *, tagged: bool) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """Return the cluster's role, and what must stand before the cluster and after it."""
        made = self._role("control", documents.trust("eks.amazonaws.com"))
        attached = self._attach("control", made, documents.CLUSTER_POLICIES)
        if tagged:
            policy = document(documents.tagging())
            attached.append(self._inline("control-tags", made, policy))
        return made, attached

    def nodes(self) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """Return the role of nodes: join the cluster and pull images, nothing else."""
        made = self._role("node", documents.trust("ec2.amazonaws.com", sessions=False))
        return made, self._attach("node", made, documents.NODE_POLICIES)

    def jobs(self, bucket_arn: pulumi.Input[str]) -> aws.iam.Role:
        """Return the role that pods of the job service account have by pod identity."""
        made = self._role("job", documents.trust("pods.eks.amazonaws.com"))
        bucket = pulumi.Output.from_input(bucket_arn)
        self._inline("job-data", made, bucket.apply(lambda arn: document(objects(arn))))
        return made

    def file_system_driver(
        self, file_system_arn: pulumi.Input[str]
    ) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """Return the role of the EFS driver's two service accounts."""
        made = self._role("efs", documents.trust("pods.eks.amazonaws.com"))
        attached = self._attach("efs", made, documents.DRIVER_POLICIES)
        arn = pulumi.Output.from_input(file_system_arn)
        policy = arn.apply(lambda one: document(documents.mounts(one)))
        return made, [*attached, self._inline("efs-mounts", made, policy)]

    def _role(self, what: str, trust: str) -> aws.iam.Role:
        return aws.iam.Role(
            f"{self.name}-{what}",
            assume_role_policy=trust,
            permissions_boundary=self.boundary,
            opts=pulumi.ResourceOptions(parent=self.parent),
        )

    def _attach(
        self, what: str, role: aws.iam.Role, policies: Sequence[str]
    ) -> list[pulumi.Resource]:
        return [
            aws.iam.RolePolicyAttachment(
                f"{self.name}-{what}-{policy.rsplit('/', 1)[-1]}",
                role=role.name,
                policy_arn=documents.managed(policy),
                opts=pulumi.ResourceOptions(parent=role),
            )
            for policy in policies
        ]

    def _inline(
        self, what: str, role: aws.iam.Role, policy: pulumi.Input[str]
    ) -> aws.iam.RolePolicy:
        return aws.iam.RolePolicy(
            f"{self.name}-{what}",
            role=role.name,
            policy=policy,
            opts=pulumi.ResourceOptions(parent=role),
        )
