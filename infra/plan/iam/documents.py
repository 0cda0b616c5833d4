"""The form of IAM policies: statements, their JSON, its length, who is trusted.

Knows IAM's grammar and limits. Does not know what any role of EMS is for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ems.errors import EmsError

LIMIT = 6144
"""Characters that a managed policy holds, white space not counted."""
INLINE_LIMIT = 10240
"""The same of all policies together that are a role's own."""
Conditions = Mapping[str, Mapping[str, str | Sequence[str]]]


@dataclass(frozen=True)
class Statement:
    """What is allowed or denied, on what, and when."""

    sid: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Conditions = field(default_factory=dict)
    effect: Literal["Allow", "Deny"] = "Allow"

    def written(self) -> dict[str, Any]:
        """Return the statement as IAM writes it."""
        made: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": self.effect,
            "Action": _one_or_sorted(self.actions),
            "Resource": _one_or_sorted(self.resources),
        }
        if self.conditions:
            made["Condition"] = {
                operator: {key: _one_or_sorted(value) for key, value in keys.items()}
                for operator, keys in self.conditions.items()
            }
        return made


def document(statements: Iterable[Statement]) -> str:
    """Return the policy as JSON without white space; statements that name no resource are left out.

    The same statements give the same text, so that an unchanged policy is no change to the engine.
    """
    written = [each.written() for each in statements if each.resources]
    return json.dumps({"Version": "2012-10-17", "Statement": written}, separators=(",", ":"))


def size(policy: str) -> int:
    """Return the characters of a policy that IAM counts."""
    return sum(not character.isspace() for character in policy)


def fitting(name: str, policy: str, limit: int = LIMIT) -> str:
    """Return the policy; raises EmsError if a policy of that kind can't hold it."""
    if size(policy) > limit:
        raise EmsError(
            f"policy {name}",
            f"has {size(policy)} characters (allowed: {limit}, white space not counted)",
        )
    return policy


def trusts_service(
    service: str, account: str | None, *, actions: Sequence[str] = ("sts:AssumeRole",)
) -> str:
    """Return the trust of a role that a service takes, on behalf of this account alone.

    Without an account, on anybody's behalf: some services do not say on whose they come.
    """
    theirs: Conditions = {"StringEquals": {"aws:SourceAccount": account}} if account else {}
    return _trust({"Service": service}, actions, theirs)


def trusts_instances() -> str:
    """Return the trust of a role that EC2 instances take: no account can be asked for there."""
    return trusts_service("ec2.amazonaws.com", None)


def trusts_principals(principals: Sequence[str]) -> str:
    """Return the trust of a role that the named users and roles take."""
    return _trust({"AWS": _one_or_sorted(principals)}, ("sts:AssumeRole",), {})


def trusts_token(provider: str, issuer: str, subject: str, audience: str) -> str:
    """Return the trust of a role that is taken with a token of an OIDC provider, by one subject."""
    return _trust(
        {"Federated": provider},
        ("sts:AssumeRoleWithWebIdentity",),
        {"StringEquals": {f"{issuer}:aud": audience, f"{issuer}:sub": subject}},
    )


def _trust(principal: Mapping[str, Any], actions: Sequence[str], conditions: Conditions) -> str:
    made: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": dict(principal),
        "Action": _one_or_sorted(actions),
    }
    if conditions:
        made["Condition"] = {operator: dict(keys) for operator, keys in conditions.items()}
    return json.dumps({"Version": "2012-10-17", "Statement": [made]}, separators=(",", ":"))


def _one_or_sorted(values: str | Sequence[str]) -> str | list[str]:
    if isinstance(values, str):
        return values
    return values[0] if len(values) == 1 else sorted(values)
