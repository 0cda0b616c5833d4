"""A region's topic for alarms, with a key and a policy that let the messages through.

Knows one topic and who may publish to it. Does not know what alarms there are (`infra/network`),
nor the budget. An alarm reaches only a topic of its own region, so every region has one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

PUBLISHERS = ("cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com")
"""Alarms, budgets, cost anomalies."""


@dataclass(frozen=True)
class AlarmsArgs:
    """One region's topic."""

    account: str
    emails: Sequence[str] = ()
    """Each gets a mail to confirm first; AWS forgets after three days who has not."""


def key_policy(account: str, partition: str = "aws") -> dict[str, Any]:
    """Return the policy of the topic's key.

    A topic with AWS's own key (`alias/aws/sns`) gets nothing from these three and says nothing of
    it. They are not bounded by account here: a service that does not pass the account on to KMS
    would again be silently refused. The topic's policy bounds them, and the key serves that topic
    alone.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Account",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "Publishers",
                "Effect": "Allow",
                "Principal": {"Service": list(PUBLISHERS)},
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": "*",
            },
        ],
    }


def topic_policy(topic: str, account: str) -> dict[str, Any]:
    """Return the policy of the topic: the three services may publish, for this account only."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Publishers",
                "Effect": "Allow",
                "Principal": {"Service": list(PUBLISHERS)},
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            }
        ],
    }


class Alarms(pulumi.ComponentResource):
    """A topic, its key, and those who get its mail."""

    topic_arn: pulumi.Output[str]
    """Known only when the topic's policy is there: what is said earlier would be lost."""

    def __init__(
        self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:money:Alarms", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = aws.kms.Key(
            f"{name}-key",
            description=f"Alarms of {name}",
            enable_key_rotation=True,
            deletion_window_in_days=7,
            policy=json.dumps(key_policy(args.account)),
            opts=child,
        )
        aws.kms.Alias(
            f"{name}-alias", name=f"alias/ems/{name}", target_key_id=key.key_id, opts=child
        )
        topic = aws.sns.Topic(name, kms_master_key_id=key.arn, opts=child)
        policy = aws.sns.TopicPolicy(
            f"{name}-policy",
            arn=topic.arn,
            policy=topic.arn.apply(lambda arn: json.dumps(topic_policy(arn, args.account))),
            opts=child,
        )
        for email in sorted(set(args.emails)):
            aws.sns.TopicSubscription(
                f"{name}-{email}", topic=topic.arn, protocol="email", endpoint=email, opts=child
            )
        self.topic_arn = pulumi.Output.all(topic.arn, policy.id).apply(lambda known: known[0])
        self.register_outputs({"topic_arn": self.topic_arn})
