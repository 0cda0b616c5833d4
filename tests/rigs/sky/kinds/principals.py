"""Who else takes part in IAM: identity providers, and the roles that services have for themselves.

moto makes a service's role a second time; AWS refuses that, and so does this table.
"""

from __future__ import annotations

from botocore.exceptions import ClientError

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import tag_changes, tag_list, tag_map


class Taken(Exception):
    """What IAM answers with InvalidInput."""


def _oidc_create(call: Call, props: Props) -> str:
    made = call.iam.create_open_id_connect_provider(
        Url=props["url"],
        ClientIDList=props["clientIdLists"],
        ThumbprintList=props.get("thumbprintLists", []),
        Tags=tag_list(props.get("tags")),
    )
    return call.made(made["OpenIDConnectProviderArn"])


def _oidc_read(call: Call, arn: str, props: Props) -> Props | None:
    got = call.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    return {
        "arn": arn,
        "url": f"https://{got['Url'].removeprefix('https://')}",
        "clientIdLists": got["ClientIDList"],
        "thumbprintLists": got["ThumbprintList"],
        "tags": tag_map(got.get("Tags", [])),
    }


def _oidc_update(call: Call, arn: str, old: Props, new: Props) -> None:
    before, after = set(old["clientIdLists"]), set(new["clientIdLists"])
    for each in after - before:
        call.iam.add_client_id_to_open_id_connect_provider(
            OpenIDConnectProviderArn=arn, ClientID=each
        )
    for each in before - after:
        call.iam.remove_client_id_from_open_id_connect_provider(
            OpenIDConnectProviderArn=arn, ClientID=each
        )
    wanted, gone = tag_changes(old, new)
    if gone:
        call.iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=gone)
    if wanted:
        call.iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=tag_list(wanted))


def _linked_create(call: Call, props: Props) -> str:
    service = props["awsServiceName"]
    path = f"/aws-service-role/{service}/"
    if call.iam.list_roles(PathPrefix=path)["Roles"]:
        raise Taken(f"Service role name for {service} has been taken in this account")
    made = call.iam.create_service_linked_role(
        AWSServiceName=service, Description=props.get("description", "")
    )
    arn = call.made(made["Role"]["Arn"])
    if props.get("tags"):
        call.iam.tag_role(RoleName=made["Role"]["RoleName"], Tags=tag_list(props["tags"]))
    return arn


def _linked_read(call: Call, arn: str, props: Props) -> Props | None:
    service, name = arn.split("/")[-2:]
    role = call.iam.get_role(RoleName=name)["Role"]
    return {
        "arn": arn,
        "name": name,
        "path": role["Path"],
        "awsServiceName": service,
        "description": role.get("Description", ""),
        "uniqueId": role["RoleId"],
        "createDate": role["CreateDate"].isoformat(),
        "tags": tag_map(role.get("Tags", [])),
    }


def _linked_update(call: Call, arn: str, old: Props, new: Props) -> None:
    name = arn.rsplit("/", 1)[-1]
    call.iam.update_role(RoleName=name, Description=new.get("description", ""))
    wanted, gone = tag_changes(old, new)
    if gone:
        call.iam.untag_role(RoleName=name, TagKeys=gone)
    if wanted:
        call.iam.tag_role(RoleName=name, Tags=tag_list(wanted))


def service_role(call: Call, service: str) -> str:
    """Return the ARN of a service's own role, which the service makes when it first needs it."""
    found = call.iam.list_roles(PathPrefix=f"/aws-service-role/{service}/")["Roles"]
    if found:
        return found[0]["Arn"]
    try:
        return call.iam.create_service_linked_role(AWSServiceName=service)["Role"]["Arn"]
    except ClientError:  # another thread was first
        found = call.iam.list_roles(PathPrefix=f"/aws-service-role/{service}/")["Roles"]
        return found[0]["Arn"]


KINDS = [
    Kind(
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        create=_oidc_create,
        read=_oidc_read,
        delete=lambda call, arn, props: call.iam.delete_open_id_connect_provider(
            OpenIDConnectProviderArn=arn
        ),
        update=_oidc_update,
        replaces={"url": "iam/openid_connect_provider.go"},
        computed=("arn",),
        sets=("clientIdLists",),
    ),
    Kind(
        "aws:iam/serviceLinkedRole:ServiceLinkedRole",
        create=_linked_create,
        read=_linked_read,
        delete=lambda call, arn, props: call.iam.delete_service_linked_role(
            RoleName=arn.rsplit("/", 1)[-1]
        ),
        update=_linked_update,
        replaces=dict.fromkeys(("awsServiceName", "customSuffix"), "iam/service_linked_role.go"),
        computed=("arn", "name", "path", "createDate", "uniqueId"),
    ),
]
