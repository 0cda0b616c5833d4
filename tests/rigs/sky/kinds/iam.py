"""IAM roles, policies, what joins them, and instance profiles.

moto takes policies of any length, and any number of them on a role; AWS does not, so these limits
stand here: docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html.
"""

from __future__ import annotations

import json
from typing import Any

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import tag_changes, tag_list, tag_map

_MANAGED, _INLINE, _TRUST, _ATTACHED = 6144, 10_240, 2048, 10


class LimitExceeded(Exception):
    """AWS's answer to a policy that is too long, or to one too many."""


def _within(limit: int, policy: str, what: str) -> str:
    length = sum(not each.isspace() for each in policy)
    if length > limit:
        raise LimitExceeded(f"Cannot exceed quota for {what}: {limit} ({length})")
    return policy


def _document(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# -------------------------------------------------------------------------------------------- roles
def _role_create(call: Call, props: Props) -> str:
    given: Props = {"MaxSessionDuration": props.get("maxSessionDuration", 3600)}
    for ours, aws in (("description", "Description"), ("path", "Path")):
        if props.get(ours):
            given[aws] = props[ours]
    if props.get("permissionsBoundary"):
        given["PermissionsBoundary"] = props["permissionsBoundary"]
    trust = _within(_TRUST, props["assumeRolePolicy"], "ACLSizePerRole")
    call.iam.create_role(
        RoleName=props["name"],
        AssumeRolePolicyDocument=trust,
        Tags=tag_list(props.get("tags")),
        **given,
    )
    return call.made(props["name"])


def _role_read(call: Call, name: str, props: Props) -> Props | None:
    role = call.iam.get_role(RoleName=name)["Role"]
    return {
        "name": name,
        "arn": role["Arn"],
        "path": role["Path"],
        "description": role.get("Description", ""),
        "maxSessionDuration": role["MaxSessionDuration"],
        "assumeRolePolicy": _document(role["AssumeRolePolicyDocument"]),
        "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "uniqueId": role["RoleId"],
        "createDate": role["CreateDate"].isoformat(),
        "tags": tag_map(role.get("Tags", [])),
    }


def _role_update(call: Call, name: str, old: Props, new: Props) -> None:
    trust = _within(_TRUST, new["assumeRolePolicy"], "ACLSizePerRole")
    call.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    call.iam.update_role(
        RoleName=name,
        Description=new.get("description", ""),
        MaxSessionDuration=new.get("maxSessionDuration", 3600),
    )
    boundary = new.get("permissionsBoundary")
    if boundary:
        call.iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
    elif old.get("permissionsBoundary"):
        call.iam.delete_role_permissions_boundary(RoleName=name)
    wanted, gone = tag_changes(old, new)
    if gone:
        call.iam.untag_role(RoleName=name, TagKeys=gone)
    if wanted:
        call.iam.tag_role(RoleName=name, Tags=tag_list(wanted))


# ----------------------------------------------------------------------------------------- policies
def _policy_create(call: Call, props: Props) -> str:
    made = call.iam.create_policy(
        PolicyName=props["name"],
        Path=props.get("path", "/"),
        Description=props.get("description", ""),
        PolicyDocument=_within(_MANAGED, props["policy"], "PolicySize"),
        Tags=tag_list(props.get("tags")),
    )
    return call.made(made["Policy"]["Arn"])


def _policy_read(call: Call, arn: str, props: Props) -> Props | None:
    policy = call.iam.get_policy(PolicyArn=arn)["Policy"]
    version = policy["DefaultVersionId"]
    got = call.iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    return {
        "arn": arn,
        "name": policy["PolicyName"],
        "path": policy["Path"],
        "description": policy.get("Description", ""),
        "policy": _document(got["Document"]),
        "policyId": policy["PolicyId"],
        "attachmentCount": policy["AttachmentCount"],
        "tags": tag_map(policy.get("Tags", [])),
    }


def _policy_update(call: Call, arn: str, old: Props, new: Props) -> None:
    if json.loads(old["policy"]) != json.loads(new["policy"]):
        _forget_oldest(call, arn)
        policy = _within(_MANAGED, new["policy"], "PolicySize")
        call.iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy, SetAsDefault=True)
    wanted, gone = tag_changes(old, new)
    if gone:
        call.iam.untag_policy(PolicyArn=arn, TagKeys=gone)
    if wanted:
        call.iam.tag_policy(PolicyArn=arn, Tags=tag_list(wanted))


def _forget_oldest(call: Call, arn: str) -> None:
    """A policy has five versions at most; the provider makes room for the next one."""
    versions = [v for v in _versions(call, arn) if not v["IsDefaultVersion"]]
    if len(versions) >= 4:
        oldest = min(versions, key=lambda each: each["CreateDate"])
        call.iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])


def _versions(call: Call, arn: str) -> list[Props]:
    return call.iam.list_policy_versions(PolicyArn=arn)["Versions"]


def _policy_delete(call: Call, arn: str, props: Props) -> None:
    for version in _versions(call, arn):
        if not version["IsDefaultVersion"]:
            call.iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    call.iam.delete_policy(PolicyArn=arn)


