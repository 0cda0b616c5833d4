"""What AWS refuses and moto lets through, the stand-in refuses: without it tests prove less."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.infra.compute.site import REGION, network
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.fixtures import cloud, shared_cloud
from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds import account, batch, iam, principals

__all__ = ["cloud", "shared_cloud"]

REASON = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"


def kind(name: str) -> Kind:
    tables = (*batch.KINDS, *iam.KINDS, *principals.KINDS, *account.KINDS)
    (found,) = [each for each in tables if each.token.endswith(f":{name}")]
    return found


@pytest.fixture
def call(cloud: Cloud) -> Call:
    return Call(cloud.client, REGION, ACCOUNT, "some")


@pytest.fixture
def place(call: Call, cloud: Cloud) -> Props:
    """A compute environment, as the provider reads it."""
    made = network(cloud)["network"]
    call.iam.create_instance_profile(InstanceProfileName="instances")
    props: Props = {
        "name": "place",
        "type": "MANAGED",
        "computeResources": {
            "type": "SPOT",
            "allocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED",
            "minVcpus": 0,
            "maxVcpus": 16,
            "instanceTypes": ["c7i"],
            "instanceRole": f"arn:aws:iam::{ACCOUNT}:instance-profile/instances",
            "subnets": list(made["subnets"].values()),
            "securityGroupIds": [made["group"]],
        },
    }
    environment = kind("ComputeEnvironment")
    found = environment.read(call, environment.create(call, props), props)
    assert found
    return found


def queue(place: Props, **more: Any) -> Props:
    orders = [{"order": 1, "computeEnvironment": place["arn"]}]
    made = {"name": "queue", "state": "ENABLED", "priority": 1, "computeEnvironmentOrders": orders}
    return {**made, **more}


def limit(**more: Any) -> Props:
    made = {"action": "CANCEL", "state": "RUNNABLE", "reason": REASON, "maxTimeSeconds": 600}
    return {"jobStateTimeLimitActions": [{**made, **more}]}


def test_a_compute_environment_that_a_queue_refers_to_stays(call: Call, place: Props) -> None:
    queues, environment = kind("JobQueue"), kind("ComputeEnvironment")
    arn = queues.create(call, queue(place))
    with pytest.raises(batch.Refused, match="existing JobQueue relationship"):
        environment.delete(call, "place", place)
    queues.delete(call, arn, {})
    environment.delete(call, "place", place)
    assert environment.read(call, "place", place) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reason": "CAPACITY"}, "reason 'CAPACITY' is not supported"),
        ({"maxTimeSeconds": 599}, "between 600 and 86400"),
        ({"state": "RUNNING"}, "CANCEL of RUNNING is not supported"),
    ],
)
def test_time_limits_are_taken_in_batchs_own_words_only(
    call: Call, place: Props, wrong: Props, said: str
) -> None:
    with pytest.raises(batch.Refused, match=said):
        kind("JobQueue").create(call, queue(place, **limit(**wrong)))
    kind("JobQueue").create(call, queue(place, **limit()))


def test_a_queue_never_turns_from_one_kind_into_the_other(call: Call, place: Props) -> None:
    queues, policies = kind("JobQueue"), kind("SchedulingPolicy")
    policy = policies.create(call, {"name": "fair", "fairSharePolicy": {"shareDecaySeconds": 60}})
    arn = queues.create(call, queue(place))
    now = queues.read(call, arn, {})
    assert now and queues.update
    with pytest.raises(batch.Refused, match="neither be given a fair-share policy nor lose it"):
        queues.update(call, arn, now, queue(place, schedulingPolicyArn=policy))
    fair = queues.create(call, queue(place, name="other", schedulingPolicyArn=policy))
    with pytest.raises(batch.Refused, match="in use by other"):
        policies.delete(call, policy, {})
    now = queues.read(call, fair, {})
    assert now
    with pytest.raises(batch.Refused, match="nor lose it"):
        queues.update(call, fair, now, queue(place, name="other"))


@pytest.mark.parametrize(
    ("with_", "what"),
    [
        ({"serviceRole": f"arn:aws:iam::{ACCOUNT}:role/ours"}, {}),
        ({}, {"allocationStrategy": "BEST_FIT"}),
    ],
)
def test_only_some_compute_environments_change_in_place(
    call: Call, place: Props, with_: Props, what: Props
) -> None:
    environment = kind("ComputeEnvironment")
    assert environment.update
    old = {**place, **with_, "computeResources": {**place["computeResources"], **what}}
    wider = {**old["computeResources"], "instanceTypes": ["c7i", "m7i"]}
    with pytest.raises(batch.Refused, match="instanceTypes can't be changed in place"):
        environment.update(call, "place", old, {**old, "computeResources": wider})
    wider = {**place["computeResources"], "instanceTypes": ["c7i", "m7i"]}
    environment.update(call, "place", place, {**place, "computeResources": wider})
    now = environment.read(call, "place", place)
    assert now and now["computeResources"]["instanceTypes"] == ["c7i", "m7i"]
    assert now["arn"] == place["arn"]


def test_policies_are_counted_without_white_space(call: Call) -> None:
    allow = {"Effect": "Allow", "Action": "s3:GetObject"}

    def policy(count: int, **how: Any) -> str:
        statement = {**allow, "Resource": [f"arn:aws:s3:::{n:092}/*" for n in range(count)]}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, **how)

    policies = kind("Policy")
    with pytest.raises(iam.LimitExceeded, match="PolicySize: 6144"):
        policies.create(call, {"name": "long", "policy": policy(60)})
    policies.create(call, {"name": "wide", "policy": policy(50, indent=40)})


def test_a_role_takes_ten_policies(call: Call) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}
    document = {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
    role = kind("Role").create(call, {"name": "r", "assumeRolePolicy": json.dumps(document)})
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    arns = [kind("Policy").create(call, {"name": f"p{n}", "policy": text}) for n in range(11)]
    for arn in arns[:10]:
        kind("RolePolicyAttachment").create(call, {"role": role, "policyArn": arn})
    with pytest.raises(iam.LimitExceeded, match="PoliciesPerRole: 10"):
        kind("RolePolicyAttachment").create(call, {"role": role, "policyArn": arns[10]})


@pytest.mark.parametrize(
    ("frequency", "type_", "taken"),
    [
        ("DAILY", "EMAIL", True),
        ("DAILY", "SNS", False),
        ("IMMEDIATE", "SNS", True),
        ("IMMEDIATE", "EMAIL", False),
    ],
)
def test_anomalies_are_told_at_once_to_topics_and_daily_by_mail(
    call: Call, frequency: str, type_: str, taken: bool
) -> None:
    subscribers = [{"type": type_, "address": "x"}]
    props = {"name": "a", "frequency": frequency, "subscribers": subscribers}
    if taken:
        assert kind("AnomalySubscription").create(call, props)
    else:
        with pytest.raises(ValueError, match="subscribers only"):
            kind("AnomalySubscription").create(call, props)
