"""What IAM asks for beside the action that a call is named after, and what our programs look at.

The stand-in's tables name the calls; what a service does in the caller's name is in no call. It is
kept here by hand, each with where it is said, and held against what botocore says.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.plan.iam.documents import Statement
from infra.plan.iam.submit import submit_policy
from tests.infra.plan.iam_samples import (
    PREFIX,
    all_of,
    asked_by_tables,
    deploy_place,
    documentation,
    operations,
    submit_place,
)

_BOTOCORE = "botocore's text of the operation"
_REFERENCE = "docs.aws.amazon.com/service-authorization, dependent actions"
_LOGS = "docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3.html"

ALSO: dict[str, tuple[str, Sequence[str]]] = {
    "cloudwatch:PutMetricAlarm": (_REFERENCE, ("cloudwatch:TagResource",)),
    "ec2:CreateFlowLogs": (_LOGS, ("logs:CreateLogDelivery", "logs:DeleteLogDelivery")),
    "ec2:CreateVpcEndpoint": (_REFERENCE, ("ec2:CreateTags", "route53:AssociateVPCWithHostedZone")),
    "ec2:CreateVpnConnection": (_REFERENCE, ("ec2:CreateTags", "secretsmanager:CreateSecret")),
    "eks:CreateCluster": (_REFERENCE, ("iam:PassRole", "iam:CreateServiceLinkedRole")),
    "eks:CreatePodIdentityAssociation": (_REFERENCE, ("iam:PassRole", "iam:GetRole")),
    "elasticfilesystem:CreateAccessPoint": (_BOTOCORE, ("elasticfilesystem:TagResource",)),
    "elasticfilesystem:CreateFileSystem": (_BOTOCORE, ("elasticfilesystem:TagResource",)),
    "elasticfilesystem:CreateMountTarget": (
        _BOTOCORE,
        ("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    ),
    "elasticfilesystem:DeleteMountTarget": (_BOTOCORE, ("ec2:DeleteNetworkInterface",)),
    "elasticfilesystem:DescribeMountTargetSecurityGroups": (
        _BOTOCORE,
        ("ec2:DescribeNetworkInterfaceAttribute",),
    ),
    "elasticfilesystem:ModifyMountTargetSecurityGroups": (
        _BOTOCORE,
        ("ec2:ModifyNetworkInterfaceAttribute",),
    ),
    "kms:CreateKey": (_BOTOCORE, ("kms:TagResource",)),
    # tags come with the bucket, or by S3's newer calls, as the provider's release has it
    "s3:CreateBucket": (_REFERENCE, ("s3:TagResource", "s3:UntagResource")),
    "s3:PutBucketEncryption": (_BOTOCORE, ("s3:PutEncryptionConfiguration",)),
    "s3:PutBucketLifecycleConfiguration": (_BOTOCORE, ("s3:PutLifecycleConfiguration",)),
}
"""Operation → where it is said, and what the caller may do then too."""

ONLY_WHEN: dict[str, set[str]] = {
    # with an ACL or a lock that is asked for with the bucket
    "s3:CreateBucket": {"s3:PutBucketAcl", "s3:PutBucketObjectLockConfiguration"},
    # the text warns of rules that delete, and has this in other letters
    "s3:DeleteObject": {"s3:PutLifeCycleConfiguration"},
    # with a policy of its own, or copies elsewhere
    "secretsmanager:CreateSecret": {
        "secretsmanager:PutResourcePolicy",
        "secretsmanager:ReplicateSecretToRegions",
    },
    # an example of an error
    "sts:GetCallerIdentity": {"iam:DeleteVirtualMFADevice"},
}
"""What botocore names for cases that are not ours."""

_ACTION = re.compile(
    r"\b((?:backup|batch|cloudwatch|ec2|ecs|eks|elasticfilesystem|iam|kms|logs|route53|s3|"
    r"secretsmanager|sns|ssm):[A-Z][A-Za-z]+)\b"
)
_KEYS = {"kms:PolicyName", "iam:AssociatedResourceArn", "iam:AssociatedResourceARN"}


def _allowed(action: str, statements: Sequence[Statement]) -> list[Statement]:
    return [
        each
        for each in statements
        if any(fnmatch.fnmatchcase(action, pattern) for pattern in each.actions)
    ]


def _said(operation: str) -> set[str]:
    return set(_ACTION.findall(documentation(operation))) - _KEYS - {operation}


@pytest.mark.parametrize("operation", sorted(ALSO))
def test_the_deploy_role_may_what_a_call_asks_for_beside_itself(operation: str) -> None:
    assert operation in asked_by_tables(), "the table lists what an environment asks for"
    _, also = ALSO[operation]
    place = all_of(deploy_place())
    assert not [action for action in also if not _allowed(action, place)]


def test_the_table_says_what_botocore_says() -> None:
    for operation, (where, also) in ALSO.items():
        if where == _BOTOCORE:
            assert set(also) <= _said(operation), operation


def test_all_that_botocore_says_is_allowed_or_not_our_case() -> None:
    place = all_of(deploy_place())
    refused = {
        operation: {action for action in _said(operation) if not _allowed(action, place)}
        for operation in asked_by_tables()
    }
    assert {operation: said for operation, said in refused.items() if said} == ONLY_WHEN


def test_what_aws_answers_to_everything_or_nothing_is_asked_of_everything() -> None:
    wide = [each for each in asked_by_tables() if "scoped to <code>*</code>" in documentation(each)]
    assert "cloudwatch:DescribeAlarms" in wide
    for operation in wide:
        found = _allowed(operation, all_of(deploy_place(regions=("us-west-2",))))
        assert found and all(each.resources == ("*",) for each in found), operation


def test_route_53_belongs_to_no_region() -> None:
    regions = ("us-west-2", "eu-west-1")
    (one,) = _allowed("route53:AssociateVPCWithHostedZone", all_of(deploy_place(regions=regions)))
    assert not one.conditions


# ---------------------------------------------------------------- what is asked by programs of ours
_ROOT = Path(__file__).parents[3]
_ASKED = ("batch", "ec2", "ecr", "efs", "eks", "iam", "logs", "s3", "service-quotas", "ssm", "sts")
_CALLED_OTHERWISE = {"s3:HeadBucket": "s3:ListBucket"}
_FREE = {"sts:GetCallerIdentity"}  # whoever has credentials may


def _calls(file: Path) -> set[str]:
    """The actions behind every name in a file that is an operation of AWS."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
        if isinstance(name, str) and (has := [s for s in _ASKED if name in operations(s)]):
            if len(has) > 1 and isinstance(node, ast.Attribute):  # the client's name tells
                has = [s for s in has if s == ast.unparse(node.value)]
            (service,) = has
            action = f"{PREFIX.get(service, service)}:{operations(service)[name]}"
            found.add(_CALLED_OTHERWISE.get(action, action))
    return found - _FREE


def test_who_deploys_may_ask_what_is_asked_before() -> None:
    files = [*(_ROOT / "infra/preflight").glob("*.py"), _ROOT / "sdk/ems/stack/looking.py"]
    asked = {action for file in files for action in _calls(file)}
    assert {"ec2:GetEbsDefaultKmsKeyId", "servicequotas:GetAWSDefaultServiceQuota"} < asked
    assert not {action for action in asked if not _allowed(action, all_of(deploy_place()))}


def test_who_submits_may_ask_what_check_asks() -> None:
    asked = {
        action
        for name in ("looking.py", "ssm.py")
        for action in _calls(_ROOT / "sdk/ems/stack" / name)
    }
    assert {"logs:DescribeLogGroups", "ssm:GetParametersByPath", "s3:ListBucket"} < asked
    assert not {a for a in asked if not _allowed(a, submit_policy(submit_place()))}
