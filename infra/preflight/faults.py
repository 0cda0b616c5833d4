"""Compare an environment's settings with what AWS said, and name what would not work. Pure.

Knows what a site needs. Does not know how facts are asked for (`facts.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch

from ems.errors import did_you_mean
from ems.stack.quotas import named, shortages
from infra.plan.iam.deploy import deploy_role_name, workload_boundary_name
from infra.plan.queues import Family, family
from infra.preflight import room, vpc_faults
from infra.preflight.demands import demands
from infra.preflight.facts import SPOT_ROLE, Caller, Facts, InstanceType, Region
from infra.preflight.vpc_faults import FOR_EVER
from infra.settings.fault import Fault, Step, at
from infra.settings.types import (
    Batch,
    Environment,
    InstanceQueue,
    Kubernetes,
    Market,
    Site,
)

_AWS_KEY = "alias/aws/ebs"


def wrong_account(settings: Environment, account: str) -> Fault | None:
    """Return the fault of credentials that belong to an account that is not allowed."""
    if account in settings.accounts:
        return None
    return Fault(
        at("accounts"),
        f"these credentials are of account {account} (allowed: {', '.join(settings.accounts)})",
        "another AWS_PROFILE; or, where the account is right, its number in the environment's file",
    )


def faults(settings: Environment, facts: Facts) -> Iterator[Fault]:
    """Return everything that AWS has against the settings."""
    yield from facts.unasked
    for name, site in settings.sites.items():
        region, steps = facts.regions[site.region], ("sites", name)
        if not region.open:
            yield Fault(
                at(*steps, "region"),
                f"the account has not opted into {site.region} (allowed: regions that it uses)",
                f"aws account enable-region --region-name {site.region}, and wait some minutes",
            )
            continue
        yield from _zones(site, region, steps)
        if site.batch and region.types is not None:
            yield from _queues(site.batch, site, region.types, (*steps, "batch"))
        if site.batch:
            yield from _disks(site, region, (*steps, "batch"))
        if site.kubernetes:
            yield from _cluster(site.kubernetes, name, site, region)
        if name in facts.vpcs:
            yield from vpc_faults.faults(name, settings, facts.vpcs[name])
    yield from _spot(settings, facts)
    yield from _quotas(settings, facts)


def no_boundary(settings: Environment, caller: Caller) -> Fault | None:
    """Return the fault of a deploy role of `infra/account`, which may make no role without one."""
    role = caller.role
    if settings.boundary or not fnmatch(role, deploy_role_name("*")):
        return None
    before, after = deploy_role_name("*").split("*")
    name = workload_boundary_name(role[len(before) : len(role) - len(after)])
    return Fault(
        at("boundary"),
        f"is not set, and {role} may make no role without it (allowed: the policy that was made "
        "with the role)",
        f"ems:boundary: arn:aws:iam::{caller.account}:policy/{name}",
    )


def _spot(settings: Environment, facts: Facts) -> Iterator[Fault]:
    if not facts.spot and "spot" in {m for s in settings.sites.values() for m in _markets(s)}:
        yield Fault(
            f"role {SPOT_ROLE}",
            "the account has none, and without it no spot instance starts: jobs and pods would "
            "wait for ever",
            "the account's program (infra/account), or aws iam create-service-linked-role "
            "--aws-service-name spot.amazonaws.com",
            level="warning",
        )


def _markets(site: Site) -> Iterator[Market]:
    if site.batch:
        for queue in site.batch.queues:
            yield from queue.markets
        if site.batch.general:
            yield site.batch.general.market
    if site.kubernetes:
        for pool in site.kubernetes.pools.values():
            yield pool.market


def _disks(site: Site, region: Region, steps: tuple[Step, ...]) -> Iterator[Fault]:
    key = region.disk_key or _AWS_KEY
    if not key.endswith(_AWS_KEY):
        yield Fault(
            at(*steps, "disk_gib"),
            f"new disks in {site.region} are encrypted by {key}: without grants on it for the "
            f"roles of Auto Scaling and of spot, instances end at once and {FOR_EVER}",
            "aws kms create-grant for AWSServiceRoleForAutoScaling and AWSServiceRoleForEC2Spot",
            level="warning",
        )


def _zones(site: Site, region: Region, steps: tuple[Step, ...]) -> Iterator[Fault]:
    for place, zone in enumerate(site.zones):
        if region.zones is not None and zone not in region.zones:
            near = did_you_mean(zone, list(region.zones))
            yield Fault(
                at(*steps, "zones", place),
                f"{site.region} has no zone '{zone}' for this account{near} (allowed: "
                f"{', '.join(region.zones)})",
            )


def _queues(
    batch: Batch, site: Site, types: Mapping[str, InstanceType], steps: tuple[Step, ...]
) -> Iterator[Fault]:
    for place, queue in enumerate(batch.queues):
        yield from _queue(queue, site, types, (*steps, "queues", place))
    if batch.general:
        here = (*steps, "general")
        for place, name in enumerate(batch.general.families):
            yield from _family(name, site, types, (*here, "families", place))
        wanted = {
            t: each for f in batch.general.families for t, each in _of_family(f, types).items()
        }
        least = min((each.vcpus for each in wanted.values()), default=0)
        if batch.general.max_vcpus < least:
            what = f"{batch.general.max_vcpus} is less than the smallest instance has: {FOR_EVER}"
            yield Fault(at(*here, "max_vcpus"), f"{what} (allowed: {least} or more)")


def _queue(
    queue: InstanceQueue, site: Site, types: Mapping[str, InstanceType], steps: tuple[Step, ...]
) -> Iterator[Fault]:
    found = types.get(queue.type)
    if found is None:
        near = _of_family(queue.type.partition(".")[0], types)
        other = f" (there: {', '.join(sorted(near))})" if near else ""
        what = f"{site.region} has no {queue.type}{other}"
        yield Fault(at(*steps, "type"), what, "another region")
        return
    yield from _placed(queue.type, found.zones, site, steps)
    for market in queue.markets:
        if market not in found.markets:
            sold = ", ".join(each for each in found.markets if each in ("spot", "on-demand"))
            what = f"{queue.type} is not sold as {market} in {site.region} (allowed: {sold})"
            yield Fault(at(*steps, "markets"), what)
    if queue.max_vcpus < found.vcpus:
        yield Fault(
            at(*steps, "max_vcpus"),
            f"{queue.max_vcpus} is less than one {queue.type} has: {FOR_EVER} (allowed: "
            f"{found.vcpus} or more)",
        )


def _placed(
    name: str, zones: tuple[str, ...], site: Site, steps: tuple[Step, ...]
) -> Iterator[Fault]:
    """A type that none of the site's zones has never starts; one that some lack has less room."""
    there = [zone for zone in site.zones if zone in zones]
    if not there:
        kind = "GPU type " if _is_gpu(name) else ""
        yield Fault(
            at(*steps, "type"),
            f"{kind}{name} is not offered in {', '.join(site.zones)}: {FOR_EVER} (allowed: a site "
            f"with one of {', '.join(zones)})",
        )
    elif len(there) < len(site.zones):
        lacking = ", ".join(zone for zone in site.zones if zone not in there)
        what = f"{name} is not offered in {lacking}, so it starts in {', '.join(there)} alone"
        yield Fault(at(*steps, "type"), what, level="warning")


