"""Who deploys: GitHub's identity provider, and a role for each environment within its boundary.

Knows names and trust. What the roles may do is written in `infra/plan/iam/deploy.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.account.settings import Account
from infra.account.state import State
from infra.plan.iam import deploy, documents
from infra.plan.iam.deploy import DeployPlace

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"


@dataclass(frozen=True)
class Deployer:
    """An environment's role, and the boundary of the roles that it makes."""

    role: pulumi.Output[str]
    workload_boundary: pulumi.Output[str]


def subject(settings: Account, environment: str) -> str:
    """Return whose token may take the role: jobs of the repository that name the environment.

    A job that names one has this subject whatever its branch, so who may deploy is decided by the
    environment's protection rules on GitHub.
    """
    return f"{settings.subject}:environment:{environment}"


def make_deployers(settings: Account, state: State, provider: aws.Provider) -> dict[str, Deployer]:
    """Make the identity provider, unless the account has it, and each environment's role."""
    keep = pulumi.ResourceOptions(provider=provider, protect=settings.protect)
    issuer = settings.oidc_provider or _issuer(keep)
    return {name: _deployer(name, issuer, settings, state, keep) for name in settings.environments}


def _issuer(keep: pulumi.ResourceOptions) -> pulumi.Output[str]:
    # no thumbprints: AWS trusts GitHub's certificates by their authorities
    return aws.iam.OpenIdConnectProvider(
        "github", url=f"https://{ISSUER}", client_id_lists=[AUDIENCE], opts=keep
    ).arn


def _deployer(
    environment: str,
    issuer: pulumi.Input[str],
    settings: Account,
    state: State,
    keep: pulumi.ResourceOptions,
) -> Deployer:
    place = pulumi.Output.all(state.bucket_arn, state.key_arn).apply(
        lambda arns: DeployPlace(
            environment, settings.account, arns[0], arns[1], sorted(settings.regions)
        )
    )
    work = _boundary(environment, "workload", place, keep)
    own = _boundary(environment, "deploy", place, keep)
    trust = pulumi.Output.from_input(issuer).apply(
        lambda arn: documents.trusts_token(arn, ISSUER, subject(settings, environment), AUDIENCE)
    )
    role = aws.iam.Role(
        f"{environment}-deploy",
        name=deploy.deploy_role_name(environment),
        assume_role_policy=trust,
        permissions_boundary=own.arn,
        opts=keep,
    )
    _allow(environment, role, place, keep)
    return Deployer(role.arn, work.arn)


def _boundary(
    environment: str, which: str, place: pulumi.Output[DeployPlace], keep: pulumi.ResourceOptions
) -> aws.iam.Policy:
    written, name = {
        "workload": (deploy.workload_boundary, deploy.workload_boundary_name(environment)),
        "deploy": (deploy.deploy_boundary, deploy.deploy_boundary_name(environment)),
    }[which]
    policy = place.apply(lambda known: documents.fitting(name, documents.document(written(known))))
    return aws.iam.Policy(f"{environment}-{which}-boundary", name=name, policy=policy, opts=keep)


def _allow(
    environment: str,
    role: aws.iam.Role,
    place: pulumi.Output[DeployPlace],
    keep: pulumi.ResourceOptions,
) -> None:
    for part in deploy.PARTS:
        name = f"ems-{environment}-deploy-{part}"
        policy = aws.iam.Policy(
            f"{environment}-deploy-{part}",
            # fixed, as the boundary guards policies by how their names begin
            name=name,
            policy=place.apply(lambda known, part=part, name=name: _part(known, part, name)),
            opts=keep,
        )
        aws.iam.RolePolicyAttachment(
            f"{environment}-deploy-{part}", role=role.name, policy_arn=policy.arn, opts=keep
        )


def _part(place: DeployPlace, part: str, name: str) -> str:
    return documents.fitting(name, documents.document(deploy.deploy_policies(place)[part]))
