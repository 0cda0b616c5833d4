"""Submit policies on the real engine: one a site, and a role for those who are named."""

from __future__ import annotations

import json

import pytest

from ems.errors import UsageError
from infra.access.submit import SubmitArgs, SubmitSite, check_sites
from infra.plan.iam.documents import LIMIT, size
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

PROGRAM = """
import pulumi
import pulumi_aws as aws

from infra.access.submit import Submit, SubmitArgs, SubmitSite
from infra.plan.iam import jobs

config = pulumi.Config()
account = aws.get_caller_identity_output().account_id


def site(name: str, region: str, queues: int) -> SubmitSite:
    role = f"arn:aws:iam::123456789012:role/dev-{name}-batch"
    here = f"{region}:123456789012"
    return SubmitSite(
        region=region,
        bucket_arn=f"arn:aws:s3:::ems-dev-{name}-123456789012-{region}-an",
        queue_arns={
            f"q{n}": pulumi.Output.from_input(
                f"arn:aws:batch:{here}:job-queue/dev-{name}-batch-q{n}-fair-1234567"
            )
            for n in range(queues)
        },
        log_group_arn=f"arn:aws:logs:{here}:log-group:dev-{name}-batch-jobs-1234567",
        job_role=f"{role}-job",
        execution_role=f"{role}-execution",
        repositories=[jobs.repositories("dev", region, "123456789012")],
        sagemaker_role=f"{role}-sagemaker",
    )


made = Submit(
    "dev-submit",
    SubmitArgs(
        environment="dev",
        home="us-west-2",
        account=account,
        sites={
            "oregon": site("oregon", "us-west-2", 20),
            "ireland": site("ireland", "eu-west-1", 2),
            "bare": SubmitSite(region="us-east-1", bucket_arn="arn:aws:s3:::bare"),
        },
        researchers=config.get_object("researchers") or [],
    ),
)
pulumi.export("policies", made.policies)
pulumi.export("role", made.role or "")
"""
PEOPLE = [f"arn:aws:iam::{ACCOUNT}:role/lab", f"arn:aws:iam::{ACCOUNT}:user/ada"]


@rig("pulumi")
def test_a_policy_for_each_site_and_a_role_for_those_who_are_named(
    engine: Start, cloud: Cloud
) -> None:
    made = engine(PROGRAM, config={"aws:region": "us-west-2"})
    made.up()
    iam, said = cloud.client("iam"), made.outputs()
    assert sorted(said["policies"]) == ["bare", "ireland", "oregon"] and not said["role"]
    assert not iam.list_roles()["Roles"]
    _policies_as_asked({s: _document(cloud, arn) for s, arn in said["policies"].items()})

    made.configure({"researchers": PEOPLE})
    named = made.up()
    assert named.names("create") == [
        "dev-submit",
        "dev-submit-bare-role",
        "dev-submit-ireland-role",
        "dev-submit-oregon-role",
    ]
    assert len(named.changes) == 4
    role = iam.get_role(RoleName=made.outputs()["role"].rsplit("/", 1)[-1])["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert sorted(trust["Principal"]["AWS"]) == PEOPLE
    assert role["MaxSessionDuration"] == 12 * 3600
    made.nothing_to_do()
    made.destroy()
    assert not iam.list_roles()["Roles"]
    assert not iam.list_policies(Scope="Local")["Policies"]


def _args(sites: int, *researchers: str) -> SubmitArgs:
    site = SubmitSite(region="us-west-2", bucket_arn="arn:aws:s3:::some")
    return SubmitArgs(
        environment="dev",
        home="us-west-2",
        account=ACCOUNT,
        sites={f"s{number}": site for number in range(sites)},
        researchers=researchers,
    )


def test_more_sites_than_a_role_holds_policies_are_refused_before_anything_is_made() -> None:
    check_sites(_args(10, *PEOPLE))
    check_sites(_args(11))
    with pytest.raises(UsageError, match="each of 11 sites"):
        check_sites(_args(11, *PEOPLE))


def _policies_as_asked(texts: dict[str, str]) -> None:
    assert all(size(text) <= LIMIT for text in texts.values())
    assert "dev-ireland-batch-q1-fair-1234567" in texts["ireland"]
    assert "job-definition/ems-dev_ireland_*" in texts["ireland"]
    assert "batch:" not in texts["bare"]
    for site in json.loads(texts["ireland"])["Statement"]:
        # the outputs of all sites lie in the environment's home
        assert ("us-west-2" in json.dumps(site)) == (site["Sid"] == "Outputs")


def _document(cloud: Cloud, arn: str) -> str:
    iam = cloud.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    got = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return json.dumps(got, separators=(",", ":"))
