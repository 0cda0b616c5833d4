"""IAM documents: that each says no more than it should, is real, and fits into what IAM takes."""

from __future__ import annotations

import fnmatch
import json

import pytest

from ems.errors import EmsError
from infra.plan.iam import documents, jobs
from infra.plan.iam.documents import INLINE_LIMIT, LIMIT, Statement, document, fitting, size
from infra.plan.iam.submit import (
    SubmitPlace,
    definition_prefix,
    submit_document,
    submit_policy,
    training_prefix,
)
from infra.plan.tags import ENVIRONMENT_TAG
from tests.infra.plan.iam_samples import (
    ACCOUNT,
    BUCKETS,
    EVERY,
    FILES,
    LONGEST,
    PLACE,
    SECRETS,
    real,
    submit_place,
)

UNBOUNDED = {
    "ecr:GetAuthorizationToken",
    "cloudwatch:PutMetricData",  # bounded by namespace
    "batch:ListJobs",
    "sagemaker:ListTrainingJobs",
    "pricing:GetProducts",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
    "servicequotas:ListServiceQuotas",
}
"""What IAM lets nobody bound to a resource, beside actions that describe."""


# ------------------------------------------------------------------------------------ the documents
def test_documents_are_compact_and_always_the_same_text() -> None:
    one = Statement("A", ("s3:PutObject", "s3:GetObject"), ("arn:b", "arn:a"))
    other = Statement("A", ["s3:GetObject", "s3:PutObject"], ["arn:a", "arn:b"])
    assert document([one]) == document([other])
    assert document([one]) == (
        '{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow",'
        '"Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:a","arn:b"]}]}'
    )


def test_a_statement_about_nothing_is_left_out() -> None:
    assert json.loads(document([Statement("A", ("s3:GetObject",), ())]))["Statement"] == []


def test_white_space_does_not_count() -> None:
    assert size('{ "a" :\n "b" }') == len('{"a":"b"}')


def test_what_never_fits_is_an_error_that_says_the_limit() -> None:
    long = Statement("A", ("s3:GetObject",), tuple(f"arn:{n:0100}" for n in range(70)))
    with pytest.raises(EmsError, match="allowed: 6144, white space not counted"):
        fitting("long", document([long]))


def test_trusts() -> None:
    tasks = json.loads(documents.trusts_service("ecs-tasks.amazonaws.com", ACCOUNT))["Statement"][0]
    assert tasks["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert tasks["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    subject = "repo:lab/sky:environment:dev"
    token = json.loads(documents.trusts_token("arn:p", "token.x", subject, "sts.amazonaws.com"))
    (said,) = token["Statement"]
    assert said["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert said["Condition"] == {
        "StringEquals": {"token.x:sub": subject, "token.x:aud": "sts.amazonaws.com"}
    }


# -------------------------------------------------------------------------- what all have in common
@pytest.mark.parametrize("which", sorted(EVERY))
def test_every_action_is_one_that_aws_has(which: str) -> None:
    actions = {action for each in EVERY[which] for action in each.actions}
    assert not actions - real(actions)


@pytest.mark.parametrize("which", sorted(set(EVERY) - {"deploy"}))
def test_nothing_is_allowed_on_everything_that_could_be_bounded(which: str) -> None:
    for each in EVERY[which]:
        assert not any(action in ("*", "iam:*") for action in each.actions)
        assert "*" not in " ".join(each.actions), "the actions of these are listed one by one"
        if "*" in each.resources:
            bounded = {a for a in each.actions if ":Describe" not in a} - UNBOUNDED
            assert not bounded, bounded


@pytest.mark.parametrize("which", sorted(EVERY))
def test_roles_are_handed_on_by_name_and_to_named_services(which: str) -> None:
    for each in EVERY[which]:
        if "iam:PassRole" in each.actions:
            assert all(":role/dev-" in role and role != "*" for role in each.resources)
            assert each.conditions["StringEquals"]["iam:PassedToService"]
            assert each.actions == ("iam:PassRole",)


# ------------------------------------------------------------------------------------ who runs jobs
def test_a_jobs_code_has_data_and_nothing_else() -> None:
    policy = EVERY["job"]
    assert {action.split(":")[0] for each in policy for action in each.actions} == {
        "s3",
        "elasticfilesystem",
    }
    (mount,) = [each for each in policy if each.sid == "Mount"]
    assert mount.conditions == {
        "StringEquals": {"elasticfilesystem:AccessPointArn": ["arn:ap-1", "arn:ap-2"]},
        "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"},
    }
    text = document(policy)
    # a store's one root may lie at any site
    for bucket in BUCKETS:
        for prefix in jobs.PREFIXES:
            assert f"{bucket}/{prefix}/*" in text
    assert "flow-logs" not in text and "arn:aws:s3:::bucket/*" not in text
    assert "s3:DeleteObjectVersion" not in text


def test_without_a_file_system_nothing_is_mounted() -> None:
    assert "elasticfilesystem" not in document(jobs.job_policy(BUCKETS, None))


def test_sagemaker_gets_interfaces_in_the_sites_subnets_alone() -> None:
    (made,) = [each for each in EVERY["sagemaker"] if each.sid == "Interface"]
    assert set(made.resources) == {
        f"arn:aws:ec2:us-west-2:{ACCOUNT}:{what}"
        for what in (
            "network-interface/*",
            "security-group/sg-1",
            "subnet/subnet-1",
            "subnet/subnet-2",
        )
    }


