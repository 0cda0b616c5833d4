"""Costs of the account as a whole: the tag that tells environments apart, and what is out of the
ordinary.

Knows Cost Explorer. Budgets are each environment's own (`infra/money`).
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.account.settings import Account
from infra.plan.tags import ENVIRONMENT_TAG


def watch_costs(settings: Account, provider: aws.Provider) -> None:
    """Make what the settings ask for; by default nothing, since most of it can't be made twice."""
    # what is not protected would be gone before a refused `destroy` gets to what is
    opts = pulumi.ResourceOptions(provider=provider, protect=settings.protect)
    if settings.cost_tags:
        aws.costexplorer.CostAllocationTag(
            "environment", tag_key=ENVIRONMENT_TAG, status="Active", opts=opts
        )
    if settings.anomaly_emails:
        _anomalies(settings, opts)


def _anomalies(settings: Account, opts: pulumi.ResourceOptions) -> None:
    monitor = (
        settings.anomaly_monitor
        or aws.costexplorer.AnomalyMonitor(
            "services", monitor_type="DIMENSIONAL", monitor_dimension="SERVICE", opts=opts
        ).arn
    )
    aws.costexplorer.AnomalySubscription(
        "anomalies",
        # mail goes once a day; at once, AWS tells only a topic
        frequency="DAILY",
        monitor_arn_lists=[monitor],
        subscribers=[{"type": "EMAIL", "address": each} for each in settings.anomaly_emails],
        threshold_expression={
            "dimension": {
                "key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                "match_options": ["GREATER_THAN_OR_EQUAL"],
                "values": [str(settings.anomaly_usd)],
            }
        },
        opts=opts,
    )
