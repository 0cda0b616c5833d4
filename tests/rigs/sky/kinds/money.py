"""Keys, topics and budgets.

moto tells nobody who subscribes to a budget's alert, and has no UpdateBudget: subscribers are as
the program last said, and a budget is changed by making it again under its name.
"""

from __future__ import annotations

import json

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import tag_changes, tag_list, tag_map


# --------------------------------------------------------------------------------------------- keys
def _key_create(call: Call, props: Props) -> str:
    said: Props = {"Policy": props["policy"]} if props.get("policy") else {}
    made = call.kms.create_key(
        Description=props.get("description") or "",
        Tags=tag_list(props.get("tags"), "TagKey", "TagValue"),
        KeySpec=props["customerMasterKeySpec"],
        KeyUsage=props["keyUsage"],
        **said,
    )
    id_ = call.made(made["KeyMetadata"]["KeyId"])
    _rotate(call, id_, props)
    return id_


def _rotate(call: Call, id_: str, props: Props) -> None:
    if props.get("enableKeyRotation"):
        call.kms.enable_key_rotation(KeyId=id_)
    else:
        call.kms.disable_key_rotation(KeyId=id_)


def _key_read(call: Call, id_: str, props: Props) -> Props | None:
    said = call.kms.describe_key(KeyId=id_)["KeyMetadata"]
    if said["KeyState"] == "PendingDeletion":
        return None
    tags = call.kms.list_resource_tags(KeyId=id_)["Tags"]
    return {
        "arn": said["Arn"],
        "keyId": said["KeyId"],
        "description": said["Description"],
        "keyUsage": said.get("KeyUsage", "ENCRYPT_DECRYPT"),
        "customerMasterKeySpec": said["KeySpec"],
        "isEnabled": said["Enabled"],
        "enableKeyRotation": call.kms.get_key_rotation_status(KeyId=id_)["KeyRotationEnabled"],
        "policy": call.kms.get_key_policy(KeyId=id_, PolicyName="default")["Policy"],
        "tags": tag_map(tags, "TagKey", "TagValue"),
    }


def _key_update(call: Call, id_: str, old: Props, new: Props) -> None:
    _rotate(call, id_, new)
    call.kms.update_key_description(KeyId=id_, Description=new.get("description") or "")
    if new.get("policy"):
        call.kms.put_key_policy(KeyId=id_, PolicyName="default", Policy=new["policy"])
    wanted, gone = tag_changes(old, new)
    if wanted:
        call.kms.tag_resource(KeyId=id_, Tags=tag_list(wanted, "TagKey", "TagValue"))
    if gone:
        call.kms.untag_resource(KeyId=id_, TagKeys=gone)


KEY = Kind(
    "aws:kms/key:Key",
    create=_key_create,
    read=_key_read,
    update=_key_update,
    delete=lambda call, id_, props: call.kms.schedule_key_deletion(
        KeyId=id_, PendingWindowInDays=props.get("deletionWindowInDays") or 30
    ),
    replaces=dict.fromkeys(
        ("customKeyStoreId", "customerMasterKeySpec", "keyUsage", "multiRegion", "xksKeyId"),
        "kms/key.go",
    ),
    defaults={
        "bypassPolicyLockoutSafetyCheck": False,
        "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "enableKeyRotation": False,
        "isEnabled": True,
        "keyUsage": "ENCRYPT_DECRYPT",
    },
    computed=("description", "multiRegion", "policy", "rotationPeriodInDays"),
    documents=("policy",),
)


def _alias_create(call: Call, props: Props) -> str:
    call.kms.create_alias(AliasName=props["name"], TargetKeyId=props["targetKeyId"])
    return call.made(props["name"])


def _alias_read(call: Call, id_: str, props: Props) -> Props | None:
    pages = call.kms.get_paginator("list_aliases").paginate()
    said = [each for page in pages for each in page["Aliases"] if each["AliasName"] == id_]
    if not said:
        return None
    arn, key = said[0]["AliasArn"], said[0]["TargetKeyId"]
    return {
        "name": id_,
        "arn": arn,
        "targetKeyId": key,
        "targetKeyArn": f"{arn.rsplit(':', 1)[0]}:key/{key}",
    }


