"""Who may submit: a policy for each site, and one role with all of them where somebody is named.

Knows sites by what they offer. What the policy allows is written in `infra/plan/iam/submit.py`.
IAM deletes no policy that somebody attached by hand, to a user or a role that is not ours:
`destroy`, and taking a site away, then stop with DeleteConflict until it is detached there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from ems.errors import UsageError
from infra.compute.roles import role
from infra.plan.iam import documents
from infra.plan.iam.submit import SubmitPlace, submit_document

SESSION_S = 12 * 3600
"""How long a user works with the role before taking it anew; the longest that IAM allows. Whoever
comes from another role (single sign-on, an instance) gets one hour at most: STS gives no more where
one role takes the next."""
MOST_SITES = 10
"""Managed policies that IAM attaches to a role, and so the sites whose submit policies it holds."""


@dataclass(frozen=True)
class SubmitSite:
    """What a site offers to its researchers; None where it has no such thing."""

    region: str
    bucket_arn: pulumi.Input[str]
    queue_arns: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    log_group_arn: pulumi.Input[str] | None = None
    job_role: pulumi.Input[str] | None = None
    execution_role: pulumi.Input[str] | None = None
    repositories: Sequence[pulumi.Input[str]] = ()
    sagemaker_role: pulumi.Input[str] | None = None
    cluster_arn: pulumi.Input[str] | None = None


@dataclass(frozen=True)
class SubmitArgs:
    """An environment's sites, and who may take the role."""

    environment: str
    home: str
    """The region that keeps the environment's outputs."""
    account: pulumi.Input[str]
    sites: Mapping[str, SubmitSite]
    researchers: Sequence[str] = ()
    """ARNs of users and roles; none: no role is made."""
    boundary: pulumi.Input[str] | None = None


class Submit(pulumi.ComponentResource):
    """The submit policies of an environment, and the role that has them all."""

    policies: dict[str, pulumi.Output[str]]
    """Site → ARN."""
    role: pulumi.Output[str] | None
    """ARN; None where nobody is named."""

    def __init__(
        self, name: str, args: SubmitArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        check_sites(args)
        super().__init__("ems:access:Submit", name, None, opts)
        self.policies = {
            site: _policy(f"{name}-{site}", site, each, args, self)
            for site, each in sorted(args.sites.items())
        }
        self.role = _role(name, args, self.policies, self) if args.researchers else None
        self.register_outputs({"policies": self.policies, "role": self.role})


def check_sites(args: SubmitArgs) -> None:
    """UsageError where the role could not hold the policies of all sites."""
    if args.researchers and len(args.sites) > MOST_SITES:
        raise UsageError(
            "ems:access.researchers",
            f"their role would hold a policy for each of {len(args.sites)} sites "
            f"(allowed: {MOST_SITES} with researchers; without, any number)",
            "attach the policies of the output `submit_policies` to roles of your own",
        )


def _policy(
    name: str, site: str, offered: SubmitSite, args: SubmitArgs, parent: Submit
) -> pulumi.Output[str]:
    known = pulumi.Output.all(
        account=args.account,
        bucket=offered.bucket_arn,
        log_group=offered.log_group_arn or "",
        job_role=offered.job_role or "",
        execution_role=offered.execution_role or "",
        sagemaker_role=offered.sagemaker_role or "",
        cluster=offered.cluster_arn or "",
        queues=[arn for _, arn in sorted(offered.queue_arns.items())],
        repositories=list(offered.repositories),
    )
    policy = known.apply(
        lambda fields: submit_document(
            name, SubmitPlace(args.environment, site, offered.region, args.home, **fields)
        )
    )
    return aws.iam.Policy(name, policy=policy, opts=pulumi.ResourceOptions(parent=parent)).arn


def _role(
    name: str, args: SubmitArgs, policies: Mapping[str, pulumi.Output[str]], parent: Submit
) -> pulumi.Output[str]:
    trust = documents.trusts_principals(sorted(args.researchers))
    made = role(name, trust, args.boundary, parent, session_s=SESSION_S)
    for site, arn in policies.items():
        aws.iam.RolePolicyAttachment(
            f"{name}-{site}-role",
            role=made.name,
            policy_arn=arn,
            opts=pulumi.ResourceOptions(parent=parent),
        )
    return made.arn
