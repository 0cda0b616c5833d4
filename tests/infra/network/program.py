"""A program of sites and labs, from structured settings, for the tests of the network's components.

It composes as the environment's program does, with nothing but networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.network.existing import Existing, ExistingArgs
from infra.network.peering import Peering, PeeringArgs, PeeringSide
from infra.network.site import Site, SiteArgs, SiteNetwork
from infra.network.vpn import Vpn, VpnArgs, VpnGateway, VpnGatewayArgs
from infra.plan import asn, cidr, routes
from infra.settings.types import ExistingVpc, Lab

ENVIRONMENT = "dev"


def deploy() -> None:
    """Make what the settings `sites` and `labs` say."""
    config = pulumi.Config("net")
    sites: Mapping[str, Any] = config.require_object("sites")
    labs = {
        name: Lab(**{**lab, "networks": tuple(lab["networks"]), "sites": tuple(lab["sites"])})
        for name, lab in (config.get_object("labs") or {}).items()
    }
    regions = sorted({site["region"] for site in sites.values()})
    tags = aws.ProviderDefaultTagsArgs(tags={"ems-environment": ENVIRONMENT})
    providers = {
        region: aws.Provider(f"dev-{region}", region=region, default_tags=tags)
        for region in regions
    }
    networks = {name: _network(name, site, providers) for name, site in sites.items()}
    links = {name: routes.LabLinks(lab.networks, lab.sites) for name, lab in labs.items()}
    cidrs = {name: site["cidr"] for name, site in sites.items()}
    topology = routes.Topology(cidrs, links, config.get_bool("join") is not False)
    _join(topology, sites, networks, providers)
    _connect(topology, labs, sites, networks, providers)
    if config.get_bool("files"):
        for name, network in networks.items():
            _files(name, network, topology, providers[sites[name]["region"]])


def _files(
    name: str, network: SiteNetwork, topology: routes.Topology, provider: aws.Provider
) -> None:
    """Make a group as a file system has one: port 2049, for the site's clients."""
    opts = pulumi.ResourceOptions(provider=provider)
    group = aws.ec2.SecurityGroup(f"{ENVIRONMENT}-{name}-files", vpc_id=network.vpc_id, opts=opts)
    for client, network_ in routes.clients(topology, name).items():
        aws.vpc.SecurityGroupIngressRule(
            f"{ENVIRONMENT}-{name}-files-{client}",
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=2049,
            to_port=2049,
            cidr_ipv4=network_,
            opts=opts,
        )
    groups = {"files": group.id, "jobs": network.job_security_group}
    private, public = (dict(s) for s in (network.private_subnets, network.public_subnets))
    subnets = {"private": private, "public": public, "jobs": dict(network.job_subnets)}
    pulumi.export(name, {"groups": groups, "subnets": subnets})


def _network(name: str, site: Mapping[str, Any], providers: Mapping[str, Any]) -> SiteNetwork:
    opts = pulumi.ResourceOptions(provider=providers[site["region"]])
    zones, endpoints = tuple(site["zones"]), tuple(site.get("endpoints", ()))
    if "vpc" in site:
        vpc = ExistingVpc(**site["vpc"])
        args = ExistingArgs(vpc, site["region"], site["cidr"], zones, endpoints)
        return Existing(f"{ENVIRONMENT}-{name}", args, opts).network
    bucket = None
    if site.get("flow_logs"):
        bucket = aws.s3.Bucket(f"{ENVIRONMENT}-{name}-logs", opts=opts).arn
    made = Site(
        f"{ENVIRONMENT}-{name}",
        SiteArgs(
            plan=cidr.plan(site["cidr"], zones),
            region=site["region"],
            nat=site.get("nat", "none"),
            endpoints=endpoints,
            flow_logs_bucket=bucket,
            protect=site.get("protect", False),
        ),
        opts,
    )
    return made.network


def _join(
    topology: routes.Topology,
    sites: Mapping[str, Any],
    networks: Mapping[str, SiteNetwork],
    providers: Mapping[str, Any],
) -> None:
    def side(name: str) -> PeeringSide:
        region = sites[name]["region"]
        return PeeringSide(name, region, networks[name], providers[region])

    for one, other in routes.peerings(topology):
        Peering(f"{ENVIRONMENT}-{one}-{other}", PeeringArgs(ENVIRONMENT, side(one), side(other)))


def _connect(
    topology: routes.Topology,
    labs: Mapping[str, Lab],
    sites: Mapping[str, Any],
    networks: Mapping[str, SiteNetwork],
    providers: Mapping[str, Any],
) -> None:
    asns = asn.site_asns(topology.sites, labs={name: lab.asn for name, lab in labs.items()})
    gateways: dict[str, VpnGateway] = {}
    for site, lab in routes.connections(topology):
        opts = pulumi.ResourceOptions(provider=providers[sites[site]["region"]])
        if site not in gateways:
            args = VpnGatewayArgs(networks[site], asns[site])
            gateways[site] = VpnGateway(f"{ENVIRONMENT}-{site}-vpn", args, opts)
        topic = aws.sns.Topic(f"{ENVIRONMENT}-{site}-{lab}-alarms", opts=opts)
        vpn = Vpn(
            f"{ENVIRONMENT}-{site}-{lab}",
            VpnArgs(
                environment=ENVIRONMENT,
                site=site,
                lab=lab,
                settings=labs[lab],
                network=networks[site],
                gateway=gateways[site].id,
                site_asn=asns[site],
                alarms_topic=topic.arn,
            ),
            opts,
        )
        pulumi.export(
            f"{site}-{lab}",
            {
                "connection": vpn.connection_id,
                "addresses": list(vpn.tunnel_addresses),
                "inside": list(vpn.inside_cidrs),
                "keys": vpn.keys_arn,
            },
        )
