"""What a cluster's roles may do, as plain data."""

from __future__ import annotations

import json

import pytest

from infra.eks import access, documents
from infra.plan.iam.documents import document, size


@pytest.mark.parametrize("service", ["eks.amazonaws.com", "pods.eks.amazonaws.com"])
def test_what_tags_its_sessions_is_trusted_to(service: str) -> None:
    [statement] = json.loads(documents.trust(service))["Statement"]
    assert statement["Principal"] == {"Service": service}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]


def test_tags_are_set_by_the_clusters_own_session_alone() -> None:
    made = [one.written() for one in documents.tagging()]
    key = "aws:RequestTag/eks:eks-cluster-name"
    for statement in made:
        same = statement["Condition"]["StringEquals"]
        assert same == {key: "${aws:PrincipalTag/eks:eks-cluster-name}"}
    assert not any("*" in str(one["Action"]) for one in made)
    assert size(document(documents.tagging())) < 2048


def test_the_driver_mounts_one_file_system() -> None:
    [statement] = documents.mounts("arn:aws:elasticfilesystem:r:a:file-system/fs-1")
    assert list(statement.resources) == ["arn:aws:elasticfilesystem:r:a:file-system/fs-1"]


def test_two_principals_never_have_one_name() -> None:
    principals = [
        "arn:aws:iam::111111111111:role/admin",
        "arn:aws:iam::222222222222:role/admin",
        "arn:aws:iam::111111111111:role/team/admin",
        "arn:aws:iam::111111111111:role/team-admin",
        "arn:aws:iam::111111111111:user/admin",
    ]
    assert len({access.key(one) for one in principals}) == len(principals)
