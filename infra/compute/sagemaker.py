"""What SageMaker's training jobs and endpoints of a site run with: a role, and a place for models.

Knows what the role is bounded to. Makes nothing that costs: jobs and endpoints are submitted.
SageMaker pulls images from a registry of its own region only, and mounts /opt/ml for root, so an
image with another user can't write its model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.compute.roles import grant, role, trusted_by
from infra.network.site import SiteNetwork
from infra.plan.iam import documents, jobs

OUTPUT = "sagemaker"
"""The folder of the site's bucket for models and checkpoints."""


@dataclass(frozen=True)
class SageMakerArgs:
    """One site's SageMaker."""

    network: SiteNetwork
    region: str
    account: pulumi.Input[str]
    bucket: pulumi.Input[str]
    """The bucket's name."""
    bucket_arns: Sequence[pulumi.Input[str]]
    """ARNs of the buckets of all sites: the store's root may lie in any."""
    repositories: Sequence[pulumi.Input[str]]
    """ARNs of the ECR repositories whose images jobs run; patterns are fine."""
    secrets: pulumi.Input[str]
    """ARN pattern of the secrets that jobs may read."""
    boundary: pulumi.Input[str] | None = None


class SageMaker(pulumi.ComponentResource):
    """The execution role of training jobs and endpoints."""

    role: pulumi.Output[str]
    """ARN."""
    output: pulumi.Output[str]
    """`s3://bucket/sagemaker`."""

    def __init__(
        self, name: str, args: SageMakerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:compute:SageMaker", name, None, opts)
        trust = trusted_by("sagemaker.amazonaws.com", args.account)
        made = role(f"{name}-sagemaker", trust, args.boundary, self)
        grant(f"{name}-sagemaker", made, _policy(f"{name}-sagemaker", args), self)
        self.role = made.arn
        self.output = pulumi.Output.concat("s3://", args.bucket, "/", OUTPUT)
        self.register_outputs({"role": self.role, "output": self.output})


def _policy(name: str, args: SageMakerArgs) -> pulumi.Output[str]:
    def written(known: Mapping[str, Any]) -> str:
        place = jobs.JobPlace(args.region, known["account"], known["subnets"], known["group"])
        policy = documents.document(
            jobs.sagemaker_policy(
                known["buckets"], known["repositories"], (known["secrets"],), place
            )
        )
        return documents.fitting(name, policy, documents.INLINE_LIMIT)

    return pulumi.Output.all(
        account=args.account,
        subnets=[subnet for _, subnet in sorted(args.network.job_subnets.items())],
        group=args.network.job_security_group,
        buckets=list(args.bucket_arns),
        repositories=list(args.repositories),
        secrets=args.secrets,
    ).apply(written)
