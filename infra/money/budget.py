"""An environment's monthly budget, and who hears of it.

Knows limits and messages. It stops nothing: limits that must hold with nobody watching are
compiled into jobs. Costs are told apart by the environment's tag, which has to be a cost-allocation
tag of the account (`infra/account`); until it is one, the budget sees nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.plan.tags import ENVIRONMENT_TAG
from infra.settings.types import Budget as BudgetSettings

ALERTS: Sequence[tuple[str, int]] = (
    ("ACTUAL", 50),
    ("ACTUAL", 80),
    ("ACTUAL", 100),
    ("FORECASTED", 100),
)
"""Spent or expected, percent of the limit."""


@dataclass(frozen=True)
class BudgetArgs:
    """One environment's budget."""

    settings: BudgetSettings
    environment: str
    topic_arn: pulumi.Input[str]
    """A topic of the same account whose key and policy let `budgets.amazonaws.com` through. Budgets
    belong to no region, and AWS asks nothing of the topic's:
    docs.aws.amazon.com/cost-management/latest/userguide/budgets-sns-policy.html"""


def tag_filter(environment: str) -> str:
    """Return how a budget names the environment's tag: `user:KEY$VALUE`."""
    return f"user:{ENVIRONMENT_TAG}${environment}"


class Budget(pulumi.ComponentResource):
    """A monthly budget with alerts by mail and to a topic."""

    name: pulumi.Output[str]

    def __init__(
        self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:money:Budget", name, None, opts)
        budget = aws.budgets.Budget(
            name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(args.settings.monthly_usd),
            limit_unit="USD",
            cost_filters=[{"name": "TagKeyValue", "values": [tag_filter(args.environment)]}],
            notifications=[_alert(kind, percent, args) for kind, percent in ALERTS],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.name = budget.name
        self.register_outputs({"name": self.name})


def _alert(kind: str, percent: int, args: BudgetArgs) -> aws.budgets.BudgetNotificationArgs:
    return aws.budgets.BudgetNotificationArgs(
        comparison_operator="GREATER_THAN",
        notification_type=kind,
        threshold=percent,
        threshold_type="PERCENTAGE",
        subscriber_email_addresses=sorted(set(args.settings.emails)),
        subscriber_sns_topic_arns=[args.topic_arn],
    )
