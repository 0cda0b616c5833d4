"""Rules for Batch queues: types and families that exist, and no more queues than AWS gives.

Knows names by the installed botocore; `infra/plan/queues.py` knows what a family's name says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ems.errors import did_you_mean
from infra.plan import queues as planner
from infra.settings import catalogue
from infra.settings.fault import Fault, Step, at, concerns
from infra.settings.types import Batch, Environment

REGION_LIMIT = 50
"""Queues, and compute environments, that AWS gives a region of an account."""


def faults(settings: Environment) -> Iterator[Fault]:
    """Return what is off with queues."""
    for name, site in settings.sites.items():
        if site.batch:
            steps = ("sites", name, "batch")
            unknown = list(_names(site.batch, site.region, steps))
            yield from unknown
            for each in planner.problems(site.batch):
                where = f"{at(*steps)}.{each.path}"
                # a type that nobody knows has been named already
                if not any(concerns(where, other.where) for other in unknown):
                    yield Fault(where, each.text)
    yield from _region(settings)


def named_family(name: str, steps: tuple[Step, ...]) -> Iterator[Fault]:
    """Return what is off with a family's name."""
    if name not in catalogue.families():
        near = did_you_mean(name, list(catalogue.families()))
        yield Fault(at(*steps), f"unknown instance family '{name}'{near} (allowed: as c7i, g5)")


def _names(batch: Batch, region: str, steps: tuple[Step, ...]) -> Iterator[Fault]:
    for place, queue in enumerate(batch.queues):
        if queue.type not in catalogue.instance_types():
            near = did_you_mean(queue.type, list(catalogue.instance_types()))
            yield Fault(
                at(*steps, "queues", place, "type"),
                f"unknown instance type '{queue.type}'{near} (allowed: as c7i.4xlarge, g5.2xlarge)",
                f"aws ec2 describe-instance-type-offerings --region {region}",
            )
    if batch.general:
        for place, name in enumerate(batch.general.families):
            yield from named_family(name, (*steps, "general", "families", place))
            if name in batch.general.families[:place]:
                where = at(*steps, "general", "families", place)
                yield Fault(where, f"'{name}' stands there twice (allowed: each family once)")


def _region(settings: Environment) -> Iterator[Fault]:
    """Sites of one region share its quota."""
    counts: Counter[str] = Counter()
    for site in settings.sites.values():
        if site.batch:
            counts[site.region] += sum(len(each.markets) for each in site.batch.queues)
            counts[site.region] += bool(site.batch.general)
    for name, site in settings.sites.items():
        if counts.pop(site.region, 0) > REGION_LIMIT:  # said once, at the region's first site
            yield Fault(
                at("sites", name, "batch", "queues"),
                f"sites in {site.region} have more than {REGION_LIMIT} queues together (allowed: "
                f"{REGION_LIMIT}, AWS's quota for a region)",
            )
