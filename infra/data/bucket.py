"""A site's S3 bucket: named so that nobody else can have the name, versioned, and closed.

Knows one bucket, who may write flow logs into it, and when what is old goes. Does not know what
the store puts there, nor who may read it (`infra/access`, job roles).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.data.closed import close, keep_versions, tls_only
from infra.data.naming import bucket_name
from infra.settings.types import Storage

UNFINISHED_DAYS = 7
FLOW_LOGS = "flow-logs/"
SCRATCH = "scratch/"
Rule = aws.s3.BucketLifecycleConfigurationRuleArgs
Filter = aws.s3.BucketLifecycleConfigurationRuleFilterArgs
Expiration = aws.s3.BucketLifecycleConfigurationRuleExpirationArgs
Old = aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs


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
    flow_logs_days: int = 90
    """How long flow logs are kept."""


def bucket_policy(arn: str, account: str, region: str) -> dict[str, Any]:
    """Return the bucket's policy: nothing without TLS, and this account's flow logs.

    The statements for flow logs stand whether a site has flow logs or not: where they lack, AWS
    adds its own behind our back as soon as a flow log is made.
    """
    statements = [tls_only(arn), *_flow_logs(arn, account, region)]
    return {"Version": "2012-10-17", "Statement": statements}


def _flow_logs(arn: str, account: str, region: str) -> list[dict[str, Any]]:
    partition = arn.split(":")[1]
    delivery = {"Service": "delivery.logs.amazonaws.com"}
    source = {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": f"arn:{partition}:logs:{region}:{account}:*"},
    }
    owned = {**source["StringEquals"], "s3:x-amz-acl": "bucket-owner-full-control"}
    return [
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
    ]


def lifecycle(settings: Storage, flow_logs_days: int) -> list[Rule]:
    """Return the rules: unfinished uploads, old versions, scratch, flow logs."""
    everything = Filter(prefix="")
    unfinished = aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
        days_after_initiation=UNFINISHED_DAYS
    )
    return [
        Rule(
            id="unfinished-uploads",
            status="Enabled",
            filter=everything,
            abort_incomplete_multipart_upload=unfinished,
        ),
        Rule(
            id="old-versions",
            status="Enabled",
            filter=everything,
            noncurrent_version_expiration=Old(noncurrent_days=settings.old_versions_days),
            # a deleted object leaves a marker; with its versions gone it is only something to list
            expiration=Expiration(expired_object_delete_marker=True),
        ),
        _by_age("scratch", SCRATCH, settings.scratch_days),
        _by_age("flow-logs", FLOW_LOGS, flow_logs_days),
    ]


def _by_age(name: str, prefix: str, days: int) -> Rule:
    """Return the rule of what is only worth keeping for a while: no old versions of it either."""
    return Rule(
        id=name,
        status="Enabled",
        filter=Filter(prefix=prefix),
        expiration=Expiration(days=days),
        noncurrent_version_expiration=Old(noncurrent_days=1),
    )


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
        # S3's own keys: no key policy between sites and labs, and no charge by call
        policy = close(
            name, bucket, lambda arn: bucket_policy(arn, args.account, args.region), keep
        )
        _tidy(name, bucket, args, keep)
        self.name = bucket.bucket
        self.arn = bucket.arn
        self.flow_logs = pulumi.Output.all(bucket.arn, policy.id).apply(lambda known: known[0])
        self.register_outputs({"name": self.name, "arn": self.arn})


def _tidy(name: str, bucket: aws.s3.Bucket, args: BucketArgs, keep: pulumi.ResourceOptions) -> None:
    versions = keep_versions(name, bucket, keep)
    aws.s3.BucketLifecycleConfiguration(
        f"{name}-lifecycle",
        bucket=bucket.bucket,
        rules=lifecycle(args.settings, args.flow_logs_days),
        # rules for old versions say nothing of a bucket that has none yet
        opts=keep.merge(pulumi.ResourceOptions(depends_on=[versions])),
    )
