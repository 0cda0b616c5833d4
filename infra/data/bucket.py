"""A site's S3 bucket: named so that nobody else can have the name, versioned, and closed.

Knows one bucket, who may write flow logs into it, and when what is old goes. Does not know what
the store puts there, nor who may read it (`infra/access`, job roles).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from ems.errors import UsageError
from infra.settings.types import Storage

LONGEST = 63
"""What S3 allows for a bucket's name, suffix included."""
UNFINISHED_DAYS = 7
FLOW_LOGS = "flow-logs/"
SCRATCH = "scratch/"


@dataclass(frozen=True)
class BucketArgs:
    """One site's bucket."""

    settings: Storage
    environment: str
    site: str
    account: str
    region: str
    protect: bool
    """The bucket survives; otherwise `destroy` empties it, which holds from the first `up` on."""


def bucket_name(environment: str, site: str, account: str, region: str) -> str:
    """Return the name of a site's bucket; UsageError where it gets longer than S3 allows.

    The suffix puts it into the account's own namespace in that region: a name that follows from a
    rule and lies in the global namespace belongs to whoever took it first. A test pins it: another
    name would be another, empty bucket.
    """
    suffix = f"-{account}-{region}-an"
    prefix = f"ems-{environment}-{site}"
    if len(prefix + suffix) > LONGEST:
        room = LONGEST - len(f"ems--{suffix}")
        raise UsageError(
            f"site {site!r} of environment {environment!r}",
            f"its bucket's name would have {len(prefix + suffix)} characters, S3 allows {LONGEST} "
            f"(in {region}: {room} for both names together, these have "
            f"{len(environment) + len(site)})",
            "a shorter name of the site",
        )
    return prefix + suffix


def bucket_policy(arn: str, account: str, region: str) -> dict[str, Any]:
    """Return the bucket's policy: nothing without TLS, and this account's flow logs.

    The statements for flow logs stand whether a site has flow logs or not: where they lack, AWS
    adds its own behind our back as soon as a flow log is made.
    """
    partition = arn.split(":")[1]
    delivery = {"Service": "delivery.logs.amazonaws.com"}
    source = {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": f"arn:{partition}:logs:{region}:{account}:*"},
    }
    owned = {**source["StringEquals"], "s3:x-amz-acl": "bucket-owner-full-control"}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            {
                "Sid": "FlowLogsLook",
                "Effect": "Allow",
                "Principal": delivery,
                "Action": ["s3:GetBucketAcl", "s3:ListBucket"],
                "Resource": arn,
                "Condition": source,
            },
            {
                "Sid": "FlowLogsWrite",
                "Effect": "Allow",
                "Principal": delivery,
                "Action": "s3:PutObject",
                # below it `<account>/` or `aws-account-id=<account>/`, as the flow log's form is
                "Resource": f"{arn}/{FLOW_LOGS}AWSLogs/*",
                "Condition": {**source, "StringEquals": owned},
            },
        ],
    }


def lifecycle(settings: Storage) -> list[aws.s3.BucketLifecycleConfigurationRuleArgs]:
    """Return the rules: unfinished uploads, old versions, scratch."""
    rule = aws.s3.BucketLifecycleConfigurationRuleArgs
    everything = aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="")
    old = aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs
    return [
        rule(
            id="unfinished-uploads",
            status="Enabled",
            filter=everything,
            abort_incomplete_multipart_upload=(
                aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                    days_after_initiation=UNFINISHED_DAYS
                )
            ),
        ),
        rule(
            id="old-versions",
            status="Enabled",
            filter=everything,
            noncurrent_version_expiration=old(noncurrent_days=settings.old_versions_days),
            # a deleted object leaves a marker; with its versions gone it is only something to list
            expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(
                expired_object_delete_marker=True
            ),
        ),
        rule(
            id="scratch",
            status="Enabled",
            filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=SCRATCH),
            expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(
                days=settings.scratch_days
            ),
            noncurrent_version_expiration=old(noncurrent_days=1),
        ),
    ]


class Bucket(pulumi.ComponentResource):
    """A site's bucket with everything that keeps it closed and tidy."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    flow_logs: pulumi.Output[str]
    """The ARN for who writes flow logs: known only when the policy that lets them in is there."""

    def __init__(
        self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:data:Bucket", name, None, opts)
        # The guards are kept as the bucket is: the engine takes away what hangs on a protected
        # thing before it gets to that, and a bucket that outlives its stack is to stay closed.
        keep = pulumi.ResourceOptions(
            parent=self, protect=args.protect, retain_on_delete=args.protect
        )
        bucket = aws.s3.Bucket(
            name,
            bucket=bucket_name(args.environment, args.site, args.account, args.region),
            bucket_namespace="account-regional",
            # S3 deletes empty buckets only, and `destroy` reads this from the last `up`
            force_destroy=not args.protect,
            opts=keep,
        )
        policy = _close(name, bucket, args, keep)
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.bucket,
            rules=lifecycle(args.settings),
            # rules for old versions say nothing of a bucket that has none yet
            opts=keep.merge(pulumi.ResourceOptions(depends_on=[_version(name, bucket, keep)])),
        )
        self.name = bucket.bucket
        self.arn = bucket.arn
        self.flow_logs = pulumi.Output.all(bucket.arn, policy.id).apply(lambda known: known[0])
        self.register_outputs({"name": self.name, "arn": self.arn})


def _close(
    name: str, bucket: aws.s3.Bucket, args: BucketArgs, keep: pulumi.ResourceOptions
) -> aws.s3.BucketPolicy:
    closed = aws.s3.BucketPublicAccessBlock(
        f"{name}-public-access",
        bucket=bucket.bucket,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=keep,
    )
    aws.s3.BucketOwnershipControls(
        f"{name}-ownership",
        bucket=bucket.bucket,
        rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
        opts=keep,
    )
    # S3's own keys: no key policy between sites and labs, and no charge by call. A bucket key would
    # do nothing here, it is for KMS. Keys that a caller brings are what S3 blocks by itself in new
    # buckets; said here, or it would look like drift.
    encryption = aws.s3.BucketServerSideEncryptionConfigurationRuleArgs
    by_default = (
        aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="AES256"
        )
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-encryption",
        bucket=bucket.bucket,
        rules=[
            encryption(
                apply_server_side_encryption_by_default=by_default,
                blocked_encryption_types=["SSE-C"],
            )
        ],
        opts=keep,
    )
    return aws.s3.BucketPolicy(
        f"{name}-policy",
        bucket=bucket.bucket,
        policy=bucket.arn.apply(
            lambda arn: json.dumps(bucket_policy(arn, args.account, args.region))
        ),
        # two changes of access at once make S3 answer OperationAborted
        opts=keep.merge(pulumi.ResourceOptions(depends_on=[closed])),
    )


def _version(
    name: str, bucket: aws.s3.Bucket, keep: pulumi.ResourceOptions
) -> aws.s3.BucketVersioning:
    return aws.s3.BucketVersioning(
        f"{name}-versioning",
        bucket=bucket.bucket,
        versioning_configuration={"status": "Enabled"},
        opts=keep,
    )