@pytest.mark.parametrize("which", ["execution", "pod", "sagemaker"])
def test_secrets_are_the_environments_own_and_read_by_whoever_resolves_them(which: str) -> None:
    (said,) = [each for each in EVERY[which] if each.sid == "Secrets"]
    assert said.actions == ("secretsmanager:GetSecretValue",)
    assert said.resources == [SECRETS]
    assert f"arn:aws:secretsmanager:us-west-2:{ACCOUNT}:secret:ems/dev/*" == SECRETS
    assert "kms:" not in document(EVERY[which]), "Secrets Manager's own key asks for nothing"
    assert "secretsmanager:" not in document(EVERY["job"]), "Batch's are there before the job"


def test_a_roles_own_policy_holds_the_buckets_of_a_dozen_sites_whatever_their_names() -> None:
    buckets = [f"arn:aws:s3:::{n:063}" for n in range(12)]  # the longest that S3 takes
    many = [
        jobs.job_policy(buckets, FILES),
        jobs.pod_policy(buckets, [SECRETS]),
        jobs.sagemaker_policy(buckets, ["arn:repository"], [SECRETS], PLACE),
    ]
    for each in many:
        fitting("some", document(each), INLINE_LIMIT)
    with pytest.raises(EmsError, match="allowed: 10240"):
        fitting("some", document(jobs.job_policy([*buckets] * 2, FILES)), INLINE_LIMIT)


# -------------------------------------------------------------------------------------- who submits
def test_names_of_one_environment_never_match_those_of_another() -> None:
    for first, second in (("dev", "dev-2"), ("dev-2", "dev"), ("a", "a-b")):
        assert not definition_prefix(second, "x").startswith(definition_prefix(first, "x"))
        assert not training_prefix(second).startswith(training_prefix(first))
    assert definition_prefix("dev", "a-b") != definition_prefix("dev-a", "b")


def test_a_researcher_submits_to_these_queues_with_the_environments_tag() -> None:
    place = submit_place()
    by_sid = {each.sid: each for each in submit_policy(place)}
    submit = by_sid["Submit"]
    assert submit.actions == ("batch:SubmitJob",)
    assert set(place.queues) < set(submit.resources)
    assert submit.conditions == {"StringEquals": {f"aws:RequestTag/{ENVIRONMENT_TAG}": "dev"}}
    assert by_sid["End"].conditions == {
        "StringEquals": {f"aws:ResourceTag/{ENVIRONMENT_TAG}": "dev"}
    }
    assert by_sid["Define"].resources == (
        f"arn:aws:batch:ap-southeast-2:{ACCOUNT}:job-definition/ems-dev_oregon_*",
    )
    passed = by_sid["PassToJobs"]
    assert passed.resources == (place.job_role, place.execution_role)
    assert passed.conditions == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    training = by_sid["PassToTraining"]
    assert training.resources == (place.sagemaker_role,)
    assert training.conditions == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }
    # the outputs lie in the environment's home, wherever the site does
    parameters = f"arn:aws:ssm:us-west-2:{ACCOUNT}:parameter/ems/dev"
    assert by_sid["Outputs"].resources == (parameters, f"{parameters}/*")


def test_a_definition_that_does_not_say_that_it_is_not_privileged_is_refused() -> None:
    by_sid = {each.sid: each for each in submit_policy(submit_place())}
    # `BoolIfExists` would let through every definition of which Batch does not say it
    assert by_sid["Define"].conditions == {"Bool": {"batch:Privileged": "false"}}
    # no such key comes with taking one away
    assert by_sid["Undefine"].actions == ("batch:DeregisterJobDefinition",)
    assert not by_sid["Undefine"].conditions


def test_whether_a_bucket_is_there_is_asked_without_a_prefix() -> None:
    place = submit_place()
    (head,) = [each for each in submit_policy(place) if each.sid == "Head"]
    assert head.actions == ("s3:ListBucket",) and head.resources == (place.bucket,)
    assert head.conditions == {"Null": {"s3:prefix": "true"}}


def test_a_site_without_batch_or_sagemaker_lets_nothing_of_them() -> None:
    bare = SubmitPlace("dev", "lab", "us-east-1", "us-west-2", ACCOUNT, "arn:aws:s3:::bucket")
    text = document(submit_policy(bare))
    assert "batch:" not in text and "sagemaker:" not in text and "iam:" not in text


@pytest.mark.parametrize("queues", [1, 8, 20])
@pytest.mark.parametrize("name", ["dev", LONGEST])
def test_a_submit_policy_fits_whatever_the_names(name: str, queues: int) -> None:
    place = submit_place(name, name[::-1], queues)
    policy = submit_document("some", place)
    assert size(policy) <= LIMIT
    (submit,) = [s for s in json.loads(policy)["Statement"] if s["Sid"] == "Submit"]
    listed = [arn for arn in submit["Resource"] if ":job-queue/" in arn]
    for queue in place.queues:
        assert any(fnmatch.fnmatchcase(queue, pattern) for pattern in listed)
    assert all(f"job-queue/{name}-{name[::-1]}-" in arn for arn in listed)
