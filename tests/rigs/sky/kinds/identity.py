"""Who deploys: the caller's account and ARN, and the role behind a session."""

from __future__ import annotations

from collections.abc import Callable

from tests.rigs.sky.kind import Call, Kind, Props

KINDS: list[Kind] = []


def _caller(call: Call, asked: Props) -> Props:
    said = call.sts.get_caller_identity()
    return {
        "id": said["Account"],
        "accountId": said["Account"],
        "arn": said["Arn"],
        "userId": said["UserId"],
    }


def _session(call: Call, asked: Props) -> Props:
    """A session's ARN has its role's name without the path, so the role itself is asked for."""
    kind, _, rest = asked["arn"].split(":", 5)[5].partition("/")
    if kind != "assumed-role":
        return {"id": asked["arn"], "arn": asked["arn"], "issuerArn": asked["arn"]}
    name, _, session = rest.partition("/")
    role = call.iam.get_role(RoleName=name)["Role"]
    return {
        "id": asked["arn"],
        "arn": asked["arn"],
        "issuerArn": role["Arn"],
        "issuerId": role["RoleId"],
        "issuerName": name,
        "sessionName": session,
    }


CALLS: dict[str, Callable[[Call, Props], Props]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller,
    "aws:iam/getSessionContext:getSessionContext": _session,
}
