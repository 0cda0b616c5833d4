"""Rules for clusters, their node pools and Ray.

Knows what a cluster needs to stand and a pod to start. Does not know Kubernetes' API.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from infra.eks.networks import CANNOT_HOLD, NODE_ENDPOINTS, SERVICE_NETWORK
from infra.kubernetes.naming import BUILT_IN_POOLS, TAKEN_NAMESPACES
from infra.plan.queues import family
from infra.plan.routes import jobs_public
from infra.settings.fault import Fault, Step, at
from infra.settings.rules.labs import DOCUMENTATION
from infra.settings.rules.networks import parsed
from infra.settings.rules.queues import named_family
from infra.settings.types import Environment, Kubernetes, Pool, Ray, Site

SERVICES = IPv4Network(SERVICE_NETWORK)
OLDEST_RAY = (2, 52, 0)
"""The first release of Ray whose clusters take tokens from KubeRay."""


def faults(settings: Environment) -> Iterator[Fault]:
    """Return what is off with clusters."""
    for name, site in settings.sites.items():
        if site.kubernetes:
            steps = ("sites", name, "kubernetes")
            yield from _place(site, steps)
            yield from _way_out(site, site.kubernetes, steps)
            yield from _names(site.kubernetes, steps)
            yield from _services(settings, name, steps)
            yield from _access(site.kubernetes, steps)
            for pool, each in site.kubernetes.pools.items():
                yield from _pool(each, (*steps, "pools", pool))
            if site.kubernetes.ray:
                yield from _ray(site.kubernetes.ray, site.kubernetes, (*steps, "ray"))


def _place(site: Site, steps: tuple[Step, ...]) -> Iterator[Fault]:
    usable = [zone for zone in dict.fromkeys(site.zones) if zone not in CANNOT_HOLD]
    if len(usable) < 2:
        refused = [zone for zone in site.zones if zone in CANNOT_HOLD]
        why = f"; {', '.join(refused)} can hold no control plane" if refused else ""
        yield Fault(
            at(*steps),
            f"EKS needs subnets in two zones, and {at(*steps[:-1], 'zones')} has "
            f"{', '.join(site.zones)}{why} (allowed: two or three zones)",
        )


def _way_out(site: Site, cluster: Kubernetes, steps: tuple[Step, ...]) -> Iterator[Fault]:
    """Private subnets without NAT, which have all endpoints that Batch needs: what else nodes do.

    Of a VPC that is there it is guessed by the same endpoints, which nobody pays for beside NAT.
    """
    if site.nat != "none" or jobs_public(site.nat, site.endpoints):
        return
    if site.vpc and not site.vpc.private_subnets:
        return
    other = "nat: one; or fewer endpoints, with which all lies in public subnets"
    if site.vpc:
        other = "where the VPC has NAT, no endpoint that it makes needless"
    if missing := [each for each in NODE_ENDPOINTS if each not in site.endpoints]:
        yield Fault(
            at(*steps[:-1], "endpoints"),
            "with these and without NAT, the cluster's nodes lie in private subnets, and without "
            f"{', '.join(missing)} they never join (allowed: these too; {other})",
        )
    if cluster.ray:
        yield Fault(
            at(*steps, "ray"),
            "the images of KubeRay and Ray come from registries on the internet, which private "
            f"subnets without NAT don't reach (allowed: null; {other})",
        )


def _names(cluster: Kubernetes, steps: tuple[Step, ...]) -> Iterator[Fault]:
    name = cluster.namespace
    if name in TAKEN_NAMESPACES or name.startswith("kube-"):
        what = f"'{name}' is a namespace of Kubernetes or KubeRay, and not one for jobs"
        yield Fault(at(*steps, "namespace"), f"{what} (allowed: another name, as ems)")
    for pool in BUILT_IN_POOLS:
        if pool in cluster.pools:
            what = f"'{pool}' is the name of one of Auto Mode's own pools"
            yield Fault(at(*steps, "pools", pool), f"{what} (allowed: another name, as cpu)")


def _services(settings: Environment, name: str, steps: tuple[Step, ...]) -> Iterator[Fault]:
    near = {f"site {name}": [settings.sites[name].cidr]}
    if settings.join_sites:
        near |= {f"site {other}": [each.cidr] for other, each in settings.sites.items()}
    near |= {
        f"lab {lab}": list(each.networks)
        for lab, each in settings.labs.items()
        if name in each.sites
    }
    for who, networks in near.items():
        for text in networks:
            found = parsed(text)
            if found and found.overlaps(SERVICES):
                yield Fault(
                    at(*steps),
                    f"pods could not reach {who} ({text}): the cluster's Services have {SERVICES} "
                    "(allowed: networks outside of it)",
                )


def _access(cluster: Kubernetes, steps: tuple[Step, ...]) -> Iterator[Fault]:
    for place, text in enumerate(cluster.public_access_from):
        where = at(*steps, "public_access_from", place)
        found = parsed(text)
        wanted = "the lab's or office's public network, as 203.0.113.0/24"
        if found is None:
            yield Fault(where, f"'{text}' is no network (allowed: {wanted})")
        elif found.prefixlen < 8:
            yield Fault(where, f"'{text}' is nearly everybody (allowed: {wanted})")
        elif not found.is_global and not any(found.subnet_of(each) for each in DOCUMENTATION):
            yield Fault(where, f"'{text}' is no public network (allowed: {wanted})")


def _pool(pool: Pool, steps: tuple[Step, ...]) -> Iterator[Fault]:
    for place, name in enumerate(pool.families):
        where = (*steps, "families", place)
        unknown = list(named_family(name, where))
        yield from unknown
        found = None if unknown else family(name)
        if found is None:
            continue
        if pool.gpu and not found.gpu:
            yield Fault(at(*where), f"{name} has no GPU, and the pool is for GPUs (allowed: as g5)")
        if found.gpu and not pool.gpu:
            what = f"{name} has GPUs, and the pool is not for them"
            yield Fault(at(*where), f"{what} (allowed: gpu: true, or a family as m7i)")
        if found.architecture != pool.architecture:
            what = f"{name} is {found.architecture}, and the pool is {pool.architecture}"
            yield Fault(at(*where), f"{what} (allowed: one architecture in a pool)")
        if pool.market == "spot" and not found.spot:
            yield Fault(at(*where), f"{name} is never sold as spot (allowed: on-demand)")
    if pool.gpu and not pool.max_gpus:
        what = "is 0, so the pool for GPUs would start none (allowed: 1 or more)"
        yield Fault(at(*steps, "max_gpus"), what)
    if pool.max_gpus and not pool.gpu:
        what = f"is {pool.max_gpus}, and the pool is not for GPUs (allowed: 0, or gpu: true)"
        yield Fault(at(*steps, "max_gpus"), what)


def _ray(ray: Ray, cluster: Kubernetes, steps: tuple[Step, ...]) -> Iterator[Fault]:
    version = tuple(int(part) for part in ray.version.split(".") if part)
    if version < OLDEST_RAY:
        yield Fault(
            at(*steps, "version"),
            f"'{ray.version}' knows no token authentication, and anybody in the network could run "
            f"code (allowed: {'.'.join(map(str, OLDEST_RAY))} or newer)",
        )
    most = max((pool.max_gpus for pool in cluster.pools.values() if pool.gpu), default=0)
    for name, group in ray.groups.items():
        here = (*steps, "groups", name)
        if group.gpus and not most:
            what = f"{group.gpus} GPUs a worker, and no pool has GPUs: it would be Pending for ever"
            yield Fault(at(*here, "gpus"), f"{what} (allowed: 0, or a pool with gpu: true)")
        elif group.gpus > most:
            what = f"{group.gpus} GPUs a worker, and no pool may have more than {most}"
            yield Fault(at(*here, "gpus"), f"{what} (allowed: {most} at most)")
        for key, wanted, most_of_all in (
            ("cpus", group.cpus, cluster.quota_cpus),
            ("memory_gib", group.memory_gib, cluster.quota_memory_gib),
            ("gpus", group.gpus, cluster.quota_gpus),
        ):
            if wanted > most_of_all:
                what = f"{wanted} a worker, and quota_{key} lets the namespace have {most_of_all}"
                yield Fault(at(*here, key), f"{what} (allowed: {most_of_all} at most)")
