"""A region's topic on the real engine: what is said to it gets through."""

from __future__ import annotations

import json

from infra.money.alarms import PUBLISHERS, key_policy, topic_policy
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

REGION = "us-west-2"
SERVICES = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"]


def test_the_key_lets_alarms_budgets_and_anomalies_through() -> None:
    """With AWS's own key, or without one of these words, messages are lost and nobody is told."""
    account, services = key_policy(ACCOUNT)["Statement"]
    assert list(PUBLISHERS) == SERVICES == services["Principal"]["Service"]
    assert services["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert "Condition" not in services
    # without it nobody could ever change the key again
    assert account["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert account["Action"] == "kms:*"


def test_the_topic_takes_from_these_services_on_this_account_s_behalf_alone() -> None:
    (statement,) = topic_policy("arn:aws:sns:us-west-2:1:t", ACCOUNT)["Statement"]
    assert statement["Principal"] == {"Service": SERVICES}
    assert statement["Action"] == "sns:Publish"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def program() -> None:
    import pulumi
    import pulumi_aws as aws

    from infra.money.alarms import Alarms, AlarmsArgs

    config = pulumi.Config()
    provider = aws.Provider("us-west-2", region="us-west-2")
    args = AlarmsArgs(account="123456789012", emails=config.get_object("emails") or [])
    alarms = Alarms("dev-us-west-2-alarms", args, pulumi.ResourceOptions(provider=provider))
    pulumi.export("topic", alarms.topic_arn)


@rig("pulumi")
def test_it_is_made_as_asked_changes_in_place_and_goes(engine: Start, cloud: Cloud) -> None:
    dev = engine(program, config={"emails": ["a@example.org"]})
    dev.up()
    topic = dev.outputs()["topic"]
    assert topic.startswith(f"arn:aws:sns:{REGION}:{ACCOUNT}:")
    sns, kms = cloud.client("sns", REGION), cloud.client("kms", REGION)
    said = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert json.loads(said["Policy"]) == topic_policy(topic, ACCOUNT)
    key = kms.describe_key(KeyId=said["KmsMasterKeyId"])["KeyMetadata"]
    assert key["KeyManager"] == "CUSTOMER"
    policy = kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
    assert json.loads(policy) == key_policy(ACCOUNT)
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    aliases = kms.list_aliases(KeyId=key["KeyId"])["Aliases"]
    assert [each["AliasName"] for each in aliases] == ["alias/ems/dev-us-west-2-alarms"]
    dev.nothing_to_do()
    dev.configure({"emails": ["b@example.org", "a@example.org", "a@example.org"]})
    grown = dev.up()
    assert grown.names("create") == ["dev-us-west-2-alarms-b@example.org"]
    assert len(grown.changes) == 1
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert sorted((each["Protocol"], each["Endpoint"]) for each in listed) == [
        ("email", "a@example.org"),
        ("email", "b@example.org"),
    ]
    dev.destroy()
    assert sns.list_topics()["Topics"] == []
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
