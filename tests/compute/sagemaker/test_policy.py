"""All that the scheduler asks of SageMaker is within the submit policy of `infra/`, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ems.compute.sagemaker.ground import Choices
from ems.compute.sagemaker.requests import ENVIRONMENT_TAG
from infra.plan.iam.submit import SubmitPlace, submit_document, training_prefix
from infra.plan.tags import ENVIRONMENT_TAG as INFRAS_TAG
from tests.compute.batch.policy import Ask, permitted
from tests.compute.sagemaker.cloud import BUCKET, IMAGE, ROLE, Cloud, ended, order, towards
from tests.rigs import rig
from tests.stack.making import ACCOUNT
from tests.stack.sky import REGION

pytestmark = rig("podman")
JOBS = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/"


def document() -> str:
    place = SubmitPlace(
        "dev", "oregon", REGION, REGION, ACCOUNT, f"arn:aws:s3:::{BUCKET}", sagemaker_role=ROLE
    )
    return submit_document("ems-dev-oregon-submit", place)


def asks(operation: str, body: Mapping[str, Any]) -> Iterator[Ask]:
    """Yield all that IAM looks at for one call (service-authorization, SageMaker)."""
    if operation == "ListTrainingJobs":
        yield Ask(f"sagemaker:{operation}", "*")
        return
    job = JOBS + body["TrainingJobName"]
    yield Ask(f"sagemaker:{operation}", job)
    if operation == "CreateTrainingJob":
        yield Ask("sagemaker:AddTags", job)
        to = {"iam:PassedToService": "sagemaker.amazonaws.com"}
        yield Ask("iam:PassRole", body["RoleArn"], to)


@pytest.fixture(scope="module")
def asked(one_cloud: Cloud) -> list[tuple[str, Any]]:
    """All that schedulers asked in the course of some jobs' lives."""
    with pytest.MonkeyPatch.context() as patch:
        towards(one_cloud.address, patch)
        before = len(one_cloud.calls())
        one_cloud.ask("hold", True)
        scheduler = one_cloud.scheduler(Choices(image=IMAGE, spot="always", vpc="always"))
        orders = [order(f"7{n}") for n in range(6)]
        ids = [each.id for each in orders]
        scheduler.start(orders)
        scheduler.look(ids)
        scheduler.stop(ids, 1)
        ended(scheduler, ids)
        scheduler.forget(ids)
        scheduler.start(orders[:1])  # whose next life has another name
        scheduler.stop(ids[:1], 1)
        scheduler.version()
        one_cloud.ask("hold", False)
        return one_cloud.calls(since=before)


def test_every_call_is_allowed(asked: list[tuple[str, Any]]) -> None:
    policy = document()
    operations = {"CreateTrainingJob", "DescribeTrainingJob", "ListTrainingJobs", "StopTrainingJob"}
    assert {name for name, _ in asked} == operations
    refused = [one for each in asked for one in asks(*each) if not permitted(policy, one)]
    assert not refused


def test_the_policy_refuses_what_differs(asked: list[tuple[str, Any]]) -> None:
    """The matcher says no to what the scheduler must not do, so its yes means something."""
    policy = document()
    (made, *_) = [body for name, body in asked if name == "CreateTrainingJob"]
    for other in (
        {**made, "TrainingJobName": made["TrainingJobName"].replace("dev--", "dev-2--")},
        {**made, "TrainingJobName": "ems-7a"},
        {**made, "RoleArn": ROLE.replace("dev", "prod")},
    ):
        assert not all(permitted(policy, one) for one in asks("CreateTrainingJob", other))
    assert not permitted(policy, Ask("sagemaker:DeleteTrainingJob", JOBS + "ems-dev--7a"))


def test_names_and_tags_are_those_of_infra(cloud: Cloud) -> None:
    assert cloud.ground().prefix == training_prefix("dev")
    assert ENVIRONMENT_TAG == INFRAS_TAG
