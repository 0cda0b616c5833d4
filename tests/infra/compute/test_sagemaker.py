"""SageMaker's role on the real engine: who takes it, and what it is bounded to."""

from __future__ import annotations

import json

from tests.infra.compute.site import BUCKET, PREAMBLE, REGION, network
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

pytestmark = rig("pulumi")

PROGRAM = (
    PREAMBLE
    + """
from infra.compute.sagemaker import SageMaker, SageMakerArgs

made = SageMaker(
    "dev-oregon",
    SageMakerArgs(
        network=network,
        region=region,
        account=account,
        bucket=bucket,
        bucket_arns=[f"arn:aws:s3:::{bucket}", "arn:aws:s3:::elsewhere"],
        repositories=[jobs.repositories("dev", region, account)],
        secrets=jobs.secrets("dev", region, account),
    ),
    here,
)
pulumi.export("role", made.role)
pulumi.export("output", made.output)
"""
)


def test_is_made_as_asked(engine: Start, cloud: Cloud) -> None:
    settings = network(cloud)
    site = engine(PROGRAM, config=settings)
    site.up()
    said = site.outputs()
    assert said["output"] == f"s3://{BUCKET}/sagemaker"
    iam, name = cloud.client("iam"), said["role"].rsplit("/", 1)[-1]
    role = iam.get_role(RoleName=name)["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    text = json.dumps(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
    for part in (
        f"arn:aws:s3:::{BUCKET}/sagemaker/*",
        "arn:aws:s3:::elsewhere/store/*",
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ems/dev/*",
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/dev/*",
        f"security-group/{settings['network']['group']}",
        *(f"subnet/{subnet}" for subnet in settings["network"]["subnets"].values()),
    ):
        assert part in text
    site.nothing_to_do()
    site.destroy()
    assert not iam.list_roles()["Roles"]
