"""S3 buckets and their settings, each of which is a resource of its own."""

from __future__ import annotations

from typing import Any

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import lower, tag_list, tag_map, upper


def _bucket_create(call: Call, props: Props) -> str:
    name = props["bucket"]
    place: Props = {}
    if call.region != "us-east-1":
        place["CreateBucketConfiguration"] = {"LocationConstraint": call.region}
    if props.get("bucketNamespace"):
        place["BucketNamespace"] = props["bucketNamespace"]
    call.s3.create_bucket(Bucket=name, **place)
    call.made(name)
    _bucket_tag(call, name, props)
    return name


def _bucket_tag(call: Call, name: str, props: Props) -> None:
    if props.get("tags"):
        tags = {"TagSet": tag_list(props["tags"])}
        call.s3.put_bucket_tagging(Bucket=name, Tagging=tags)
    else:
        call.s3.delete_bucket_tagging(Bucket=name)


def _bucket_read(call: Call, name: str, props: Props) -> Props | None:
    region = call.s3.head_bucket(Bucket=name)["BucketRegion"]
    return {
        "bucket": name,
        "arn": f"arn:aws:s3:::{name}",
        "bucketDomainName": f"{name}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
        "bucketRegion": region,
        "tags": _bucket_tags(call, name),
    }


def _bucket_tags(call: Call, name: str) -> dict[str, str]:
    try:
        return tag_map(call.s3.get_bucket_tagging(Bucket=name)["TagSet"])
    except call.s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchTagSet":
            return {}
        raise


def _bucket_delete(call: Call, name: str, props: Props) -> None:
    if props.get("forceDestroy"):
        for page in call.s3.get_paginator("list_object_versions").paginate(Bucket=name):
            for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                call.s3.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    call.s3.delete_bucket(Bucket=name)


BUCKET = Kind(
    "aws:s3/bucket:Bucket",
    create=_bucket_create,
    read=_bucket_read,
    update=lambda call, id_, old, new: _bucket_tag(call, id_, new),
    delete=_bucket_delete,
    name="bucket",
    name_max=63,
    # bucketNamespace and objectLockEnabled: no version of the file that has them was to be had
    replaces={"bucket": "s3/bucket.go", "bucketPrefix": "s3/bucket.go"},
    defaults={"forceDestroy": False},
)


def _setting(token: str, source: str, put: Any, read: Any, delete: Any, **more: Any) -> Kind:
    """Return a type that is one setting of a bucket: its id is the bucket's name."""

    def create(call: Call, props: Props) -> str:
        put(call, props["bucket"], props)
        return call.made(props["bucket"])

    def found(call: Call, id_: str, props: Props) -> Props | None:
        return {"bucket": id_, **read(call, id_, props)}

    return Kind(
        token,
        create=create,
        read=found,
        update=lambda call, id_, old, new: put(call, id_, new),
        delete=delete,
        replaces={"bucket": source},
        **more,
    )


VERSIONING = _setting(
    "aws:s3/bucketVersioning:BucketVersioning",
    "s3/bucket_versioning.go",
    lambda call, name, props: call.s3.put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": props["versioningConfiguration"]["status"]}
    ),
    lambda call, name, props: {
        "versioningConfiguration": {
            "status": call.s3.get_bucket_versioning(Bucket=name).get("Status", "Disabled")
        }
    },
    # as the provider does: a bucket that was versioned once can only be suspended
    lambda call, name, props: call.s3.put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": "Suspended"}
    ),
)

OWNERSHIP = _setting(
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
    "s3/bucket_ownership_controls.go",
    lambda call, name, props: call.s3.put_bucket_ownership_controls(
        Bucket=name,
        OwnershipControls={"Rules": [{"ObjectOwnership": props["rule"]["objectOwnership"]}]},
    ),
    lambda call, name, props: {
        "rule": {
            "objectOwnership": call.s3.get_bucket_ownership_controls(Bucket=name)[
                "OwnershipControls"
            ]["Rules"][0]["ObjectOwnership"]
        }
    },
    lambda call, name, props: call.s3.delete_bucket_ownership_controls(Bucket=name),
)

