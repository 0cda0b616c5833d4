"""Where the engine keeps the state of all stacks: a bucket of its own, with a key of its own.

Nothing in AWS is worth more to an administrator: without it, no stack can be changed or taken down.
So bucket and key are kept when they leave the program. Knows no environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.account.settings import Account
from infra.data.closed import close, keep_versions, tls_only

OLD_VERSIONS_DAYS = 365
UNFINISHED_DAYS = 7
ALIAS = "alias/ems-state"
"""Fixed, since stacks name it: `--secrets-provider awskms://alias/ems-state?region=…`."""


@dataclass(frozen=True)
class State:
    """The bucket and its key."""

    bucket: pulumi.Output[str]
    bucket_arn: pulumi.Output[str]
    key_arn: pulumi.Output[str]
    login: pulumi.Output[str]
    """What `pulumi login` takes."""
    secrets_provider: pulumi.Output[str]
    """What `pulumi stack init --secrets-provider` takes."""


def bucket_name(account: str, region: str) -> str:
    """Return the bucket's name, in the account's own namespace: nobody else can have it."""
    return f"ems-state-{account}-{region}-an"


def bucket_policy(arn: str) -> dict[str, Any]:
    """Return what nobody may do: come without TLS."""
    return {"Version": "2012-10-17", "Statement": [tls_only(arn)]}


def make_state(settings: Account, provider: aws.Provider) -> State:
    """Make the bucket, closed and versioned, and the key."""
    keep = pulumi.ResourceOptions(
        provider=provider, protect=settings.protect, retain_on_delete=settings.protect
    )
    key = _key(keep)
    bucket = aws.s3.Bucket(
        "state",
        bucket=bucket_name(settings.account, settings.region),
        bucket_namespace="account-regional",
        # S3 deletes empty buckets only, and `destroy` reads this from the last `up`
        force_destroy=not settings.protect,
        opts=keep,
    )
    close("state", bucket, bucket_policy, keep, key.arn)
    _keep_old(bucket, keep)
    return State(
        bucket=bucket.bucket,
        bucket_arn=bucket.arn,
        key_arn=key.arn,
        login=pulumi.Output.concat("s3://", bucket.bucket, f"?region={settings.region}"),
        secrets_provider=pulumi.Output.from_input(f"awskms://{ALIAS}?region={settings.region}"),
    )


def _key(keep: pulumi.ResourceOptions) -> aws.kms.Key:
    key = aws.kms.Key(
        "state",
        description="State of EMS's stacks, and the secrets in it",
        enable_key_rotation=True,
        deletion_window_in_days=30,
        opts=keep,
    )
    aws.kms.Alias("state", name=ALIAS, target_key_id=key.key_id, opts=keep)
    return key


def _keep_old(bucket: aws.s3.Bucket, keep: pulumi.ResourceOptions) -> None:
    versioned = keep_versions("state", bucket, keep)
    aws.s3.BucketLifecycleConfiguration(
        "state-lifecycle",
        bucket=bucket.bucket,
        rules=[
            {
                "id": "old-versions",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "noncurrent_version_expiration": {"noncurrent_days": OLD_VERSIONS_DAYS},
                "abort_incomplete_multipart_upload": {"days_after_initiation": UNFINISHED_DAYS},
            }
        ],
        opts=keep.merge(pulumi.ResourceOptions(depends_on=[versioned])),
    )
