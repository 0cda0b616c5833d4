"""The account's program: state, who deploys, roles of services, costs.

Knows the order of things and what is exported. Run once by an administrator, whose rights no role
made here has; its own first state lies on the administrator's disk or in the bucket that it made
(docs/adr/0016-three-programs.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from ems.errors import EmsError
from infra.account.costs import watch_costs
from infra.account.deployers import Deployer, make_deployers
from infra.account.settings import Account, ServiceRole, read
from infra.account.state import State, make_state

SERVICES: Mapping[ServiceRole, str] = {
    "batch": "batch.amazonaws.com",
    "elasticloadbalancing": "elasticloadbalancing.amazonaws.com",
    "spot": "spot.amazonaws.com",
}


def deploy() -> None:
    """Make what the account needs; a mistake in the settings ends in its message."""
    try:
        settings = read(pulumi.runtime.get_config_env(), pulumi.get_stack())
    except EmsError as error:
        raise pulumi.RunError(str(error)) from None
    provider = aws.Provider(
        "account",
        region=settings.region,
        allowed_account_ids=[settings.account],
        default_tags={"tags": {"ems-project": pulumi.get_project()}},
    )
    state = make_state(settings, provider)
    deployers = make_deployers(settings, state, provider)
    _service_roles(settings, provider)
    watch_costs(settings, provider)
    _export(state, deployers)


def _service_roles(settings: Account, provider: aws.Provider) -> None:
    """Make the roles that services have for themselves. They stay when they leave the program:
    what others run in the account needs them too."""
    for name, service in SERVICES.items():
        if name not in settings.existing_service_roles:
            aws.iam.ServiceLinkedRole(
                name,
                aws_service_name=service,
                opts=pulumi.ResourceOptions(
                    provider=provider, protect=settings.protect, retain_on_delete=True
                ),
            )


def _export(state: State, deployers: Mapping[str, Deployer]) -> None:
    """Export what the other programs are told by hand: a deploy role goes into CI's settings, its
    boundary into the environment's file as `ems:boundary`, without which IAM refuses every role
    that the deploy role would make."""
    pulumi.export("state_bucket", state.bucket)
    pulumi.export("login", state.login)
    pulumi.export("secrets_provider", state.secrets_provider)
    pulumi.export("deploy_roles", {name: each.role for name, each in deployers.items()})
    boundaries = {name: each.workload_boundary for name, each in deployers.items()}
    pulumi.export("boundaries", boundaries)
