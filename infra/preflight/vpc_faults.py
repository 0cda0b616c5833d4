"""Compare a site with the VPC that it is to lie in, and name what would not work there. Pure.

Knows what a site makes in a lab's own VPC, and of what a VPC has room for one. Does not know how
facts are asked for (`vpcs.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.plan.routes import JOB_ENDPOINTS
from infra.preflight.vpcs import Subnet, Vpc
from infra.settings.fault import Fault, Step, at
from infra.settings.types import Environment, ExistingVpc, Site

FOR_EVER = "jobs would stay RUNNABLE for ever"


def faults(name: str, settings: Environment, vpc: Vpc | None) -> Iterator[Fault]:
    """Return what AWS has against a site's VPC; None: there is no such VPC."""
    site, steps = settings.sites[name], ("sites", name)
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
    yield from _tables(wanted, vpc, steps)
    yield from _endpoints(site, vpc, steps)
    yield from _gateway(name, settings, vpc)
    yield from _dns(name, settings, vpc)


def _tables(wanted: ExistingVpc, vpc: Vpc, steps: tuple[Step, ...]) -> Iterator[Fault]:
    for place, table in enumerate(wanted.route_tables):
        where = at(*steps, "vpc", "route_tables", place)
        if table not in vpc.route_tables:
            known = f"(allowed: {', '.join(vpc.route_tables)})"
            yield Fault(where, f"{wanted.id} has no route table '{table}' {known}")
        there = vpc.s3_tables.get(table, "")
        if there and there not in vpc.ours:
            yield Fault(
                where,
                f"'{table}' leads to S3 by {there} already, and a table takes one such endpoint "
                "(allowed: a table without; the site's own endpoint takes its place)",
                f"aws ec2 modify-vpc-endpoint --vpc-endpoint-id {there} "
                f"--remove-route-table-ids {table}, just before up",
            )


def _endpoints(site: Site, vpc: Vpc, steps: tuple[Step, ...]) -> Iterator[Fault]:
    for place, service in enumerate(site.endpoints):
        there = vpc.endpoints.get(service, "")
        if there and there not in vpc.ours:
            yield Fault(
                at(*steps, "endpoints", place),
                f"the VPC has {there} for '{service}' already, and two can't answer under one name "
                "(allowed: leave it out, and jobs use the one that is there)",
                f"see that the security group of {there} lets in TCP 443 from {site.cidr}",
            )


def _gateway(name: str, settings: Environment, vpc: Vpc) -> Iterator[Fault]:
    wanted = settings.sites[name].vpc
    labs = [lab for lab, each in settings.labs.items() if name in each.sites]
    there = vpc.vpn_gateway
    if wanted and labs and there and there not in vpc.ours:
        yield Fault(
            at("sites", name, "vpc", "id"),
            f"{there} is attached to {wanted.id}, which has room for one such gateway, and the "
            f"VPN of {', '.join(labs)} needs the site's own (allowed: a VPC without, or no lab "
            "that uses the site)",
            f"aws ec2 detach-vpn-gateway --vpn-gateway-id {there} --vpc-id {wanted.id}, where "
            "nothing goes through it any more",
        )


def _dns(name: str, settings: Environment, vpc: Vpc) -> Iterator[Fault]:
    site = settings.sites[name]
    needed = [
        *(["interface endpoints"] if site.endpoints else []),
        *(["the cluster"] if site.kubernetes else []),
        *(["peering"] if settings.join_sites and len(settings.sites) > 1 else []),
    ]
    if site.vpc and needed and vpc.dns_off:
        # one call changes one of the two
        calls = [
            f"aws ec2 modify-vpc-attribute --vpc-id {site.vpc.id} --enable-{each}"
            for each in (said.lower().replace(" ", "-") for said in vpc.dns_off)
        ]
        verb = "is" if vpc.dns_off == ("DNS support",) else "are"
        yield Fault(
            at("sites", name, "vpc", "id"),
            f"{' and '.join(vpc.dns_off)} {verb} off in {site.vpc.id}, and AWS wants both for "
            f"{' and '.join(needed)} (allowed: both on)",
            " && ".join(calls),
        )


def _subnet(
    site: Site, vpc: Vpc, zone: str, subnet: str, steps: tuple[Step, ...]
) -> Iterator[Fault]:
    where = at(*steps)
    found = vpc.subnets.get(subnet)
    if found is None:
        what = f"the VPC has no subnet '{subnet}'"
        yield Fault(where, f"{what} (allowed: {', '.join(sorted(vpc.subnets))})")
        return
    if found.zone != zone:
        yield Fault(where, f"'{subnet}' lies in {found.zone} (allowed: a subnet in {zone})")
    if "public_subnets" in steps:
        yield from _public(found, subnet, where)
    elif found.out.startswith("igw-"):
        what = f"'{subnet}' leads to an internet gateway, and jobs there get no public address"
        yield Fault(where, f"{what} (allowed: a subnet with NAT, or public_subnets)")
    elif not found.out:
        missing = [e for e in JOB_ENDPOINTS if e not in (*vpc.endpoints, *site.endpoints)]
        if missing:
            yield Fault(
                where,
                f"'{subnet}' has no way out, and no endpoints {', '.join(missing)}: {FOR_EVER} "
                f"(allowed: NAT, or these under {at(*steps[:2], 'endpoints')})",
            )


def _public(found: Subnet, subnet: str, where: str) -> Iterator[Fault]:
    if not found.out.startswith("igw-"):
        what = f"'{subnet}' has no route to an internet gateway"
        yield Fault(where, f"{what} (allowed: a subnet with one, or private_subnets)")
    elif not found.public_addresses:
        yield Fault(
            where,
            f"'{subnet}' gives no public addresses, so without NAT {FOR_EVER} (allowed: a subnet "
            "that does)",
            f"aws ec2 modify-subnet-attribute --subnet-id {subnet} --map-public-ip-on-launch",
        )
