"""Two sites joined by VPC peering, in one region or across two, with routes on both sides.

Peering isn't transitive: every pair of sites that shall reach each other has its own connection.
Knows no port: security groups are made where something is served.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.network.site import SiteNetwork


@dataclass(frozen=True)
class PeeringSide:
    """One of the two sites, and the provider of its region."""

    site: str
    region: str
    network: SiteNetwork
    provider: aws.Provider


@dataclass(frozen=True)
class PeeringArgs:
    """Who asks and who accepts, as `infra.plan.routes.peerings` says."""

    environment: str
    requester: PeeringSide
    accepter: PeeringSide


class Peering(pulumi.ComponentResource):
    """A peering connection, accepted, with routes in every table of both sites."""

    connection_id: pulumi.Output[str]
    """Known once it is accepted."""

    def __init__(
        self, name: str, args: PeeringArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:network:Peering", name, None, opts)
        self._name, self._environment = name, args.environment
        asks, accepts = args.requester, args.accepter
        request = aws.ec2.VpcPeeringConnection(
            f"{name}-request",
            vpc_id=asks.network.vpc_id,
            peer_vpc_id=accepts.network.vpc_id,
            peer_region=accepts.region,
            auto_accept=False,
            tags={"Name": name},
            opts=self._at(asks),
        )
        accepted = aws.ec2.VpcPeeringConnectionAccepter(
            f"{name}-accept",
            vpc_peering_connection_id=request.id,
            auto_accept=True,
            tags={"Name": name},
            opts=self._at(accepts),
        )
        # all that follows takes the id from the accepter: a connection that is not yet accepted
        # takes neither routes nor options
        self.connection_id = accepted.id
        self._names(asks, accepts)
        self._routes(asks, accepts)
        self._routes(accepts, asks)
        self.register_outputs({"connectionId": self.connection_id})

    def _at(self, side: PeeringSide) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, provider=side.provider)

    def _names(self, asks: PeeringSide, accepts: PeeringSide) -> None:
        """Let names of each side resolve to private addresses on the other."""
        name, resolve = self._name, {"allow_remote_vpc_dns_resolution": True}
        aws.ec2.PeeringConnectionOptions(
            f"{name}-{asks.site}-names",
            vpc_peering_connection_id=self.connection_id,
            requester=aws.ec2.PeeringConnectionOptionsRequesterArgs(**resolve),
            opts=self._at(asks),
        )
        aws.ec2.PeeringConnectionOptions(
            f"{name}-{accepts.site}-names",
            vpc_peering_connection_id=self.connection_id,
            accepter=aws.ec2.PeeringConnectionOptionsAccepterArgs(**resolve),
            opts=self._at(accepts),
        )

    def _routes(self, here: PeeringSide, there: PeeringSide) -> None:
        for key, table in here.network.route_tables.items():
            aws.ec2.Route(
                # by table and destination, of which AWS takes one: a site that gets another name
                # with the same network keeps its route, which then leads another way
                f"{self._environment}-{here.site}-{key}-to-{there.network.cidr.replace('/', '-')}",
                route_table_id=table,
                destination_cidr_block=there.network.cidr,
                vpc_peering_connection_id=self.connection_id,
                opts=self._at(here),
            )
