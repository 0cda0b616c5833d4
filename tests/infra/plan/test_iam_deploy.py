"""Who deploys: policies of legal size, boundaries without a way out, all that `up` asks of AWS."""

from __future__ import annotations

import fnmatch

import pytest

from infra.plan.iam import deploy, services
from infra.plan.iam.documents import LIMIT, document, size
from tests.infra.plan.iam_samples import (
    ACCOUNT,
    EVERY,
    LONGEST,
    all_of,
    asked_by_tables,
    deploy_place,
)

REGIONS = ("us-west-2", "us-east-1", "eu-central-1", "ap-northeast-1")


@pytest.mark.parametrize("name", ["dev", LONGEST])
@pytest.mark.parametrize("regions", [(), REGIONS])
def test_a_deploy_role_takes_few_policies_of_legal_size(
    name: str, regions: tuple[str, ...]
) -> None:
    place = deploy_place(name, regions)
    for part, made in deploy.deploy_policies(place).items():
        assert size(document(made)) <= LIMIT, part
    assert size(document(deploy.deploy_boundary(place))) <= LIMIT
    assert size(document(deploy.workload_boundary(place))) <= LIMIT


def test_a_deploy_role_makes_no_role_without_the_boundary() -> None:
    place = deploy_place()
    made = [each for each in all_of(place) if "iam:CreateRole" in each.actions]
    (one,) = made
    assert one.conditions == {"StringEquals": {"iam:PermissionsBoundary": place.workload_boundary}}
    assert one.resources == (f"arn:aws:iam::{ACCOUNT}:role/dev-*",)
    granted = [each for each in all_of(place) if "iam:AttachRolePolicy" in each.actions]
    assert all(each.conditions == one.conditions for each in granted)
    actions = {action for each in all_of(place) for action in each.actions}
    for never in ("CreateUser", "CreateAccessKey", "DeleteRolePermissionsBoundary"):
        assert f"iam:{never}" not in actions
    assert "secretsmanager:GetSecretValue" not in actions


def test_the_deploy_roles_own_boundary_denies_what_would_lead_out() -> None:
    place = deploy_place()
    denied = {each.sid: each for each in deploy.deploy_boundary(place) if each.effect == "Deny"}
    wider = denied["NoWiderRole"]
    assert wider.conditions == {
        "StringNotEquals": {"iam:PermissionsBoundary": place.workload_boundary}
    }
    guards = denied["NotTheGuards"].resources
    for guard in (
        f"role/{deploy.deploy_role_name('dev')}",
        f"policy/{deploy.deploy_boundary_name('dev')}",
        f"policy/{deploy.workload_boundary_name('dev')}",
    ):
        assert any(fnmatch.fnmatchcase(place.iam(guard), pattern) for pattern in guards)
    # of its own making, by the names of the environment's things, it is free
    assert not any(fnmatch.fnmatchcase(place.iam("role/dev-oregon-batch"), p) for p in guards)


def test_the_boundary_of_a_deploy_role_leaves_its_policies_whole() -> None:
    place = deploy_place()
    allowed = [e for e in deploy.deploy_boundary(place) if e.effect == "Allow"]
    patterns = [action for each in allowed for action in each.actions]
    for each in all_of(place):
        for action in each.actions:
            assert any(fnmatch.fnmatchcase(action, pattern) for pattern in patterns), action


@pytest.mark.parametrize("which", sorted(set(EVERY) - {"deploy"}))
def test_the_boundary_of_roles_leaves_the_policies_of_jobs_whole(which: str) -> None:
    boundary = deploy.workload_boundary(deploy_place())
    allowed = [action for each in boundary if each.effect == "Allow" for action in each.actions]
    closed = [a for each in boundary if each.effect == "Deny" for a in each.actions if a != "s3:*"]
    for each in EVERY[which]:
        for action in each.actions:
            assert any(fnmatch.fnmatchcase(action, pattern) for pattern in allowed), action
            assert not any(fnmatch.fnmatchcase(action, pattern) for pattern in closed), action


def test_no_role_of_an_environment_can_be_given_more_secrets_than_those_of_its_jobs() -> None:
    boundary = deploy.workload_boundary(deploy_place())
    reached = [each for each in boundary if any("secretsmanager" in a for a in each.actions)]
    (one,) = reached
    assert one.actions == ("secretsmanager:GetSecretValue",)
    assert one.resources == [f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:ems/dev/*"]


def test_one_environments_deploy_role_reaches_no_state_of_anothers() -> None:
    (state,) = [each for each in all_of(deploy_place()) if each.sid == "State"]
    root = "arn:aws:s3:::ems-state-123456789012-ap-southeast-2-an/.pulumi"
    ours = (
        "stacks/ems/dev.json",
        "stacks/ems-kubernetes/dev.json.bak",
        "history/ems/dev/dev-1.history.json",
        "locks/organization/ems/dev/1.json",
    )
    theirs = ("stacks/ems/prod.json", "stacks/ems/dev-2.json", "history/ems/prod/x", "meta.yaml")
    for path, reached in [*((p, True) for p in ours), *((p, False) for p in theirs)]:
        found = any(fnmatch.fnmatchcase(f"{root}/{path}", p) for p in state.resources)
        assert found == reached, path


def test_no_service_is_listed_twice() -> None:
    lists = [v for k, v in vars(services).items() if k.isupper()]
    actions = [action for each in lists for action in each]
    assert len(actions) == len(set(actions))


# ------------------------------------------------------------------- what the tables of types need
_ELSEWHERE = {
    # operations whose permission has another name: docs.aws.amazon.com/service-authorization
    "budgets:CreateBudget": "budgets:ModifyBudget",
    "budgets:DeleteBudget": "budgets:ModifyBudget",
    "budgets:DescribeBudget": "budgets:ViewBudget",
    "budgets:DescribeNotificationsForBudget": "budgets:ViewBudget",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}


def test_what_the_stand_in_asks_of_aws_the_deploy_role_may_ask() -> None:
    allowed = [action for each in all_of(deploy_place()) for action in each.actions]
    asked = {_ELSEWHERE.get(action, action) for action in asked_by_tables()}
    assert len(asked) > 100
    refused = {a for a in asked if not any(fnmatch.fnmatchcase(a, p) for p in allowed)}
    # a role that lost its boundary would be what the boundary is there against
    assert refused == {"iam:DeleteRolePermissionsBoundary"}