ALIAS = Kind(
    "aws:kms/alias:Alias",
    create=_alias_create,
    read=_alias_read,
    update=lambda call, id_, old, new: call.kms.update_alias(
        AliasName=id_, TargetKeyId=new["targetKeyId"]
    ),
    delete=lambda call, id_, props: call.kms.delete_alias(AliasName=id_),
    replaces=dict.fromkeys(("name", "namePrefix"), "kms/alias.go"),
    name="name",
)


# ------------------------------------------------------------------------------------------- topics
def _topic_create(call: Call, props: Props) -> str:
    arn = call.sns.create_topic(Name=props["name"], Tags=tag_list(props.get("tags")))["TopicArn"]
    call.made(arn)
    _put_topic(call, arn, props)
    return arn


_TOPIC = {"kmsMasterKeyId": "KmsMasterKeyId", "displayName": "DisplayName", "policy": "Policy"}


def _put_topic(call: Call, arn: str, props: Props) -> None:
    for ours, theirs in _TOPIC.items():
        if props.get(ours):
            call.sns.set_topic_attributes(
                TopicArn=arn, AttributeName=theirs, AttributeValue=props[ours]
            )


def _topic_read(call: Call, arn: str, props: Props) -> Props | None:
    said = call.sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    tags = call.sns.list_tags_for_resource(ResourceArn=arn)["Tags"]
    return {
        "name": arn.rsplit(":", 1)[-1],
        "arn": arn,
        "owner": said["Owner"],
        "tags": tag_map(tags),
        **{ours: said.get(theirs, "") for ours, theirs in _TOPIC.items()},
    }


def _topic_update(call: Call, arn: str, old: Props, new: Props) -> None:
    # the policy is another resource's, and what is here of it is only what was read
    _put_topic(call, arn, {key: value for key, value in new.items() if key != "policy"})
    wanted, gone = tag_changes(old, new)
    if wanted:
        call.sns.tag_resource(ResourceArn=arn, Tags=tag_list(wanted))
    if gone:
        call.sns.untag_resource(ResourceArn=arn, TagKeys=gone)


TOPIC = Kind(
    "aws:sns/topic:Topic",
    create=_topic_create,
    read=_topic_read,
    update=_topic_update,
    delete=lambda call, arn, props: call.sns.delete_topic(TopicArn=arn),
    replaces=dict.fromkeys(("name", "namePrefix", "fifoTopic"), "sns/topic.go"),
    name="name",
    name_max=256,
    computed=("policy", "displayName"),
    documents=("policy",),
)


def _topic_policy_put(call: Call, arn: str, policy: str) -> None:
    call.sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)


def _topic_policy_create(call: Call, props: Props) -> str:
    _topic_policy_put(call, props["arn"], props["policy"])
    return call.made(props["arn"])


def _topic_policy_read(call: Call, arn: str, props: Props) -> Props | None:
    said = call.sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    return {"arn": arn, "policy": said["Policy"], "owner": said["Owner"]}


def _topic_policy_delete(call: Call, arn: str, props: Props) -> None:
    """As the provider does: a topic always has a policy, so that it gets the first one back."""
    account = {"StringEquals": {"AWS:SourceOwner": call.account}}
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "SNS:Publish",
        "Resource": arn,
        "Condition": account,
    }
    _topic_policy_put(call, arn, json.dumps({"Version": "2008-10-17", "Statement": [statement]}))


TOPIC_POLICY = Kind(
    "aws:sns/topicPolicy:TopicPolicy",
    create=_topic_policy_create,
    read=_topic_policy_read,
    update=lambda call, arn, old, new: _topic_policy_put(call, arn, new["policy"]),
    delete=_topic_policy_delete,
    replaces={"arn": "sns/topic_policy.go"},
    documents=("policy",),
)


def _subscription_read(call: Call, arn: str, props: Props) -> Props | None:
    said = call.sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    return {
        "arn": arn,
        "endpoint": said["Endpoint"],
        "protocol": said["Protocol"],
        "topic": said["TopicArn"],
        "ownerId": said["Owner"],
        "pendingConfirmation": said["PendingConfirmation"] == "true",
    }


