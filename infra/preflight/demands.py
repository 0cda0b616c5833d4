"""What an environment's settings demand of the account's EC2 quotas. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ems.stack.quotas import Demand
from ems.stack.quotas import demands as of_types
from infra.plan import queues as planner
from infra.settings.types import Environment, Site


def demands(settings: Environment, vcpus: Mapping[str, Mapping[str, int]]) -> list[Demand]:
    """Return the demands of all queues and node pools; `vcpus` by region and instance type."""
    return [
        each
        for name, site in settings.sites.items()
        for each in _of_site(name, site, vcpus.get(site.region, {}))
    ]


def _of_site(name: str, site: Site, vcpus: Mapping[str, int]) -> Iterator[Demand]:
    if site.batch:
        for queue in planner.plan(site.batch):
            least = least_of(queue.instance_types, vcpus)
            who = f"the queue {queue.key} of {name}"
            yield from of_types(
                site.region, queue.instance_types, queue.market, queue.max_vcpus, who, least
            )
    if site.kubernetes:
        for pool, each in site.kubernetes.pools.items():
            least = least_of(each.families, vcpus)
            who = f"the node pool {pool} of {name}"
            yield from of_types(site.region, each.families, each.market, each.max_cpus, who, least)


def least_of(names: tuple[str, ...], vcpus: Mapping[str, int]) -> int | None:
    """Return the vCPUs of the smallest instance among types and families, None if not known."""
    of_them = [
        count for kind, count in vcpus.items() if kind in names or kind.partition(".")[0] in names
    ]
    return min(of_them, default=None)