def _family(
    name: str, site: Site, types: Mapping[str, InstanceType], steps: tuple[Step, ...]
) -> Iterator[Fault]:
    members = _of_family(name, types).values()
    if not members:
        yield Fault(at(*steps), f"{site.region} has no instances of {name}", "another family")
        return
    zones = sorted({zone for each in members for zone in each.zones})
    if not set(zones) & set(site.zones):
        yield Fault(
            at(*steps),
            f"no instance of {name} is offered in {', '.join(site.zones)} (allowed: a site with "
            f"one of {', '.join(zones)})",
        )


def _cluster(cluster: Kubernetes, name: str, site: Site, region: Region) -> Iterator[Fault]:
    steps = ("sites", name, "kubernetes")
    yield from _release(cluster, name, site, region)
    if name in region.standing.late_logs:
        yield Fault(
            at(*steps),
            "the log group of an earlier cluster is there, to which EKS wrote after its end, and "
            "a new one of its name is refused",
            f"aws logs delete-log-group --region {site.region} --log-group-name "
            "/aws/eks/<environment>-" + name + "/cluster",
        )
    if region.types is not None:
        for pool, each in cluster.pools.items():
            for place, family in enumerate(each.families):
                here = (*steps, "pools", pool, "families", place)
                yield from _family(family, site, region.types, here)


def _release(cluster: Kubernetes, name: str, site: Site, region: Region) -> Iterator[Fault]:
    """A new cluster needs a supported release; one that stands is only told, and AWS lifts it."""
    known = {v for v, how in (region.clusters or {}).items() if "STANDARD" in how.upper()}
    if not known or cluster.version in known:
        return
    past = cluster.version in (region.clusters or {})
    why = "is past its standard support" if past else "is not offered"
    stands = past and name in region.standing.clusters
    yield Fault(
        at("sites", name, "kubernetes", "version"),
        f"Kubernetes {cluster.version} {why} in {site.region} (allowed: "
        f"{', '.join(sorted(known))})",
        level="warning" if stands else "error",
    )


def _quotas(settings: Environment, facts: Facts) -> Iterator[Fault]:
    vcpus = {
        name: {kind: each.vcpus for kind, each in (region.types or {}).items()}
        for name, region in facts.regions.items()
    }
    needed = [each for each in demands(settings, vcpus) if facts.regions[each.region].open]
    for each in shortages(needed, facts.quotas):
        yield Fault(f"quota of {each.where}", each.what, each.next_step, level=each.level)
    yield from room.shortages(settings, facts.used, facts.quotas)
    unknown = sorted({named(code) for (_, code), value in facts.quotas.items() if value is None})
    if unknown:
        yield Fault(
            "quotas",
            f"AWS does not tell {', '.join(unknown)}, so nobody knows whether they are enough",
            "aws service-quotas list-service-quotas --service-code ec2",
            level="warning",
        )


def _of_family(name: str, types: Mapping[str, InstanceType]) -> dict[str, InstanceType]:
    return {kind: each for kind, each in types.items() if kind.partition(".")[0] == name}


def _is_gpu(name: str) -> bool:
    found: Family | None = family(name.partition(".")[0])
    return bool(found and found.gpu)
