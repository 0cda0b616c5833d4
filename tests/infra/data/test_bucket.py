"""A site's bucket on the real engine: made as asked, changed in place, never replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.errors import UsageError
from infra.data.bucket import bucket_policy
from infra.data.naming import LONGEST, bucket_name
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.engine import Engine, EngineError
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

REGION = "us-west-2"
NAME = f"ems-dev-oregon-{ACCOUNT}-{REGION}-an"
names = st.from_regex(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?", fullmatch=True)


# ---------------------------------------------------------------------------------------- its name
def test_the_name_stays() -> None:
    """A name that changes is another, empty bucket: whoever changes this moves everybody's data."""
    assert bucket_name("dev", "oregon", "123456789012", "us-west-2") == (
        "ems-dev-oregon-123456789012-us-west-2-an"
    )


@given(names, names, st.sampled_from(["us-east-1", "us-west-2", "ap-southeast-2"]))
def test_a_name_lies_in_the_account_s_namespace_or_is_refused(
    environment: str, site: str, region: str
) -> None:
    try:
        name = bucket_name(environment, site, ACCOUNT, region)
    except UsageError as error:
        longer = len(f"ems-{environment}-{site}-{ACCOUNT}-{region}-an")
        assert longer > LONGEST and f"{longer} characters" in str(error) and site in str(error)
    else:
        assert name.endswith(f"-{ACCOUNT}-{region}-an") and len(name) <= LONGEST


def test_a_name_that_gets_too_long_says_how_much_room_there_is() -> None:
    with pytest.raises(UsageError) as caught:
        bucket_name("environment-prod", "sydney-with-gpus", ACCOUNT, "ap-southeast-2")
    assert "in ap-southeast-2: 27 for both names together, these have 32" in str(caught.value)


# -------------------------------------------------------------------------------------- its policy
def test_only_this_account_s_flow_logs_may_write_and_only_where_they_belong() -> None:
    statements = bucket_policy("arn:aws:s3:::b", ACCOUNT, REGION)["Statement"]
    allowed = [each for each in statements if each["Effect"] == "Allow"]
    assert {each["Principal"]["Service"] for each in allowed} == {"delivery.logs.amazonaws.com"}
    for each in allowed:
        assert each["Condition"]["StringEquals"]["aws:SourceAccount"] == ACCOUNT
        assert f":{REGION}:{ACCOUNT}:" in each["Condition"]["ArnLike"]["aws:SourceArn"]
    (write,) = [each for each in allowed if each["Action"] == "s3:PutObject"]
    assert write["Resource"] == "arn:aws:s3:::b/flow-logs/AWSLogs/*"


# ----------------------------------------------------------------------------------- on the engine
def program() -> None:
    import msgspec
    import pulumi
    import pulumi_aws as aws

    from infra.data.bucket import Bucket, BucketArgs
    from infra.settings.types import Storage

    config = pulumi.Config()
    provider = aws.Provider("us-west-2", region="us-west-2")
    if config.get("gone"):
        return
    args = BucketArgs(
        settings=msgspec.convert(config.get_object("storage") or {}, Storage),
        environment=config.get("environment") or "dev",
        site="oregon",
        account="123456789012",
        region="us-west-2",
        protect=config.get_bool("protect") or False,
        flow_logs_days=config.get_int("flow_logs_days") or 90,
    )
    bucket = Bucket("dev-oregon", args, pulumi.ResourceOptions(provider=provider))
    pulumi.export("name", bucket.name)
    pulumi.export("flow_logs", bucket.flow_logs)


def rules(s3: Any) -> Mapping[str, Any]:
    found = s3.get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
    return {rule["ID"]: rule for rule in found}


def put(s3: Any, *bodies: bytes) -> None:
    """Write an object, in versions.

    moto looks at no condition of a policy: a bucket that is open to TLS alone is closed to all
    there. So the policy is away for a moment.
    """
    policy = s3.get_bucket_policy(Bucket=NAME)["Policy"]
    s3.delete_bucket_policy(Bucket=NAME)
    for body in bodies:
        s3.put_object(Bucket=NAME, Key="objects/1", Body=body)
    s3.put_bucket_policy(Bucket=NAME, Policy=policy)


def there(cloud: Cloud) -> list[str]:
    return [each["Name"] for each in cloud.client("s3", REGION).list_buckets()["Buckets"]]