SUBSCRIPTION = Kind(
    "aws:sns/topicSubscription:TopicSubscription",
    create=lambda call, props: call.made(
        call.sns.subscribe(
            TopicArn=props["topic"],
            Protocol=props["protocol"],
            Endpoint=props["endpoint"],
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
    ),
    read=_subscription_read,
    delete=lambda call, arn, props: call.sns.unsubscribe(SubscriptionArn=arn),
    replaces=dict.fromkeys(("endpoint", "protocol", "topic"), "sns/topic_subscription.go"),
)


# ------------------------------------------------------------------------------------------ budgets
def _budget_create(call: Call, props: Props) -> str:
    id_ = call.made(f"{call.account}:{props['name']}")
    _budget_put(call, props)
    return id_


def _budget_put(call: Call, props: Props) -> None:
    budgets = call.client("budgets", "us-east-1")
    budgets.create_budget(
        AccountId=call.account,
        Budget={
            "BudgetName": props["name"],
            "BudgetType": props["budgetType"],
            "TimeUnit": props["timeUnit"],
            "BudgetLimit": {"Amount": props["limitAmount"], "Unit": props["limitUnit"]},
            "CostFilters": {each["name"]: each["values"] for each in props.get("costFilters", [])},
        },
        NotificationsWithSubscribers=[_alert(each) for each in props.get("notifications", [])],
    )


_ALERT = {
    "comparisonOperator": "ComparisonOperator",
    "notificationType": "NotificationType",
    "threshold": "Threshold",
    "thresholdType": "ThresholdType",
}
_SUBSCRIBERS = {"subscriberEmailAddresses": "EMAIL", "subscriberSnsTopicArns": "SNS"}


def _alert(alert: Props) -> Props:
    return {
        "Notification": {theirs: alert[ours] for ours, theirs in _ALERT.items()},
        "Subscribers": [
            {"SubscriptionType": kind, "Address": address}
            for key, kind in _SUBSCRIBERS.items()
            for address in alert.get(key) or []
        ],
    }


def _budget_read(call: Call, id_: str, props: Props) -> Props | None:
    account, name = id_.split(":", 1)
    budgets = call.client("budgets", "us-east-1")
    said = budgets.describe_budget(AccountId=account, BudgetName=name)["Budget"]
    alerts = budgets.describe_notifications_for_budget(AccountId=account, BudgetName=name)
    return {
        "accountId": account,
        "arn": f"arn:aws:budgets::{account}:budget/{name}",
        "name": name,
        "budgetType": said["BudgetType"],
        "timeUnit": said["TimeUnit"],
        "limitAmount": said["BudgetLimit"]["Amount"],
        "limitUnit": said["BudgetLimit"]["Unit"],
        "costFilters": [{"name": k, "values": v} for k, v in said["CostFilters"].items()],
        "notifications": [_alert_read(each, props) for each in alerts["Notifications"]],
    }


def _alert_read(said: Props, props: Props) -> Props:
    alert = {ours: said[theirs] for ours, theirs in _ALERT.items()}
    known = [
        each
        for each in props.get("notifications") or []
        if all(each.get(key) == value for key, value in alert.items())
    ]
    return {**alert, **{key: known[0].get(key, []) for key in _SUBSCRIBERS if known}}


def _budget_delete(call: Call, id_: str, props: Props) -> None:
    account, name = id_.split(":", 1)
    call.client("budgets", "us-east-1").delete_budget(AccountId=account, BudgetName=name)


def _budget_update(call: Call, id_: str, old: Props, new: Props) -> None:
    _budget_delete(call, id_, old)
    _budget_put(call, {**new, "name": old["name"]})


BUDGET = Kind(
    "aws:budgets/budget:Budget",
    create=_budget_create,
    read=_budget_read,
    update=_budget_update,
    delete=_budget_delete,
    replaces=dict.fromkeys(("accountId", "name", "namePrefix"), "budgets/budget.go"),
    name="name",
    name_max=100,
    computed=("accountId", "costTypes", "timePeriodStart", "timePeriodEnd"),
    sets=(
        "costFilters",
        "notifications",
        "notifications.*.subscriberEmailAddresses",
        "notifications.*.subscriberSnsTopicArns",
    ),
)

KINDS = [KEY, ALIAS, TOPIC, TOPIC_POLICY, SUBSCRIPTION, BUDGET]
