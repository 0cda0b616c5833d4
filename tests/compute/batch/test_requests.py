"""Definitions and submissions, as they are sent: pinned, and held against Batch's own model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.validate import validate_parameters

from ems.compute.batch import submissions
from ems.compute.batch.definitions import Definition, definition
from ems.compute.batch.ground import Ground, ground
from ems.compute.batch.submissions import Submitter, Wanted, grouped, request, retries
from ems.compute.job import JobState, Reason, Resources
from ems.compute.remote.order import Order, Refused
from tests.compute.batch.cloud import Cloud, ended, order
from tests.stack.making import environment, queue

ROOT = "s3://bucket/scratch/ems"
SUBMITTER = Submitter("dev", "ana-maria@lab", 5)


def at() -> Ground:
    return ground(environment(), "oregon")


def one(**changes: Any) -> Order:
    return Order(**({"id": "ems-1", "name": "train", "argv": (), "folder": ""} | changes))


def defined(order: Order, ground: Ground | None = None) -> Definition:
    made = definition(order, ["python3", "-c", "pass"], "python:3.11", ground or at())
    assert isinstance(made, Definition)
    return made


def valid(operation: str, body: Any) -> None:
    model = botocore.session.get_session().get_service_model("batch")
    validate_parameters(body, model.operation_model(operation).input_shape)


def test_a_definition_is_what_it_was() -> None:
    wanted = Resources(cpus=3.5, memory_gib=12, gpus=2)
    made = defined(one(resources=wanted, secrets={"TOKEN": "asm:hub/token"}))
    valid("RegisterJobDefinition", dict(made.request))
    inside = made.request["containerProperties"]
    assert inside["resourceRequirements"] == [
        {"type": "VCPU", "value": "4"},
        {"type": "MEMORY", "value": "12288"},
        {"type": "GPU", "value": "2"},
    ]
    where = "arn:aws:secretsmanager:us-west-2:123456789012:secret:ems/dev/hub/token"
    assert inside["secrets"] == [{"name": "TOKEN", "valueFrom": where}]
    assert inside["logConfiguration"]["options"]["awslogs-group"] == "/ems/dev/oregon"
    (volume,) = inside["volumes"]
    files = volume["efsVolumeConfiguration"]
    assert files["authorizationConfig"] == {"accessPointId": "fsap-1", "iam": "ENABLED"}
    assert files["transitEncryption"] == "ENABLED" and files["rootDirectory"] == "/"
    assert inside["mountPoints"][0]["containerPath"] == "/data"
    assert inside["privileged"] is False
    assert inside["linuxParameters"] == {"initProcessEnabled": True, "sharedMemorySize": 6144}


def test_a_secret_is_where_the_execution_role_may_read_it() -> None:
    import fnmatch

    from infra.plan.iam.jobs import secrets

    made = defined(one(secrets={"TOKEN": "asm:hub/token"}))
    (secret,) = made.request["containerProperties"]["secrets"]
    assert fnmatch.fnmatchcase(secret["valueFrom"], secrets("dev", "us-west-2", "123456789012"))


@pytest.mark.parametrize("reference", ["env:TOKEN", "file:~/token", "asm:", "asm:a b", "asm:a:b"])
def test_other_secrets_are_refused(reference: str) -> None:
    made = definition(one(secrets={"TOKEN": reference}), ["true"], "x", at())
    assert isinstance(made, Refused) and reference in made.detail


def test_a_name_is_a_digest_of_all_that_a_definition_says() -> None:
    plain = defined(one())
    assert (
        plain.name.startswith("ems-dev_oregon_") and len(plain.name) == len("ems-dev_oregon_") + 32
    )
    assert defined(one(id="ems-2", name="x", variables={"A": "1"}, wall_s=5)).name == plain.name
    others = {
        defined(one(resources=Resources(cpus=2))).name,
        defined(one(secrets={"A": "asm:a"})).name,
        defined(one(), dataclasses.replace(at(), environment="prod")).name,
    }
    assert len(others | {plain.name}) == 4


def test_a_site_without_a_file_system_mounts_none() -> None:
    here = at()
    storage = msgspec.structs.replace(here.site.storage, file_system=None)
    site = msgspec.structs.replace(here.site, storage=storage)
    made = defined(one(), dataclasses.replace(here, site=site))
    assert "volumes" not in made.request["containerProperties"]


def wanted(id: str, attempts: int = 1, **changes: Any) -> Wanted:
    each = one(id=id, **changes)
    return Wanted(each, queue(), defined(each), attempts)


def test_a_submission_is_what_it_was() -> None:
    group = [wanted(f"ems-{n}", 3, variables={"A": "1"}, wall_s=90.2) for n in range(3)]
    made = request(group, "arn:aws:batch:x:1:job-definition/ems-dev_oregon_1:4", SUBMITTER, ROOT)
    valid("SubmitJob", made)
    assert made["arrayProperties"] == {"size": 3}
    assert made["containerOverrides"] == {
        "environment": [
            {"name": "A", "value": "1"},
            {"name": "EMS_JOBS", "value": f"{ROOT}/jobs/{made['jobName']}"},
        ]
    }
    assert made["timeout"] == {"attemptDurationSeconds": 91}
    assert made["shareIdentifier"] == "anamarialab" and made["schedulingPriorityOverride"] == 5
    assert made["tags"] == {
        "ems-environment": "dev", "ems-name": "train", "ems-user": "ana-maria@lab",
    }  # fmt: skip
    assert made["retryStrategy"] == retries(3)
    alone = request(group[:1], "arn", SUBMITTER, ROOT)
    assert alone["jobName"] == "ems-0" and "arrayProperties" not in alone
    assert alone["containerOverrides"]["environment"][1] == {
        "name": "EMS_JOB",
        "value": f"{ROOT}/jobs/ems-0",
    }


def test_batch_itself_starts_anew_only_what_lost_its_machine() -> None:
    made = retries(3)
    rules = made["evaluateOnExit"]
    assert made["attempts"] == 3 and len(rules) <= 5
    assert [each for each in rules if each["action"] == "RETRY"] == [
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onExitCode": "101", "action": "RETRY"},
    ]
    assert rules[-1]["action"] == "EXIT", "what fits no rule would be started again"
    assert retries(1) == {"attempts": 1}


def test_an_array_has_ten_thousand_jobs_at_most() -> None:
    first = wanted("ems-0")
    many = [first._replace(order=first.order._replace(id=f"ems-{n:032x}")) for n in range(20_001)]
    groups = list(grouped(many))
    assert [len(group) for group in groups] == [10_000, 10_000, 1]
    assert [each.order.id for group in groups for each in group] == [w.order.id for w in many]
    assert len({request(group, "arn", SUBMITTER, ROOT)["jobName"] for group in groups}) == 3


@pytest.mark.parametrize(
    ("user", "share"), [("ana", "ana"), ("a.b@c", "abc"), ("안나", "ems"), ("x" * 300, "x" * 255)]
)
def test_a_users_name_as_batch_takes_it(user: str, share: str) -> None:
    assert Submitter("dev", user).share == share


def test_the_limit_holds_there_with_nobody_watching(
    cloud: Cloud, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "_LEAST_S", 1)  # Batch itself has a minute
    scheduler = cloud.scheduler()
    long = order("ea1", out, "sleep 60", wall_s=0.5)
    scheduler.start([long])
    seen = ended(scheduler, [long.id])[long.id]
    assert (seen.state, seen.reason) == (JobState.FAILED, Reason.TIMED_OUT)
