"""What SageMaker's training jobs and endpoints of a site run with: a role, and a place for models.

Knows what the role is bounded to. Makes nothing that costs: jobs and endpoints are submitted.
SageMaker pulls images from a registry of its own region only, and mounts /opt/ml for root, so an
image with another user can't write its model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    bucket_arn: pulumi.Input[str]
    repositories: Sequence[pulumi.Input[str]]
    """ARNs of the ECR repositories whose images jobs run; patterns are fine."""
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
        grant(f"{name}-sagemaker", made, _policy(args), self)
        self.role = made.arn
        self.output = pulumi.Output.concat("s3://", args.bucket, "/", OUTPUT)
        self.register_outputs({"role": self.role, "output": self.output})


def _policy(args: SageMakerArgs) -> pulumi.Output[str]:
    subnets = [subnet for _, subnet in sorted(args.network.job_subnets.items())]
    fixed = (args.account, args.bucket_arn, args.network.job_security_group)
    count = len(fixed) + len(subnets)

    def written(known: Sequence[str]) -> str:
        account, bucket, group = known[: len(fixed)]
        place = jobs.JobPlace(args.region, account, known[len(fixed) : count], group)
        return documents.document(jobs.sagemaker_policy(bucket, known[count:], place))

    return pulumi.Output.all(*fixed, *subnets, *args.repositories).apply(written)
