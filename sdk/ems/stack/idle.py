"""What AWS charges for while nothing runs: the one table that programs and policies count with.

Knows unit prices, their pages and when they were read. Does not know what an environment has
(`infra/money/idle.py` counts that), nor the prices of instances, storage and transfer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

from ems.errors import EmsError, did_you_mean


class Item(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that costs by being there."""

    what: str
    usd: float
    per: Literal["hour", "month"]
    source: str
    """AWS's page with the price."""


class IdleCosts(Struct, frozen=True, forbid_unknown_fields=True):
    """The table: unit prices of one region, and the day when they were read."""

    region: str
    read: str
    hours_per_month: int
    note: str
    items: Mapping[str, Item]

    def usd_per_month(self, key: str, count: float = 1) -> float:
        """Return what `count` of an item cost in a month; EmsError where the table has none."""
        item = self.items.get(key)
        if item is None:
            near = did_you_mean(key, list(self.items))
            raise EmsError(
                f"idle cost {key!r}",
                f"is not in the table{near} (allowed: {', '.join(self.items)})",
            )
        hours = self.hours_per_month if item.per == "hour" else 1
        return item.usd * hours * count


@cache
def idle_costs() -> IdleCosts:
    """Return the table that is installed with EMS."""
    text = files("ems.stack").joinpath("idle_costs.json").read_bytes()
    return msgspec.json.decode(text, type=IdleCosts)
