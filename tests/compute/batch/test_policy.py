"""What the scheduler asks of AWS is what the stack's submit policy allows, and nothing beyond."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ems.compute.batch.definitions import ENVIRONMENT_TAG, prefix
from ems.compute.job import Resources
from infra.plan.iam import jobs
from infra.plan.iam.submit import SubmitPlace, definition_prefix, submit_document
from infra.plan.tags import ENVIRONMENT_TAG as INFRAS_TAG
from tests.compute.batch.cloud import Cloud, ended, order, running, towards
from tests.compute.batch.policy import ACCOUNT, HERE, REGION, Ask, asks, permitted


def document(cloud: Cloud) -> str:
    oregon = cloud.outputs.sites["oregon"]
    assert oregon.batch is not None
    return submit_document(
        "submit",
        SubmitPlace(
            environment="dev", site="oregon", region=REGION, home=REGION, account=ACCOUNT,
            bucket=f"arn:aws:s3:::{oregon.storage.bucket}",
            queues=[f"{HERE}:job-queue/{each.name}" for each in oregon.batch.queues.values()],
            log_group=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{oregon.batch.log_group}",
            job_role=oregon.batch.job_role, execution_role=oregon.batch.execution_role,
            repositories=[jobs.repositories("dev", REGION, ACCOUNT)],
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def asked(one_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Any]]:
    """All that the scheduler asked in the course of some jobs' lives."""
    with pytest.MonkeyPatch.context() as patch:
        towards(one_cloud.address, patch)
        return _asked(one_cloud, tmp_path_factory.mktemp("policy") / "out")


def _asked(cloud: Cloud, out: Path) -> list[tuple[str, Any]]:
    before = len(cloud.calls())
    for word in ("cpus", "plain"):
        scheduler = cloud.scheduler(f"oregon/{word}", priority=7)
        shape = Resources(cpus=1, memory_gib=0.75)
        do = 'case "$ID" in *2) sleep 60;; esac'
        orders = [order(f"{word}{n}", out, do, resources=shape) for n in range(3)]
        scheduler.start(orders)
        running(scheduler, [orders[2].id])
        scheduler.stop([orders[2].id], 1)
        ended(scheduler, [each.id for each in orders])
        scheduler.room()
        scheduler.version()
        scheduler.forget([each.id for each in orders])
    return cloud.calls()[before:]


def test_every_call_is_allowed(cloud: Cloud, asked: list[tuple[str, Any]]) -> None:
    policy = document(cloud)
    assert {"submitjob", "registerjobdefinition", "terminatejob"} < {name for name, _ in asked}
    refused = [one for each in asked for one in asks(*each) if not permitted(policy, one)]
    assert not refused


def test_the_policy_refuses_what_differs(cloud: Cloud, asked: list[tuple[str, Any]]) -> None:
    """The matcher says no to what the scheduler must not do, so its yes means something."""
    policy = document(cloud)
    (made, *_) = [body for name, body in asked if name == "registerjobdefinition"]
    (sent, *_) = [body for name, body in asked if name == "submitjob"]
    privileged = {**made["containerProperties"], "privileged": True}
    for name, body in (
        ("registerjobdefinition", {**made, "jobDefinitionName": "ems-dev-2_oregon_ab"}),
        ("registerjobdefinition", {**made, "containerProperties": privileged}),
        ("registerjobdefinition", {**made, "tags": {}}),
        ("submitjob", {**sent, "jobQueue": "prod-oregon-cpus"}),
        ("submitjob", {**sent, "tags": {"ems-environment": "prod"}}),
    ):
        assert not all(permitted(policy, one) for one in asks(name, body))
    assert not permitted(policy, Ask("batch:TerminateJob", f"{HERE}:job/1", {}))


def test_names_and_tags_are_those_of_infra(cloud: Cloud, asked: list[tuple[str, Any]]) -> None:
    assert prefix(cloud.ground()) == definition_prefix("dev", "oregon")
    assert ENVIRONMENT_TAG == INFRAS_TAG
    for name, body in asked:
        if name == "registerjobdefinition":
            assert body["jobDefinitionName"].startswith("ems-dev_oregon_")
            assert len(body["jobDefinitionName"]) <= 128
        if name in ("registerjobdefinition", "submitjob"):
            assert body["tags"]["ems-environment"] == "dev" and body["propagateTags"] is True


def test_a_fair_share_queue_is_told_whose_it_is_and_another_is_not(
    cloud: Cloud, asked: list[tuple[str, Any]]
) -> None:
    sent = {body["jobQueue"]: body for name, body in asked if name == "submitjob"}
    fair, plain = sent["dev-oregon-cpus"], sent["dev-oregon-plain"]
    assert (fair["shareIdentifier"], fair["schedulingPriorityOverride"]) == ("anamarialab", 7)
    assert "shareIdentifier" not in plain and "schedulingPriorityOverride" not in plain