def _inline_put(call: Call, props: Props) -> str:
    role, name, policy = props["role"], props["name"], props["policy"]
    _within(_INLINE, policy, "policy size of the role")
    call.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy)
    return call.made(f"{role}:{name}")


def _inline_update(call: Call, id_: str, old: Props, new: Props) -> None:
    _inline_put(call, new)


def _inline_read(call: Call, id_: str, props: Props) -> Props | None:
    role, name = id_.split(":", 1)
    got = call.iam.get_role_policy(RoleName=role, PolicyName=name)
    return {"role": role, "name": name, "policy": _document(got["PolicyDocument"])}


def _inline_delete(call: Call, id_: str, props: Props) -> None:
    role, name = id_.split(":", 1)
    call.iam.delete_role_policy(RoleName=role, PolicyName=name)


def _attach(call: Call, props: Props) -> str:
    role, arn = props["role"], props["policyArn"]
    attached = call.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    if len(attached) >= _ATTACHED:
        raise LimitExceeded(f"Cannot exceed quota for PoliciesPerRole: {_ATTACHED}")
    call.iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    return call.made(f"{role}/{arn}")


def _attached(call: Call, id_: str, props: Props) -> Props | None:
    role, arn = id_.split("/", 1)
    found = call.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    known = any(each["PolicyArn"] == arn for each in found)
    return {"role": role, "policyArn": arn} if known else None


def _detach(call: Call, id_: str, props: Props) -> None:
    role, arn = id_.split("/", 1)
    call.iam.detach_role_policy(RoleName=role, PolicyArn=arn)


# -------------------------------------------------------------------------------- instance profiles
def _profile_create(call: Call, props: Props) -> str:
    name = props["name"]
    call.iam.create_instance_profile(
        InstanceProfileName=name,
        Path=props.get("path", "/"),
        Tags=tag_list(props.get("tags")),
    )
    call.made(name)
    if props.get("role"):
        call.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=props["role"])
    return name


def _profile_read(call: Call, name: str, props: Props) -> Props | None:
    got = call.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    return {
        "name": name,
        "arn": got["Arn"],
        "path": got["Path"],
        "role": got["Roles"][0]["RoleName"] if got["Roles"] else None,
        "uniqueId": got["InstanceProfileId"],
        "createDate": got["CreateDate"].isoformat(),
        "tags": tag_map(got.get("Tags", [])),
    }


def _profile_update(call: Call, name: str, old: Props, new: Props) -> None:
    if old.get("role") != new.get("role"):
        _profile_empty(call, name, old)
        if new.get("role"):
            call.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=new["role"])
    wanted, gone = tag_changes(old, new)
    if gone:
        call.iam.untag_instance_profile(InstanceProfileName=name, TagKeys=gone)
    if wanted:
        call.iam.tag_instance_profile(InstanceProfileName=name, Tags=tag_list(wanted))


def _profile_empty(call: Call, name: str, props: Props) -> None:
    if props.get("role"):
        call.iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=props["role"])


def _profile_delete(call: Call, name: str, props: Props) -> None:
    _profile_empty(call, name, _profile_read(call, name, props) or {})
    call.iam.delete_instance_profile(InstanceProfileName=name)


KINDS = [
    Kind(
        "aws:iam/role:Role",
        create=_role_create,
        read=_role_read,
        delete=lambda call, name, props: call.iam.delete_role(RoleName=name),
        update=_role_update,
        replaces=dict.fromkeys(("name", "namePrefix", "path"), "iam/role.go"),
        name="name",
        name_max=64,
        computed=("arn", "createDate", "uniqueId"),
        defaults={"maxSessionDuration": 3600, "path": "/", "forceDetachPolicies": False},
        documents=("assumeRolePolicy",),
    ),
    Kind(
        "aws:iam/policy:Policy",
        create=_policy_create,
        read=_policy_read,
        delete=_policy_delete,
        update=_policy_update,
        replaces=dict.fromkeys(("description", "name", "namePrefix", "path"), "iam/policy.go"),
        name="name",
        name_max=128,
        computed=("arn", "policyId", "attachmentCount"),
        defaults={"path": "/"},
        documents=("policy",),
    ),
    Kind(
        "aws:iam/rolePolicy:RolePolicy",
        create=_inline_put,
        read=_inline_read,
        delete=_inline_delete,
        update=_inline_update,
        replaces=dict.fromkeys(("name", "namePrefix", "role"), "iam/role_policy.go"),
        name="name",
        name_max=128,
        documents=("policy",),
    ),
    Kind(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        create=_attach,
        read=_attached,
        delete=_detach,
        replaces=dict.fromkeys(("role", "policyArn"), "iam/role_policy_attachment.go"),
    ),
    Kind(
        "aws:iam/instanceProfile:InstanceProfile",
        create=_profile_create,
        read=_profile_read,
        delete=_profile_delete,
        update=_profile_update,
        replaces=dict.fromkeys(("name", "namePrefix", "path"), "iam/instance_profile.go"),
        name="name",
        name_max=128,
        computed=("arn", "createDate", "uniqueId"),
        defaults={"path": "/"},
    ),
]
