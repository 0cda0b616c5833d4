"""Security groups and their rules.

As the real provider does, a new group's own rule that lets everything out is revoked at once, and
the default group of a VPC is taken over emptied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.described import arn, find, given, made, retag, tags, told

_ALL_OUT = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
_WAYS = {"ingress": "IpPermissions", "egress": "IpPermissionsEgress"}


# ------------------------------------------------------------------------------------------- groups
def _group(call: Call, id_: str) -> Props | None:
    return find(call, "describe_security_groups", "GroupIds", "SecurityGroups", id_)


def _create(call: Call, props: Props) -> str:
    asked = given(props, name="GroupName", description="Description", vpcId="VpcId")
    id_ = made(call, call.ec2.create_security_group(**asked)["GroupId"], props)
    call.ec2.revoke_security_group_egress(GroupId=id_, IpPermissions=[_ALL_OUT])
    for way in _WAYS:
        _permit(call, id_, way, props.get(way) or ())
    return id_


def _take_over(call: Call, props: Props) -> str:
    inside = [
        {"Name": "vpc-id", "Values": [props["vpcId"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    group = call.ec2.describe_security_groups(Filters=inside)["SecurityGroups"][0]
    id_ = made(call, group["GroupId"], props)
    for way, key in _WAYS.items():
        _revoke(call, id_, way, group[key])
        _permit(call, id_, way, props.get(way) or ())
    return id_


def _read(call: Call, id_: str, props: Props) -> Props | None:
    group = _group(call, id_)
    if group is None:
        return None
    # rules that are resources of their own are not told here: only the ways that the program gave
    blocks = {
        way: [block for permission in group[key] for block in _blocks(permission)]
        for way, key in _WAYS.items()
        if way in props
    }
    return {
        **told(group, name="GroupName", description="Description", vpcId="VpcId"),
        "arn": arn(call, "security-group", id_),
        "ownerId": call.account,
        **blocks,
        **tags(group),
    }


def _update(call: Call, id_: str, old: Props, new: Props) -> None:
    retag(call, id_, old, new)
    group = _group(call, id_)
    for way, key in _WAYS.items():
        if group and way in new and _sorted(old.get(way)) != _sorted(new[way]):
            _revoke(call, id_, way, group[key])
            _permit(call, id_, way, new[way])


def _sorted(blocks: Iterable[Props] | None) -> list[str]:
    return sorted(repr(sorted(block.items())) for block in blocks or ())


def _permit(call: Call, id_: str, way: str, blocks: Iterable[Props]) -> None:
    permissions = [_permission(id_, block) for block in blocks]
    if permissions:
        call_ = getattr(call.ec2, f"authorize_security_group_{way}")
        call_(GroupId=id_, IpPermissions=permissions)


def _revoke(call: Call, id_: str, way: str, permissions: list[Props]) -> None:
    if permissions:
        call_ = getattr(call.ec2, f"revoke_security_group_{way}")
        call_(GroupId=id_, IpPermissions=permissions)


def _permission(group: str, block: Props) -> Props:
    groups = [*block.get("securityGroups", ()), *([group] if block.get("self") else ())]
    ports = {"FromPort": block["fromPort"], "ToPort": block["toPort"]}
    return {
        "IpProtocol": block["protocol"],
        **({} if block["protocol"] == "-1" else ports),
        "IpRanges": [{"CidrIp": cidr} for cidr in block.get("cidrBlocks", ())],
        "UserIdGroupPairs": [{"GroupId": other} for other in groups],
    }


def _blocks(permission: Props) -> list[Props]:
    block: Props = {
        "protocol": permission["IpProtocol"],
        "fromPort": permission.get("FromPort", 0),
        "toPort": permission.get("ToPort", 0),
    }
    cidrs = [item["CidrIp"] for item in permission.get("IpRanges", ())]
    groups = [item["GroupId"] for item in permission.get("UserIdGroupPairs", ())]
    if cidrs:
        block["cidrBlocks"] = cidrs
    if groups:
        block["securityGroups"] = groups
    return [block]


# -------------------------------------------------------------------------------------------- rules
_RULE = {"fromPort": "FromPort", "toPort": "ToPort", "description": "Description"}
_SOURCES = ("cidrIpv4", "referencedSecurityGroupId", "prefixListId")


def _rule_create(way: str) -> Callable[[Call, Props], str]:
    def create(call: Call, props: Props) -> str:
        note = given(props, description="Description")
        permission: dict[str, Any] = {
            "IpProtocol": props["ipProtocol"],
            **given(props, fromPort="FromPort", toPort="ToPort"),
        }
        if props.get("cidrIpv4"):
            permission["IpRanges"] = [{"CidrIp": props["cidrIpv4"], **note}]
        elif props.get("referencedSecurityGroupId"):
            source = {"GroupId": props["referencedSecurityGroupId"], **note}
            permission["UserIdGroupPairs"] = [source]
        else:
            permission["PrefixListIds"] = [{"PrefixListId": props["prefixListId"], **note}]
        authorize = getattr(call.ec2, f"authorize_security_group_{way}")
        answer = authorize(GroupId=props["securityGroupId"], IpPermissions=[permission])
        return made(call, answer["SecurityGroupRules"][0]["SecurityGroupRuleId"], props)

    return create


def _rule_read(call: Call, id_: str, props: Props) -> Props | None:
    found = call.ec2.describe_security_group_rules(SecurityGroupRuleIds=[id_])
    if not found["SecurityGroupRules"]:
        return None
    rule = found["SecurityGroupRules"][0]
    source = rule.get("ReferencedGroupInfo", {})
    ports = {} if rule["IpProtocol"] == "-1" else told(rule, fromPort="FromPort", toPort="ToPort")
    return {
        "securityGroupId": rule["GroupId"],
        "ipProtocol": rule["IpProtocol"],
        **ports,
        **told(rule, cidrIpv4="CidrIpv4", prefixListId="PrefixListId", description="Description"),
        **told(source, referencedSecurityGroupId="GroupId"),
        "securityGroupRuleId": id_,
        "arn": arn(call, "security-group-rule", id_),
        **tags(rule),
    }


def _rule_update(call: Call, id_: str, old: Props, new: Props) -> None:
    retag(call, id_, old, new)
    # a change of tags alone asks for nothing else (ec2/vpc_security_group_ingress_rule.go); of a
    # rule between groups moto tells no description
    told_ = {key: old[key] for key in ("ipProtocol", *_RULE, *_SOURCES) if key in old}
    if all(new.get(key) == value for key, value in told_.items()):
        return
    rule = {"IpProtocol": new["ipProtocol"], **given(new, **_RULE)}
    rule |= given(new, cidrIpv4="CidrIpv4", prefixListId="PrefixListId")
    rule |= given(new, referencedSecurityGroupId="ReferencedGroupId")
    change = {"SecurityGroupRuleId": id_, "SecurityGroupRule": rule}
    group = new["securityGroupId"]
    call.ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[change])


def _rule_delete(way: str) -> Callable[[Call, str, Props], None]:
    def delete(call: Call, id_: str, props: Props) -> None:
        revoke = getattr(call.ec2, f"revoke_security_group_{way}")
        revoke(GroupId=props["securityGroupId"], SecurityGroupRuleIds=[id_])

    return delete


def _rule(token: str, way: str, source: str) -> Kind:
    return Kind(
        token,
        create=_rule_create(way),
        read=_rule_read,
        update=_rule_update,
        delete=_rule_delete(way),
        # a rule's source may change in value but not in kind; none of our programs changes it
        replaces={"securityGroupId": source},
        computed=("arn", "securityGroupRuleId"),
    )


_GROUP = "ec2/vpc_security_group.go"

KINDS = [
    Kind(
        "aws:ec2/securityGroup:SecurityGroup",
        create=_create,
        read=_read,
        update=_update,
        delete=lambda call, id_, props: call.ec2.delete_security_group(GroupId=id_),
        replaces={"name": _GROUP, "namePrefix": _GROUP, "description": _GROUP, "vpcId": _GROUP},
        name="name",
        defaults={"description": "Managed by Pulumi"},
        sets=("ingress", "egress", "ingress.*.securityGroups", "egress.*.securityGroups"),
        computed=("arn", "ownerId"),
    ),
    Kind(
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        create=_take_over,
        read=_read,
        update=_update,
        # it lives and goes with its VPC
        delete=lambda call, id_, props: None,
        replaces={"vpcId": "ec2/vpc_default_security_group.go"},
        sets=("ingress", "egress"),
        computed=("arn", "ownerId", "name", "description"),
    ),
    _rule(
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "ingress",
        "ec2/vpc_security_group_ingress_rule.go",
    ),
    _rule(
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "egress",
        # the egress rule's schema is the ingress rule's
        "ec2/vpc_security_group_ingress_rule.go",
    ),
]
