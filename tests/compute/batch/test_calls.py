"""What moto does not do: answers in pages, and the errors that AWS has for those who ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from ems.compute.batch.calls import BatchCalls, Rejected, asked
from ems.compute.batch.watch import Watch
from ems.compute.job import JobState
from ems.compute.remote.order import PlaceError, Unreachable
from tests.compute.batch.cloud import REGION


class Answers:
    """Calls whose answers were put in beforehand, each checked against Batch's own model."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client = boto3.client("batch", region_name=REGION, **keys)
        self.stub = Stubber(client)
        self.calls = BatchCalls(REGION, lambda *_: client)

    def say(self, operation: str, wanted: dict[str, Any], answer: dict[str, Any]) -> None:
        self.stub.add_response(operation, answer, wanted)


@pytest.fixture
def answers() -> Iterator[Answers]:
    made = Answers()
    with made.stub:
        yield made
        made.stub.assert_no_pending_responses()


def summary(id: str, name: str = "ems-1", **more: Any) -> dict[str, Any]:
    return {"jobId": id, "jobName": name, **more}


def test_a_list_is_read_to_its_end_without_children_of_arrays(answers: Answers) -> None:
    asked_for = {"jobQueue": "q", "filters": [{"name": "JOB_NAME", "values": ["ems-*"]}]}
    answers.say("list_jobs", asked_for, {"jobSummaryList": [summary("1")], "nextToken": "more"})
    answers.say(
        "list_jobs",
        {**asked_for, "nextToken": "more"},
        {"jobSummaryList": [summary("2"), summary("3:0")]},
    )
    assert [each["jobId"] for each in answers.calls.jobs_named("q", "ems-*")] == ["1", "2"]


def test_the_newest_active_revision_is_taken(answers: Answers) -> None:
    wanted = {"jobDefinitionName": "ems-d", "status": "ACTIVE"}

    def revision(number: int) -> dict[str, Any]:
        arn = f"arn:aws:batch:{REGION}:1:job-definition/ems-d:{number}"
        return {
            "jobDefinitionName": "ems-d", "jobDefinitionArn": arn, "revision": number,
            "type": "container",
        }  # fmt: skip

    found = {"jobDefinitions": [revision(9), revision(11)], "nextToken": "x"}
    answers.say("describe_job_definitions", wanted, found)
    rest = {"jobDefinitions": [revision(10)]}
    answers.say("describe_job_definitions", {**wanted, "nextToken": "x"}, rest)
    assert (answers.calls.definition("ems-d") or "").endswith(":11")


def parent(sums: dict[str, int]) -> dict[str, Any]:
    told = {
        "jobId": "a", "jobName": "ems-array-1", "jobQueue": "q", "status": "PENDING",
        "startedAt": 0, "jobDefinition": "d", "arrayProperties": {"size": 500},
    }  # fmt: skip
    told["arrayProperties"] |= {"statusSummary": sums}
    return {"jobs": [told]}


def test_a_large_array_is_asked_for_by_the_states_that_changed(answers: Answers) -> None:
    from ems.compute.batch.tracks import Track

    watch = Watch(answers.calls)
    tracks = [Track("a", at) for at in range(500)]
    sums = {"RUNNABLE": 498, "RUNNING": 2}
    answers.say("describe_jobs", {"jobs": ["a"]}, parent(sums))
    two = [summary(f"a:{at}", status="RUNNING") for at in (0, 1)]
    wanted = {"arrayJobId": "a", "jobStatus": "RUNNING"}
    answers.say("list_jobs", wanted, {"jobSummaryList": two})
    seen = watch.look(tracks)
    assert [each.state for each in seen.values()].count(JobState.RUNNING) == 2

    changed = parent({"RUNNABLE": 498, "RUNNING": 1, "SUCCEEDED": 1})
    answers.say("describe_jobs", {"jobs": ["a", "a:2"]}, changed)
    one = {**summary("a:7", status="RUNNING")}
    answers.say("list_jobs", wanted, {"jobSummaryList": [one]})
    over = summary("a:0", status="SUCCEEDED", container={"exitCode": 0})
    wanted = {"arrayJobId": "a", "jobStatus": "SUCCEEDED"}
    answers.say("list_jobs", wanted, {"jobSummaryList": [over]})
    seen = watch.look(tracks)
    states = {at: seen[Track("a", at)].state for at in (0, 1, 7) if Track("a", at) in seen}
    assert states == {0: JobState.SUCCEEDED, 1: JobState.SUBMITTED, 7: JobState.RUNNING}

    answers.say("describe_jobs", {"jobs": ["a", "a:1"]}, changed)
    watch.look(tracks)


def refused(code: str, status: int) -> ClientError:
    text = {"Code": code, "Message": "Job queue q does not exist"}
    return ClientError({"Error": text, "ResponseMetadata": {"HTTPStatusCode": status}}, "SubmitJob")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("TooManyRequestsException", 429), Unreachable),
        (refused("ThrottlingException", 400), Unreachable),
        (refused("ServerException", 500), Unreachable),
        (refused("Whatever", 503), Unreachable),
        (EndpointConnectionError(endpoint_url="https://batch"), Unreachable),
        (ReadTimeoutError(endpoint_url="https://batch"), Unreachable),
        (refused("ClientException", 400), Rejected),
        (refused("AccessDeniedException", 403), PlaceError),
    ],
)
def test_an_error_is_what_the_broker_has_to_do(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind) as told, asked("job ems-1"):
        raise error
    assert type(told.value) is kind and str(told.value).startswith("job ems-1: ")


def test_a_refusal_is_told_without_botos_words() -> None:
    with pytest.raises(Rejected) as told, asked("job ems-1"):
        raise refused("ClientException", 400)
    assert str(told.value) == "job ems-1: Job queue q does not exist"


def test_submitting_is_never_tried_again_by_boto3() -> None:
    """The handler that would is gone; that of other calls is there."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    calls = BatchCalls(REGION, lambda *_: boto3.client("batch", region_name=REGION, **keys))
    once, asking = calls._once(), calls._client()
    event = "needs-retry.batch.SubmitJob"
    assert not once.meta.events._emitter._handlers.prefix_search(event)
    assert asking.meta.events._emitter._handlers.prefix_search(event)