@rig("pulumi")
def test_it_is_made_as_asked_and_stays(engine: Start, cloud: Cloud) -> None:
    dev = engine(program)
    dev.up()
    s3 = cloud.client("s3", REGION)
    assert dev.outputs() == {"name": NAME, "flow_logs": f"arn:aws:s3:::{NAME}"}
    assert s3.head_bucket(Bucket=NAME)["BucketRegion"] == REGION
    assert s3.get_bucket_versioning(Bucket=NAME)["Status"] == "Enabled"
    (encrypted,) = s3.get_bucket_encryption(Bucket=NAME)["ServerSideEncryptionConfiguration"][
        "Rules"
    ]
    assert encrypted["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    closed = s3.get_public_access_block(Bucket=NAME)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True} and len(closed) == 4
    (owner,) = s3.get_bucket_ownership_controls(Bucket=NAME)["OwnershipControls"]["Rules"]
    assert owner == {"ObjectOwnership": "BucketOwnerEnforced"}
    policy = json.loads(s3.get_bucket_policy(Bucket=NAME)["Policy"])
    assert policy == bucket_policy(f"arn:aws:s3:::{NAME}", ACCOUNT, REGION)
    found = rules(s3)
    assert found["unfinished-uploads"]["AbortIncompleteMultipartUpload"] == {
        "DaysAfterInitiation": 7
    }
    assert found["old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert found["scratch"]["Expiration"] == {"Days": 14}
    assert found["scratch"]["Filter"] == {"Prefix": "scratch/"}
    assert found["flow-logs"]["Expiration"] == {"Days": 90}
    assert found["flow-logs"]["Filter"] == {"Prefix": "flow-logs/"}
    # nothing else is ever removed by age
    by_age = {key for key, rule in found.items() if "Days" in rule.get("Expiration", {})}
    assert by_age == {"scratch", "flow-logs"}
    dev.nothing_to_do()


@rig("pulumi")
def test_settings_change_it_in_place_and_drift_shows(engine: Start, cloud: Cloud) -> None:
    dev = engine(program)
    dev.up()
    storage = {"old_versions_days": 90, "scratch_days": 3, "backup": True}
    dev.configure({"storage": storage, "flow_logs_days": 30})
    changed = dev.up()
    assert changed.names("update") == ["dev-oregon-lifecycle"]
    assert len(changed.changes) == 1
    s3 = cloud.client("s3", REGION)
    assert rules(s3)["old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert rules(s3)["scratch"]["Expiration"] == {"Days": 3}
    assert rules(s3)["flow-logs"]["Expiration"] == {"Days": 30}
    s3.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Suspended"})
    s3.put_bucket_policy(Bucket=NAME, Policy=json.dumps({"Version": "2012-10-17", "Statement": []}))
    drift = dev.refresh("--preview-only", "--expect-no-changes", check=False)
    assert drift.code
    dev.refresh()
    assert dev.up().names("update") == ["dev-oregon-policy", "dev-oregon-versioning"]
    dev.nothing_to_do()


@rig("pulumi")
def test_an_unprotected_one_goes_with_what_is_in_it(engine: Start, cloud: Cloud) -> None:
    dev = engine(program)
    dev.up()
    put(cloud.client("s3", REGION), b"old", b"new")
    dev.destroy()
    assert there(cloud) == []


def fails(dev: Engine, command: str, *flags: str) -> str:
    with pytest.raises(EngineError) as caught:
        getattr(dev, command)(*flags)
    return caught.value.result.stdout + caught.value.result.stderr


@rig("pulumi")
def test_a_protected_one_is_neither_replaced_nor_removed(engine: Start, cloud: Cloud) -> None:
    prod = engine(program, config={"protect": True})
    prod.up()
    put(cloud.client("s3", REGION), b"data")
    assert "protect" in fails(prod, "destroy")
    prod.configure({"gone": True})
    assert "protect" in fails(prod, "up")
    # what would need another bucket is refused as well
    prod.configure({"gone": None, "environment": "other"})
    assert "protect" in fails(prod, "up")
    assert there(cloud) == [NAME]
    prod.configure({"environment": None})
    prod.nothing_to_do()


@rig("pulumi")
def test_a_protected_one_outlives_its_stack_and_stays_closed(engine: Start, cloud: Cloud) -> None:
    """Somebody takes the protection off by hand: the state forgets it, the cloud keeps it."""
    prod = engine(program, config={"protect": True})
    prod.up()
    s3 = cloud.client("s3", REGION)
    put(s3, b"data")
    prod.run("state", "unprotect", "--all", "--yes")
    prod.destroy()
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=NAME)["Contents"]] == ["objects/1"]
    assert s3.get_public_access_block(Bucket=NAME)["PublicAccessBlockConfiguration"][
        "BlockPublicPolicy"
    ]
    assert "TlsOnly" in s3.get_bucket_policy(Bucket=NAME)["Policy"]
    assert s3.get_bucket_versioning(Bucket=NAME)["Status"] == "Enabled"


@rig("pulumi")
def test_protection_is_turned_off_by_an_up_of_its_own(engine: Start, cloud: Cloud) -> None:
    """`force_destroy` counts from the last `up` on: `destroy` alone would find it full."""
    prod = engine(program, config={"protect": True})
    prod.up()
    put(cloud.client("s3", REGION), b"data")
    prod.configure({"protect": False})
    assert prod.up().names("update") == ["dev-oregon"]
    prod.destroy()
    assert there(cloud) == []
