"""What an hour of an environment cost, from durations and prices: the bill itself lags by a day.

Knows what costs by being there (`infra.money.idle`), the instances that Batch started, and today's
spot prices. Does not count disks, requests, logs and transfer: cents, in an hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ems.errors import EmsError
from ems.stack.aws import Clients, asking
from ems.stack.idle import idle_costs
from infra.money.idle import total_usd
from infra.plan.tags import ENVIRONMENT_TAG
from infra.settings.types import Environment

_ENDED_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")


@dataclass(frozen=True)
class Line:
    """One line of the bill."""

    what: str
    usd: float | None
    """None where no price is known."""


def idle(settings: Environment, hours: float) -> Line:
    """Return what was paid for being there."""
    table = idle_costs()
    usd = total_usd(settings) / table.hours_per_month * hours
    return Line(f"the environment, {hours:.2f} h (list prices read on {table.read})", usd)


def instances(
    environment: str, regions: Iterable[str], clients: Clients, now: datetime | None = None
) -> Iterator[Line]:
    """Yield a line for each instance that ran; EC2 tells of one for an hour after its end."""
    at = now or datetime.now(UTC)
    for region in sorted(set(regions)):
        ec2 = clients("ec2", region)
        named = {"Name": f"tag:{ENVIRONMENT_TAG}", "Values": [environment]}
        with asking(f"instances in {region}"):
            pages = ec2.get_paginator("describe_instances").paginate(Filters=[named])
            found = [
                instance
                for page in pages
                for each in page["Reservations"]
                for instance in each["Instances"]
            ]
        for instance in found:
            yield _line(ec2, instance, at)


def _line(ec2: Any, instance: dict[str, Any], now: datetime) -> Line:
    kind = instance["InstanceType"]
    spot = instance.get("InstanceLifecycle") == "spot"
    ended = _ended(instance) or now
    hours = max((ended - instance["LaunchTime"]).total_seconds(), 60) / 3600  # a minute at least
    address = idle_costs().items["public-ipv4"].usd * hours
    price = _spot_price(ec2, kind, instance["Placement"]["AvailabilityZone"]) if spot else None
    market = "spot" if spot else "on demand"
    what = f"{kind}, {market}, {hours * 60:.0f} min, with its address"
    return Line(what, None if price is None else price * hours + address)


def _ended(instance: dict[str, Any]) -> datetime | None:
    found = _ENDED_AT.search(instance.get("StateTransitionReason", ""))
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None


def _spot_price(ec2: Any, kind: str, zone: str) -> float | None:
    try:
        with asking("spot prices"):
            found = ec2.describe_spot_price_history(
                InstanceTypes=[kind],
                AvailabilityZone=zone,
                ProductDescriptions=["Linux/UNIX"],
                StartTime=datetime.now(UTC),
            )["SpotPriceHistory"]
    except EmsError:
        return None
    return float(found[0]["SpotPrice"]) if found else None


def text(lines: Iterable[Line]) -> Iterator[str]:
    """Yield the bill, line by line, with its total."""
    known, unknown = 0.0, False
    for line in lines:
        unknown |= line.usd is None
        known += line.usd or 0.0
        yield f"{'    ?    ' if line.usd is None else f'{line.usd:9.4f}'}  {line.what}"
    yield f"{known:9.4f}  US dollars in all{', without what has no price here' if unknown else ''}"
