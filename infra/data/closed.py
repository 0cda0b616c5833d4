"""What every bucket here has, whatever it holds: no way in for the public, TLS alone, versions.

Knows what keeps a bucket closed. Does not know what it is called, nor when what is old goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws

Policy = Callable[[str], dict[str, Any]]
"""A bucket's ARN → its policy."""


def tls_only(arn: str) -> dict[str, Any]:
    """Return the statement that turns away whoever comes without TLS."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def close(
    name: str,
    bucket: aws.s3.Bucket,
    policy: Policy,
    keep: pulumi.ResourceOptions,
    key: pulumi.Input[str] | None = None,
) -> aws.s3.BucketPolicy:
    """Close a bucket, encrypt it (by S3's own keys where no KMS key is given), return its policy.

    `keep` are the bucket's own options: what closes it is to live as long as it does.
    """
    closed = _shut(name, bucket, keep)
    aws.s3.BucketOwnershipControls(
        f"{name}-ownership",
        bucket=bucket.bucket,
        rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
        opts=keep,
    )
    _encrypt(name, bucket, keep, key)
    return aws.s3.BucketPolicy(
        f"{name}-policy",
        bucket=bucket.bucket,
        policy=bucket.arn.apply(lambda arn: json.dumps(policy(arn))),
        # two changes of access at once make S3 answer OperationAborted
        opts=keep.merge(pulumi.ResourceOptions(depends_on=[closed])),
    )


def keep_versions(
    name: str, bucket: aws.s3.Bucket, keep: pulumi.ResourceOptions
) -> aws.s3.BucketVersioning:
    """Keep what is overwritten and deleted; how long is for the bucket's life cycle to say."""
    return aws.s3.BucketVersioning(
        f"{name}-versioning",
        bucket=bucket.bucket,
        versioning_configuration={"status": "Enabled"},
        opts=keep,
    )


def _shut(
    name: str, bucket: aws.s3.Bucket, keep: pulumi.ResourceOptions
) -> aws.s3.BucketPublicAccessBlock:
    return aws.s3.BucketPublicAccessBlock(
        f"{name}-public-access",
        bucket=bucket.bucket,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=keep,
    )


def _encrypt(
    name: str, bucket: aws.s3.Bucket, keep: pulumi.ResourceOptions, key: pulumi.Input[str] | None
) -> None:
    default = (
        aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="AES256" if key is None else "aws:kms", kms_master_key_id=key
        )
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-encryption",
        bucket=bucket.bucket,
        rules=[
            aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                apply_server_side_encryption_by_default=default,
                # fewer calls of KMS; without KMS there are none to spare
                bucket_key_enabled=None if key is None else True,
                # keys that a caller brings are what S3 blocks by itself in new buckets; said here,
                # or it would look like drift
                blocked_encryption_types=["SSE-C"],
            )
        ],
        opts=keep,
    )
