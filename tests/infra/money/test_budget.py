"""An environment's budget on the real engine."""

from __future__ import annotations

from typing import Any

from infra.money.budget import tag_filter
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

TOPIC = f"arn:aws:sns:us-west-2:{ACCOUNT}:alarms"


def test_costs_are_told_apart_by_the_environment_s_tag() -> None:
    assert tag_filter("dev") == "user:ems-environment$dev"


def program() -> None:
    import msgspec
    import pulumi
    import pulumi_aws as aws

    from infra.money.budget import Budget, BudgetArgs
    from infra.settings.types import Budget as Settings

    config = pulumi.Config()
    provider = aws.Provider("us-west-2", region="us-west-2")
    args = BudgetArgs(
        settings=msgspec.convert(config.require_object("budget"), Settings),
        environment="dev",
        topic_arn="arn:aws:sns:us-west-2:123456789012:alarms",
    )
    budget = Budget("dev-budget", args, pulumi.ResourceOptions(provider=provider))
    pulumi.export("name", budget.name)


def described(cloud: Cloud, name: str) -> dict[str, Any]:
    budgets = cloud.client("budgets")
    return budgets.describe_budget(AccountId=ACCOUNT, BudgetName=name)["Budget"]


def alerts(cloud: Cloud, name: str) -> list[tuple[str, float]]:
    found = cloud.client("budgets").describe_notifications_for_budget(
        AccountId=ACCOUNT, BudgetName=name
    )["Notifications"]
    assert {(e["ComparisonOperator"], e["ThresholdType"]) for e in found} == {
        ("GREATER_THAN", "PERCENTAGE")
    }
    return sorted((each["NotificationType"], each["Threshold"]) for each in found)


@rig("pulumi")
def test_it_is_made_as_asked_changes_in_place_and_goes(engine: Start, cloud: Cloud) -> None:
    dev = engine(program, config={"budget": {"monthly_usd": 50, "emails": ["a@example.org"]}})
    dev.up()
    name = dev.outputs()["name"]
    said = described(cloud, name)
    assert (said["BudgetType"], said["TimeUnit"]) == ("COST", "MONTHLY")
    assert said["BudgetLimit"] == {"Amount": "50", "Unit": "USD"}
    assert said["CostFilters"] == {"TagKeyValue": ["user:ems-environment$dev"]}
    assert alerts(cloud, name) == [
        ("ACTUAL", 50),
        ("ACTUAL", 80),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]
    # moto tells nobody who is written to: what the engine handed over is what there is to see
    (state,) = [each for each in dev.resources() if each["type"].startswith("aws:budgets/")]
    for alert in state["inputs"]["notifications"]:
        assert alert["subscriberEmailAddresses"] == ["a@example.org"]
        assert alert["subscriberSnsTopicArns"] == [TOPIC]
    dev.nothing_to_do()
    dev.configure({"budget": {"monthly_usd": 80, "emails": ["b@example.org", "a@example.org"]}})
    changed = dev.up()
    assert changed.names("update") == ["dev-budget"] and len(changed.changes) == 1
    assert described(cloud, name)["BudgetLimit"]["Amount"] == "80"
    assert len(alerts(cloud, name)) == 4
    dev.destroy()
    assert cloud.client("budgets").describe_budgets(AccountId=ACCOUNT).get("Budgets", []) == []
