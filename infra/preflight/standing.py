"""Which of the settings' clusters stand already, and what is left of ones that went.

Knows EKS's names. Does not know what follows from it (`faults.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ems.stack.aws import asking
from infra.plan.tags import ENVIRONMENT_TAG
from infra.settings.types import Environment


@dataclass(frozen=True)
class Standing:
    """Sites by what AWS has of their cluster."""

    clusters: frozenset[str] = frozenset()
    late_logs: frozenset[str] = frozenset()
    """Sites without a cluster whose log group is there: EKS wrote once more after its end."""


def log_group(environment: str, site: str) -> str:
    """Return the name that EKS gives to a cluster's log group; no other is possible."""
    return f"/aws/eks/{environment}-{site}/cluster"


def sites_with_clusters(settings: Environment, region: str) -> list[str]:
    """Return the sites of a region that want a cluster."""
    sites = settings.sites.items()
    return [name for name, site in sites if site.kubernetes and site.region == region]


def ask(eks: Any, logs: Any, environment: str, sites: Iterable[str]) -> Standing:
    """Return what stands in one region of the named sites' clusters."""
    with asking("clusters"):
        pages = eks.get_paginator("list_clusters").paginate()
        names = {name for page in pages for name in page["clusters"]}
    there = {site for site in sites if f"{environment}-{site}" in names}
    late = {site for site in sites if site not in there and _logs(logs, environment, site)}
    return Standing(frozenset(there), frozenset(late))


def _logs(logs: Any, environment: str, site: str) -> bool:
    name = log_group(environment, site)
    with asking(name):
        found = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        arns = [each["arn"].removesuffix(":*") for each in found if each["logGroupName"] == name]
        # one with our tag is the program's own, of an `up` that did not get as far as the cluster
        return any(ENVIRONMENT_TAG not in _tags(logs, arn) for arn in arns)


def _tags(logs: Any, arn: str) -> dict[str, str]:
    return logs.list_tags_for_resource(resourceArn=arn)["tags"]
