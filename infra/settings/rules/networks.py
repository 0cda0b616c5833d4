"""Rules for regions, zones, networks and a lab's own VPC.

Knows which networks can be joined. Does not know which zones an account has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from ems.errors import did_you_mean
from infra.plan import cidr as planner
from infra.plan.routes import JOB_ENDPOINTS
from infra.settings import catalogue
from infra.settings.fault import Fault, Step, at
from infra.settings.types import Environment, ExistingVpc, Site

PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
SHARED = IPv4Network("100.64.0.0/10")
SMALLEST_EXISTING = 28
"""The longest prefix of a VPC at AWS; one that is there may be smaller than one of ours."""


def faults(settings: Environment) -> Iterator[Fault]:
    """Return what is off with networks and places."""
    for name, site in settings.sites.items():
        steps = ("sites", name)
        yield from _region(site, steps)
        yield from _zones(site, steps)
        smallest = SMALLEST_EXISTING if site.vpc else planner.SMALLEST
        yield from network(site.cidr, (*steps, "cidr"), planner.LARGEST, smallest)
        yield from _endpoints(site, steps)
        yield from _vpc(site, steps)
    for name, lab in settings.labs.items():
        for place, each in enumerate(lab.networks):
            yield from network(each, ("labs", name, "networks", place), 8, 32, lab=True)
    yield from _overlaps(settings)
    yield from _once(settings)
    yield from _joined_tables(settings)


def network(
    text: str, steps: tuple[Step, ...], largest: int, smallest: int, *, lab: bool = False
) -> Iterator[Fault]:
    """Return what is off with one network."""
    where = at(*steps)
    found = parsed(text)
    if found is None:
        yield Fault(where, f"'{text}' is no network (allowed: as 10.16.0.0/16)")
        return
    if (aligned := str(found)) != text:
        yield Fault(
            where,
            f"'{text}' has bits set after its prefix (allowed: {aligned}, or a longer prefix)",
        )
    if not largest <= found.prefixlen <= smallest:
        size = "large" if found.prefixlen < largest else "small"
        yield Fault(
            where, f"'{text}' is too {size} (allowed: /{largest} to /{smallest}, larger to smaller)"
        )
    if not any(found.subnet_of(each) for each in (*PRIVATE, *([SHARED] if lab else []))):
        ranges = ", ".join(map(str, PRIVATE)) + (f", {SHARED}" if lab else "")
        yield Fault(where, f"'{text}' is no private network (allowed: inside {ranges})")
    elif why := planner.forbidden(aligned):
        # a lab can't change what it has, and what it loses is what lies in that range alone
        level = "warning" if lab and found.supernet_of(IPv4Network(why.split()[0])) else "error"
        yield Fault(where, f"'{text}' can't be had: {why} (allowed: another network)", level=level)


def parsed(text: str) -> IPv4Network | None:
    """Return the network, host bits cleared; None if the text is none."""
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


def _region(site: Site, steps: tuple[Step, ...]) -> Iterator[Fault]:
    if site.region not in catalogue.regions():
        near = did_you_mean(site.region, list(catalogue.regions()))
        yield Fault(
            at(*steps, "region"),
            f"unknown region '{site.region}'"
            + (near or f" (allowed: {', '.join(catalogue.regions())})"),
        )


def _zones(site: Site, steps: tuple[Step, ...]) -> Iterator[Fault]:
    known = site.region in catalogue.regions()
    prefix = catalogue.zone_prefix(site.region) if known else ""
    for place, zone in enumerate(site.zones):
        where = at(*steps, "zones", place)
        if zone in site.zones[:place]:
            yield Fault(where, f"'{zone}' stands there twice (allowed: each zone once)")
        if known and zone.rpartition("-")[0] != prefix:
            other = catalogue.region_of(zone)
            whose = f"is a zone of {other}" if other else "is no region's zone"
            yield Fault(where, f"'{zone}' {whose} (allowed: zones of {site.region}: {prefix}-az…)")


def _endpoints(site: Site, steps: tuple[Step, ...]) -> Iterator[Fault]:
    for place, name in enumerate(site.endpoints):
        where = at(*steps, "endpoints", place)
        if name in site.endpoints[:place]:
            yield Fault(where, f"'{name}' stands there twice (allowed: each service once)")
        if name in catalogue.NO_ENDPOINTS:
            why = catalogue.NO_ENDPOINTS[name]
            yield Fault(where, f"'{name}' gets none: {why} (allowed: leave it out)")
        elif name not in catalogue.ENDPOINTS:
            near = did_you_mean(name, list(catalogue.ENDPOINTS))
            known = ", ".join(catalogue.ENDPOINTS)
            yield Fault(where, f"unknown service '{name}'{near} (allowed: {known})")
    missing = [each for each in JOB_ENDPOINTS if each not in site.endpoints]
    some = 0 < len(missing) < len(JOB_ENDPOINTS)
    if some and site.nat == "none" and site.batch and not site.vpc:
        yield Fault(
            at(*steps, "endpoints"),
            f"without NAT, jobs stay in public subnets: {', '.join(missing)} are missing for "
            "private ones",
            "add them, or leave out what only private jobs need",
            level="warning",
        )


def _vpc(site: Site, steps: tuple[Step, ...]) -> Iterator[Fault]:
    vpc = site.vpc
    if vpc is None:
        return
    if site.nat != "none":
        yield Fault(
            at(*steps, "nat"),
            f"'{site.nat}' for a VPC that is there already (allowed: none, the VPC has its own)",
        )
    if site.flow_logs:
        yield Fault(
            at(*steps, "flow_logs"),
            "true for a VPC that is there already (allowed: false, its owner records it)",
        )
    if not vpc.public_subnets and not vpc.private_subnets:
        yield Fault(
            at(*steps, "vpc"),
            "no subnet is named, so jobs would stay RUNNABLE for ever (allowed: public subnets, or "
            "private ones with NAT or interface endpoints)",
        )
        return
    if site.endpoints and not vpc.private_subnets:
        yield Fault(
            at(*steps, "endpoints"),
            "interface endpoints lie in private subnets, and none is named (allowed: none, or "
            f"{at(*steps, 'vpc', 'private_subnets')})",
        )
    yield from _vpc_zones(vpc, site.zones, steps)


def _vpc_zones(
    vpc: ExistingVpc, zones: tuple[str, ...], steps: tuple[Step, ...]
) -> Iterator[Fault]:
    kinds: Mapping[str, Mapping[str, str]] = {
        "public_subnets": vpc.public_subnets,
        "private_subnets": vpc.private_subnets,
    }
    for kind, subnets in kinds.items():
        for zone in subnets:
            if zone not in zones:
                yield Fault(
                    at(*steps, "vpc", kind, zone),
                    f"'{zone}' is not one of the site's zones (allowed: {', '.join(zones)})",
                )
    # what runs jobs is one kind of subnet in all zones: the private ones where there are any
    kind = "private_subnets" if vpc.private_subnets else "public_subnets"
    for zone in zones:
        if zone not in kinds[kind]:
            yield Fault(
                at(*steps, "vpc", kind),
                f"has no subnet in {zone} (allowed: one in each of the site's zones)",
            )


def _overlaps(settings: Environment) -> Iterator[Fault]:
    names: dict[str, str] = {}
    named: dict[str, list[str]] = {}
    for name, site in settings.sites.items():
        if found := parsed(site.cidr):
            names[f"site {name}"] = at("sites", name, "cidr")
            named[f"site {name}"] = [str(found)]
    for name, lab in settings.labs.items():
        for place, text in enumerate(lab.networks):
            if found := parsed(text):  # each by itself: a lab's own may overlap no less
                label = f"lab {name}" if len(lab.networks) == 1 else f"lab {name} networks[{place}]"
                names[label] = at("labs", name, "networks", place)
                named[label] = [str(found)]
    for clash in planner.clashes(named):
        yield Fault(names[clash.other], f"{clash} (allowed: networks that share no address)")


def _once(settings: Environment) -> Iterator[Fault]:
    """A VPC has room for one VPN gateway, one endpoint of S3 in a table, one of a service."""
    seen: dict[str, str] = {}
    for name, site in settings.sites.items():
        if site.vpc and seen.setdefault(site.vpc.id, name) != name:
            yield Fault(
                at("sites", name, "vpc", "id"),
                f"'{site.vpc.id}' is site {seen[site.vpc.id]}'s VPC too (allowed: a VPC once, with "
                "all its zones in one site)",
            )


def _joined_tables(settings: Environment) -> Iterator[Fault]:
    for name, site in settings.sites.items():
        joined = settings.join_sites and len(settings.sites) > 1
        used = joined or any(name in lab.sites for lab in settings.labs.values())
        if site.vpc and used and not site.vpc.route_tables:
            yield Fault(
                at("sites", name, "vpc", "route_tables"),
                "is empty, so nothing would find its way to other sites and labs (allowed: all "
                "route tables of the VPC's subnets)",
            )
