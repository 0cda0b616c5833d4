"""The account's program on the real engine: up, nothing to do, guarded, taken down unguarded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.plan.iam.documents import LIMIT, size
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.engine import Engine, Project
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

pytestmark = rig("pulumi")

CONFIG: dict[str, Any] = {
    "account": ACCOUNT,
    "region": "us-west-2",
    "repository": "lab/sky",
    "environments": ["dev", "prod"],
    "existing_service_roles": ["batch"],
    "cost_tags": True,
    "anomaly_emails": ["platform@example.org"],
}
BUCKET = f"ems-state-{ACCOUNT}-us-west-2-an"


@pytest.fixture
def account(engine: Start) -> Engine:
    """The account's program, up."""
    made = engine(Project.repository("infra/account"), stack="lab", config=CONFIG)
    made.up()
    return made


def test_is_made_as_asked_and_guarded(account: Engine, cloud: Cloud) -> None:
    account.nothing_to_do()
    _state_as_asked(account, cloud)
    _roles_as_asked(account, cloud)
    refused = account.destroy(check=False)
    assert refused.code != 0 and "protect" in refused.shown()
    assert not account.up().changes, "nothing is gone"

    account.configure({"environments": ["dev", "prod", "lab"]})
    more = account.up()
    assert set(more.names("create")) == {
        "lab-deploy",
        "lab-deploy-boundary",
        "lab-workload-boundary",
        *(f"lab-deploy-{part}" for part in ("roles", "network", "data", "compute")),
    }
    assert not more.names("update", "replace", "delete")

    account.configure({"protect": False})
    account.up()
    account.destroy()
    iam = cloud.client("iam")
    assert not cloud.client("s3").list_buckets()["Buckets"]
    assert not iam.list_policies(Scope="Local")["Policies"]
    assert not iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    # what others run in the account needs the roles of services too
    assert sorted(role["Path"] for role in iam.list_roles()["Roles"]) == [
        "/aws-service-role/elasticloadbalancing.amazonaws.com/",
        "/aws-service-role/spot.amazonaws.com/",
    ]


def _state_as_asked(account: Engine, cloud: Cloud) -> None:
    said, s3 = account.outputs(), cloud.client("s3", "us-west-2")
    assert said["state_bucket"] == BUCKET
    assert said["login"] == f"s3://{BUCKET}?region=us-west-2"
    assert said["secrets_provider"] == "awskms://alias/ems-state?region=us-west-2"
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    closed = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert all(closed.values())
    rule = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    key = rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    kms = cloud.client("kms", "us-west-2")
    assert kms.get_key_rotation_status(KeyId=key.rsplit("/", 1)[-1])["KeyRotationEnabled"]
    assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=BUCKET)["Policy"]


def _roles_as_asked(account: Engine, cloud: Cloud) -> None:
    iam, said = cloud.client("iam"), account.outputs()
    (issuer,) = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    github = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=issuer["Arn"])
    assert github["ClientIDList"] == ["sts.amazonaws.com"] and not github["ThumbprintList"]
    assert sorted(said["deploy_roles"]) == ["dev", "prod"]
    for name, arn in said["deploy_roles"].items():
        role = iam.get_role(RoleName=arn.rsplit("/", 1)[-1])["Role"]
        assert role["RoleName"] == f"ems-{name}-deploy"
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Federated": issuer["Arn"]}
        assert trust["Condition"]["StringEquals"] == {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": f"repo:lab/sky:environment:{name}",
        }
        boundary = role["PermissionsBoundary"]["PermissionsBoundaryArn"]
        assert boundary.endswith(f":policy/ems-{name}-deploy-boundary")
        work = said["boundaries"][name]
        attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
        texts = [_document(cloud, each["PolicyArn"]) for each in attached]
        assert len(texts) == 4 and all(size(text) <= LIMIT for text in texts)
        (roles,) = [text for text in texts if "iam:CreateRole" in text]
        assert work in roles and f":role/{name}-*" in roles


def _document(cloud: Cloud, arn: str) -> str:
    iam = cloud.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    got = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return json.dumps(got, separators=(",", ":"))


def test_a_service_role_that_is_there_already_is_refused_and_the_setting_helps(
    engine: Start, cloud: Cloud
) -> None:
    cloud.client("iam").create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    made = engine(Project.repository("infra/account"), stack="lab", config=CONFIG)
    refused = made.up(check=False)
    assert refused.code != 0 and "has been taken in this account" in refused.shown()
    made.configure({"existing_service_roles": ["batch", "spot"]})
    made.up()
    made.nothing_to_do()


def test_another_account_and_bad_settings_are_refused_before_anything_is_made(
    engine: Start, cloud: Cloud
) -> None:
    other = engine(
        Project.repository("infra/account"),
        stack="lab",
        config={**CONFIG, "account": "999999999999"},
    )
    result = other.up(check=False)
    assert result.code != 0 and "not allowed" in result.shown()
    other.configure({"account": ACCOUNT, "environments": ["dev", "dev-2"]})
    result = other.up(check=False)
    assert result.code != 0 and "would reach the second" in result.shown()
    assert not cloud.client("iam").list_roles()["Roles"]
    assert not cloud.client("s3").list_buckets()["Buckets"]
