"""What is still there of an environment after it was taken down, by its tag.

Knows the tagging API, which lags, and kinds of things that are listed after their end or go by
themselves. It does not list IAM roles, so they are asked for by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ems.errors import EmsError
from ems.stack.aws import Clients, Missing, asking
from infra.plan.tags import ENVIRONMENT_TAG

GLOBAL = "us-east-1"
"""Where the tagging API tells of what has no region."""
_EVERY_S = 15.0
_TOLD_EVERY_S = 60.0
_NAMED = 3


@dataclass(frozen=True)
class Thing:
    """Something with the environment's tag."""

    arn: str
    region: str
    goes: str = ""
    """Why it needs nobody: what it costs nothing for, and until when."""


def wait_until_gone(
    environment: str,
    regions: Iterable[str],
    clients: Clients,
    within_s: float,
    tell: Callable[[str], None],
    every_s: float = _EVERY_S,
) -> list[Thing]:
    """Return what stays; what only lags behind is waited for, and told now and then."""
    limit, named = time.monotonic() + within_s, sorted(set(regions))
    told, told_at = "", 0.0
    while True:
        found = list(things(environment, named, clients))
        waits = [thing.arn for thing in found if not thing.goes]
        if not waits or time.monotonic() > limit:
            return found
        text = _waiting(waits)
        if text != told or time.monotonic() - told_at >= _TOLD_EVERY_S:
            tell(text)
            told, told_at = text, time.monotonic()
        time.sleep(every_s)


def _waiting(arns: Sequence[str]) -> str:
    more = f" and {len(arns) - _NAMED} more" if len(arns) > _NAMED else ""
    return f"waiting for {len(arns)}: {', '.join(arns[:_NAMED])}{more}"


def things(environment: str, regions: Iterable[str], clients: Clients) -> Iterator[Thing]:
    """Yield what carries the environment's tag, each once; what has ended is left out."""
    seen: set[str] = set()
    for thing in _tagged(environment, regions, clients):
        if thing.arn not in seen:
            seen.add(thing.arn)
            yield thing


def _tagged(environment: str, regions: Iterable[str], clients: Clients) -> Iterator[Thing]:
    for region in sorted({*regions, GLOBAL}):
        client = clients("resourcegroupstaggingapi", region)
        tag = {"Key": ENVIRONMENT_TAG, "Values": [environment]}
        with asking(f"tags in {region}"):
            pages = client.get_paginator("get_resources").paginate(TagFilters=[tag])
            listed = [each for page in pages for each in page["ResourceTagMappingList"]]
        for arn in (each["ResourceARN"] for each in listed):
            why = goes(arn, region, clients)
            if why is not None:
                yield Thing(arn, region, why)
    yield from _roles(environment, clients)


def _roles(environment: str, clients: Clients) -> Iterator[Thing]:
    iam = clients("iam", GLOBAL)
    with asking("roles"):
        for page in iam.get_paginator("list_roles").paginate():
            for role in page["Roles"]:
                name = role["RoleName"]
                if name.startswith(f"{environment}-"):
                    tags = iam.list_role_tags(RoleName=name)["Tags"]
                    if {"Key": ENVIRONMENT_TAG, "Value": environment} in tags:
                        yield Thing(role["Arn"], "global")


def goes(arn: str, region: str, clients: Clients) -> str | None:
    """Return why a thing needs nobody; None where it is gone already; empty where it stays."""
    service, resource = arn.split(":")[2], arn.split(":", 5)[5]
    kind, _, id_ = resource.replace(":", "/", 1).partition("/")
    look = _LOOKS.get((service, kind))
    if look is None:
        return ""
    try:
        with asking(arn):
            return look(clients(service, region), id_)
    except Missing:
        return None
    except EmsError:
        return ""


def _key(kms: Any, id_: str) -> str:
    data = kms.describe_key(KeyId=id_)["KeyMetadata"]
    waits = data["KeyState"] == "PendingDeletion"
    return f"deleted on {data['DeletionDate']:%Y-%m-%d}, costs nothing until then" if waits else ""


def _instance(ec2: Any, id_: str) -> str | None:
    states = [
        instance["State"]["Name"]
        for each in ec2.describe_instances(InstanceIds=[id_])["Reservations"]
        for instance in each["Instances"]
    ]
    return None if set(states) <= {"terminated"} else ""


def _connection(ec2: Any, id_: str) -> str | None:
    found = ec2.describe_vpn_connections(VpnConnectionIds=[id_])["VpnConnections"]
    return None if all(each["State"] == "deleted" for each in found) else ""


def _gateway(ec2: Any, id_: str) -> str | None:
    found = ec2.describe_nat_gateways(NatGatewayIds=[id_])["NatGateways"]
    return None if all(each["State"] == "deleted" for each in found) else ""


def _customer_gateway(ec2: Any, id_: str) -> str | None:
    found = ec2.describe_customer_gateways(CustomerGatewayIds=[id_])["CustomerGateways"]
    return None if all(each["State"] == "deleted" for each in found) else ""


def _vpn_gateway(ec2: Any, id_: str) -> str | None:
    found = ec2.describe_vpn_gateways(VpnGatewayIds=[id_])["VpnGateways"]
    return None if all(each["State"] == "deleted" for each in found) else ""


def _peering(ec2: Any, id_: str) -> str | None:
    found = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[id_])
    states = {each["Status"]["Code"] for each in found["VpcPeeringConnections"]}
    return None if states <= {"deleted", "rejected", "failed", "expired"} else ""


def _definition(batch: Any, id_: str) -> str | None:
    found = batch.describe_job_definitions(jobDefinitions=[id_])["jobDefinitions"]
    return None if all(each["status"] == "INACTIVE" for each in found) else ""


def _job(batch: Any, id_: str) -> str | None:
    ended = batch.describe_jobs(jobs=[id_])["jobs"]
    over = all(each["status"] in ("SUCCEEDED", "FAILED") for each in ended)
    return "the record of a job that has ended; AWS forgets it after a week" if over else ""


_LOOKS: dict[tuple[str, str], Callable[[Any, str], str | None]] = {
    ("kms", "key"): _key,
    ("ec2", "instance"): _instance,
    ("ec2", "vpn-connection"): _connection,
    ("ec2", "natgateway"): _gateway,
    ("ec2", "customer-gateway"): _customer_gateway,
    ("ec2", "vpn-gateway"): _vpn_gateway,
    ("ec2", "vpc-peering-connection"): _peering,
    ("batch", "job-definition"): _definition,
    ("batch", "job"): _job,
}
