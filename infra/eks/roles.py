"""The IAM roles of a cluster: control plane, nodes, jobs, and the driver that mounts EFS.

Knows which policy is whose. Does not know the cluster: the roles are there before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.compute.roles import grant, role
from infra.eks import documents
from infra.plan.iam.documents import INLINE_LIMIT, document, fitting
from infra.plan.iam.jobs import pod_policy


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
            attached.append(grant(f"{self.name}-control-tags", made, policy, made))
        return made, attached

    def nodes(self) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """Return the role of nodes: join the cluster and pull images, nothing else."""
        made = self._role("node", documents.trust("ec2.amazonaws.com", sessions=False))
        return made, self._attach("node", made, documents.NODE_POLICIES)

    def jobs(self, *bucket_arns: pulumi.Input[str], secrets: Sequence[str] = ()) -> aws.iam.Role:
        """Return the role that pods of the job service account have by pod identity.

        The store's root may lie in the bucket of any site. `secrets`: the ARN patterns of those
        that jobs may read.
        """
        made = self._role("job", documents.trust("pods.eks.amazonaws.com"))
        name = f"{self.name}-job-data"

        def written(buckets: Sequence[str]) -> str:
            return fitting(name, document(pod_policy(buckets, secrets)), INLINE_LIMIT)

        grant(name, made, pulumi.Output.all(*bucket_arns).apply(written), made)
        return made

    def file_system_driver(
        self, file_system_arn: pulumi.Input[str]
    ) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """Return the role of the EFS driver's two service accounts."""
        made = self._role("efs", documents.trust("pods.eks.amazonaws.com"))
        attached = self._attach("efs", made, documents.DRIVER_POLICIES)
        arn = pulumi.Output.from_input(file_system_arn)
        policy = arn.apply(lambda one: document(documents.mounts(one)))
        return made, [*attached, grant(f"{self.name}-efs-mounts", made, policy, made)]

    def _role(self, what: str, trust: str) -> aws.iam.Role:
        return role(f"{self.name}-{what}", trust, self.boundary, self.parent)

    def _attach(
        self, what: str, to: aws.iam.Role, policies: Sequence[str]
    ) -> list[pulumi.Resource]:
        return [
            aws.iam.RolePolicyAttachment(
                f"{self.name}-{what}-{policy.rsplit('/', 1)[-1]}",
                role=to.name,
                policy_arn=documents.managed(policy),
                opts=pulumi.ResourceOptions(parent=to),
            )
            for policy in policies
        ]
