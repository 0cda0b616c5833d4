"""Compare an environment's settings with what AWS said, and name what would not work. Pure.

Knows what a site needs. Does not know how facts are asked for (`facts.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ems.errors import did_you_mean
from ems.stack.quotas import shortages
from infra.plan.queues import Family, family
from infra.plan.routes import JOB_ENDPOINTS
from infra.preflight.demands import demands
from infra.preflight.facts import SPOT_ROLE, Facts, InstanceType, Region
from infra.preflight.vpcs import Vpc
from infra.settings.fault import Fault, Step, at
from infra.settings.types import Batch, Environment, Kubernetes, Site

_AWS_KEY = "alias/aws/ebs"
_FOR_EVER = "jobs would stay RUNNABLE for ever"


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
            yield from _cluster(site.kubernetes, site, region, (*steps, "kubernetes"))
        if name in facts.vpcs:
            yield from _vpc(site, facts.vpcs[name], steps)
    yield from _spot(settings, facts)
    yield from _quotas(settings, facts)


def _spot(settings: Environment, facts: Facts) -> Iterator[Fault]:
    batches = [site.batch for site in settings.sites.values() if site.batch]
    general = [each.general.market for each in batches if each.general]
    markets = {market for each in batches for queue in each.queues for market in queue.markets}
    if not facts.spot and "spot" in {*markets, *general}:
        yield Fault(
            f"role {SPOT_ROLE}",
            f"the account has none, and without it no spot instance starts: {_FOR_EVER}",
            "the account's program (infra/account), or aws iam create-service-linked-role "
            "--aws-service-name spot.amazonaws.com",
            level="warning",
        )


def _disks(site: Site, region: Region, steps: tuple[Step, ...]) -> Iterator[Fault]:
    key = region.disk_key or _AWS_KEY
    if not key.endswith(_AWS_KEY):
        yield Fault(
            at(*steps, "disk_gib"),
            f"new disks in {site.region} are encrypted by {key}: without grants on it for the "
            f"roles of Auto Scaling and of spot, instances end at once and {_FOR_EVER}",
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
        here = (*steps, "queues", place)
        found = types.get(queue.type)
        if found is None:
            near = _of_family(queue.type.partition(".")[0], types)
            other = f" (there: {', '.join(sorted(near))})" if near else ""
            yield Fault(
                at(*here, "type"), f"{site.region} has no {queue.type}{other}", "another region"
            )
            continue
        yield from _placed(queue.type, found.zones, site, here)
        for market in queue.markets:
            if market not in found.markets:
                sold = ", ".join(each for each in found.markets if each in ("spot", "on-demand"))
                what = f"{queue.type} is not sold as {market} in {site.region} (allowed: {sold})"
                yield Fault(at(*here, "markets"), what)
        if queue.max_vcpus < found.vcpus:
            yield Fault(
                at(*here, "max_vcpus"),
                f"{queue.max_vcpus} is less than one {queue.type} has: {_FOR_EVER} (allowed: "
                f"{found.vcpus} or more)",
            )
    if batch.general:
        here = (*steps, "general")
        for place, name in enumerate(batch.general.families):
            yield from _family(name, site, types, (*here, "families", place))
        wanted = {
            t: each for f in batch.general.families for t, each in _of_family(f, types).items()
        }
        least = min((each.vcpus for each in wanted.values()), default=0)
        if batch.general.max_vcpus < least:
            what = f"{batch.general.max_vcpus} is less than the smallest instance has: {_FOR_EVER}"
            yield Fault(at(*here, "max_vcpus"), f"{what} (allowed: {least} or more)")


def _placed(
    name: str, zones: tuple[str, ...], site: Site, steps: tuple[Step, ...]
) -> Iterator[Fault]:
    """A type that none of the site's zones has never starts; one that some lack has less room."""
    there = [zone for zone in site.zones if zone in zones]
    if not there:
        kind = "GPU type " if _is_gpu(name) else ""
        yield Fault(
            at(*steps, "type"),
            f"{kind}{name} is not offered in {', '.join(site.zones)}: {_FOR_EVER} (allowed: a site "
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


def _cluster(
    cluster: Kubernetes, site: Site, region: Region, steps: tuple[Step, ...]
) -> Iterator[Fault]:
    if region.clusters:
        known = {v: how for v, how in region.clusters.items() if "STANDARD" in how.upper()}
        if known and cluster.version not in known:
            how = region.clusters.get(cluster.version)
            why = "is past its standard support" if how else "is not offered"
            yield Fault(
                at(*steps, "version"),
                f"Kubernetes {cluster.version} {why} in {site.region} (allowed: "
                f"{', '.join(sorted(known))})",
            )
    if region.types is not None:
        for pool, each in cluster.pools.items():
            for place, name in enumerate(each.families):
                here = (*steps, "pools", pool, "families", place)
                yield from _family(name, site, region.types, here)


def _vpc(site: Site, vpc: Vpc | None, steps: tuple[Step, ...]) -> Iterator[Fault]:
    wanted = site.vpc
    assert wanted is not None
    if vpc is None:
        yield Fault(at(*steps, "vpc", "id"), f"{site.region} has no VPC '{wanted.id}'")
        return
    if site.cidr not in vpc.cidrs:
        what = f"{site.cidr} is no network of {wanted.id} (allowed: {', '.join(vpc.cidrs)})"
        yield Fault(at(*steps, "cidr"), what)
    kinds = {"public_subnets": wanted.public_subnets, "private_subnets": wanted.private_subnets}
    for kind, subnets in kinds.items():
        for zone, subnet in subnets.items():
            yield from _subnet(site, vpc, zone, subnet, (*steps, "vpc", kind, zone))
    for place, table in enumerate(wanted.route_tables):
        if table not in vpc.route_tables:
            what = f"{wanted.id} has no route table '{table}'"
            known = f"(allowed: {', '.join(vpc.route_tables)})"
            yield Fault(at(*steps, "vpc", "route_tables", place), f"{what} {known}")


def _subnet(
    site: Site, vpc: Vpc, zone: str, subnet: str, steps: tuple[Step, ...]
) -> Iterator[Fault]:
    found = vpc.subnets.get(subnet)
    where = at(*steps)
    if found is None:
        what = f"the VPC has no subnet '{subnet}'"
        yield Fault(where, f"{what} (allowed: {', '.join(sorted(vpc.subnets))})")
        return
    if found.zone != zone:
        yield Fault(where, f"'{subnet}' lies in {found.zone} (allowed: a subnet in {zone})")
    if "public_subnets" in steps:
        if not found.out.startswith("igw-"):
            what = f"'{subnet}' has no route to an internet gateway"
            yield Fault(where, f"{what} (allowed: a subnet with one, or private_subnets)")
        elif not found.public_addresses:
            yield Fault(
                where,
                f"'{subnet}' gives no public addresses, so without NAT {_FOR_EVER} (allowed: a "
                "subnet that does)",
                f"aws ec2 modify-subnet-attribute --subnet-id {subnet} --map-public-ip-on-launch",
            )
    elif found.out.startswith("igw-"):
        what = f"'{subnet}' leads to an internet gateway, and jobs there get no public address"
        yield Fault(where, f"{what} (allowed: a subnet with NAT, or public_subnets)")
    elif not found.out:
        missing = [e for e in JOB_ENDPOINTS if e not in (*vpc.endpoints, *site.endpoints)]
        if missing:
            yield Fault(
                where,
                f"'{subnet}' has no way out, and no endpoints {', '.join(missing)}: {_FOR_EVER} "
                f"(allowed: NAT, or these under {at(*steps[:2], 'endpoints')})",
            )


def _quotas(settings: Environment, facts: Facts) -> Iterator[Fault]:
    vcpus = {
        name: {kind: each.vcpus for kind, each in (region.types or {}).items()}
        for name, region in facts.regions.items()
    }
    needed = [each for each in demands(settings, vcpus) if facts.regions[each.region].open]
    for each in shortages(needed, facts.quotas):
        yield Fault(f"quota {each.where}", each.what, each.next_step, level=each.level)
    unknown = sorted({code for (_, code), value in facts.quotas.items() if value is None})
    if unknown:
        yield Fault(
            "quotas",
            f"AWS does not tell {', '.join(unknown)}, so nobody knows whether jobs can start",
            "aws service-quotas list-service-quotas --service-code ec2",
            level="warning",
        )


def _of_family(name: str, types: Mapping[str, InstanceType]) -> dict[str, InstanceType]:
    return {kind: each for kind, each in types.items() if kind.partition(".")[0] == name}


def _is_gpu(name: str) -> bool:
    found: Family | None = family(name.partition(".")[0])
    return bool(found and found.gpu)