_BLOCKS = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}


def _blocks(call: Call, name: str, props: Props) -> Props:
    said = call.s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    return {ours: said[theirs] for ours, theirs in _BLOCKS.items()}


PUBLIC_ACCESS = _setting(
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "s3/bucket_public_access_block.go",
    lambda call, name, props: call.s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            theirs: bool(props.get(ours)) for ours, theirs in _BLOCKS.items()
        },
    ),
    _blocks,
    lambda call, name, props: call.s3.delete_public_access_block(Bucket=name),
    defaults=dict.fromkeys(_BLOCKS, False),
)

POLICY = _setting(
    "aws:s3/bucketPolicy:BucketPolicy",
    "s3/bucket_policy.go",
    lambda call, name, props: call.s3.put_bucket_policy(Bucket=name, Policy=props["policy"]),
    lambda call, name, props: {"policy": call.s3.get_bucket_policy(Bucket=name)["Policy"]},
    lambda call, name, props: call.s3.delete_bucket_policy(Bucket=name),
    documents=("policy",),
)


def _encrypt(call: Call, name: str, props: Props) -> None:
    rules = []
    for rule in props["rules"]:
        default = rule.get("applyServerSideEncryptionByDefault") or {}
        said: Props = {"SSEAlgorithm": default.get("sseAlgorithm", "AES256")}
        if default.get("kmsMasterKeyId"):
            said["KMSMasterKeyID"] = default["kmsMasterKeyId"]
        rules.append(
            {
                "ApplyServerSideEncryptionByDefault": said,
                "BucketKeyEnabled": bool(rule.get("bucketKeyEnabled")),
            }
        )
    call.s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})


def _encryption(call: Call, name: str, props: Props) -> Props:
    """moto forgets which encryption by the caller is blocked: as the state says."""
    said = call.s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    rules: list[Props] = []
    for number, rule in enumerate(said):
        default = rule["ApplyServerSideEncryptionByDefault"]
        algorithm: Props = {"sseAlgorithm": default["SSEAlgorithm"]}
        if default.get("KMSMasterKeyID"):
            algorithm["kmsMasterKeyId"] = default["KMSMasterKeyID"]
        found: Props = {"applyServerSideEncryptionByDefault": algorithm}
        if rule.get("BucketKeyEnabled"):
            found["bucketKeyEnabled"] = True
        before = (props.get("rules") or [])[number : number + 1]
        if before and before[0].get("blockedEncryptionTypes"):
            found["blockedEncryptionTypes"] = before[0]["blockedEncryptionTypes"]
        rules.append(found)
    return {"rules": rules}


ENCRYPTION = _setting(
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "s3/bucket_server_side_encryption_configuration.go",
    _encrypt,
    _encryption,
    lambda call, name, props: call.s3.delete_bucket_encryption(Bucket=name),
    sets=("rules",),
)


def _rule_to_s3(rule: Props) -> Props:
    said = {k: v for k, v in upper(rule).items() if k != "Id"}
    return {**said, "ID": rule["id"]}


def _rule_from_s3(rule: Props) -> Props:
    return {**lower({k: v for k, v in rule.items() if k != "ID"}), "id": rule["ID"]}


LIFECYCLE = _setting(
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "s3/bucket_lifecycle_configuration.go",
    lambda call, name, props: call.s3.put_bucket_lifecycle_configuration(
        Bucket=name,
        LifecycleConfiguration={"Rules": [_rule_to_s3(rule) for rule in props["rules"]]},
    ),
    lambda call, name, props: {
        "rules": [
            _rule_from_s3(rule)
            for rule in call.s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        ]
    },
    lambda call, name, props: call.s3.delete_bucket_lifecycle(Bucket=name),
)


KINDS = [BUCKET, VERSIONING, OWNERSHIP, PUBLIC_ACCESS, POLICY, ENCRYPTION, LIFECYCLE]
