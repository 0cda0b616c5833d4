"""Site-to-site VPN: a gateway for each site that labs use, and a connection for each lab.

Keys are made by AWS and lie in Secrets Manager: nothing here reads, exports or keeps one. Does not
know what a lab's own device must be told; `emsctl stack vpn` writes that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from ems.stack.gateway.proposals import IKE_VERSIONS, STRONG
from infra.network.site import SiteNetwork
from infra.plan.tunnels import inside
from infra.settings.types import Lab

LARGEST_PLAIN_ASN = 2_147_483_647
"""A customer gateway with a larger number takes it as `bgp_asn_extended`."""


@dataclass(frozen=True)
class VpnGatewayArgs:
    """The network that the gateway serves, and its side of BGP."""

    network: SiteNetwork
    asn: int


class VpnGateway(pulumi.ComponentResource):
    """A site's end of all its VPN connections, with its routes in every route table."""

    id: pulumi.Output[str]

    def __init__(
        self, name: str, args: VpnGatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:network:VpnGateway", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        gateway = aws.ec2.VpnGateway(
            f"{name}-gateway",
            # AWS's default is the same for all, and the number can't be changed later
            amazon_side_asn=str(args.asn),
            tags={"Name": name},
            opts=child,
        )
        attached = aws.ec2.VpnGatewayAttachment(
            f"{name}-attached",
            vpn_gateway_id=gateway.id,
            vpc_id=args.network.vpc_id,
            # a gateway is in one VPC at a time
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.id = gateway.id
        for key, table in args.network.route_tables.items():
            aws.ec2.VpnGatewayRoutePropagation(
                f"{name}-{key}",
                route_table_id=table,
                # of the attachment, not of the gateway: only an attached one propagates
                vpn_gateway_id=attached.vpn_gateway_id,
                opts=child,
            )
        self.register_outputs({"id": gateway.id})


@dataclass(frozen=True)
class VpnArgs:
    """A lab and a site, to be connected."""

    environment: str
    site: str
    lab: str
    settings: Lab
    network: SiteNetwork
    gateway: pulumi.Input[str]
    """The id of the site's `VpnGateway`."""
    site_asn: int
    alarms_topic: pulumi.Input[str] | None = None
    """The topic of the site's own region: alarms reach no other."""


class Vpn(pulumi.ComponentResource):
    """A VPN connection between a lab and a site."""

    connection_id: pulumi.Output[str]
    tunnel_addresses: tuple[pulumi.Output[str], pulumi.Output[str]]
    """AWS's public addresses, in the order of `inside_cidrs`."""
    inside_cidrs: tuple[str, str]
    keys_arn: pulumi.Output[str]
    """Where both keys lie in Secrets Manager."""

    def __init__(
        self, name: str, args: VpnArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:network:Vpn", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.inside_cidrs = inside(args.site_asn, args.lab)
        connection = self._connection()
        self.connection_id = connection.id
        self.tunnel_addresses = (connection.tunnel1_address, connection.tunnel2_address)
        self.keys_arn = connection.preshared_key_arn
        if args.settings.routing == "static":
            self._routes()
        if args.alarms_topic is not None:
            self._alarm(args.alarms_topic)
        self.register_outputs(
            {
                "connectionId": connection.id,
                "tunnelAddresses": list(self.tunnel_addresses),
                "insideCidrs": list(self.inside_cidrs),
                "keysArn": self.keys_arn,
            }
        )

    def _connection(self) -> aws.ec2.VpnConnection:
        """Make the connection; another `routing` makes another one, with new addresses and keys."""
        args = self._args
        static = args.settings.routing == "static"
        return aws.ec2.VpnConnection(
            f"{self._name}-connection",
            type="ipsec.1",
            customer_gateway_id=self._customer_gateway().id,
            vpn_gateway_id=args.gateway,
            static_routes_only=static,
            # with static routes a tunnel carries the site's own traffic and no other, so that labs
            # at one gateway don't meet there; BGP needs the tunnel open
            remote_ipv4_network_cidr=args.network.cidr if static else "0.0.0.0/0",
            preshared_key_storage="SecretsManager",
            tags={"Name": self._name},
            # The addresses inside the tunnels are one connection's at a gateway, and AWS answers a
            # second call for the same two ends with the connection that is there: made first, the
            # new one would be refused, or be the old one and go with it.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
            **_tunnels(self.inside_cidrs),
        )

    def _routes(self) -> None:
        """Name the lab's networks to AWS."""
        for network in self._args.settings.networks:
            aws.ec2.VpnConnectionRoute(
                f"{self._name}-{network.replace('/', '-')}",
                destination_cidr_block=network,
                vpn_connection_id=self.connection_id,
                opts=self._child,
            )

    def _customer_gateway(self) -> aws.ec2.CustomerGateway:
        """Make the lab's end as AWS knows it.

        The device's name is this environment's own: AWS gives the same gateway to whoever asks for
        the same address and number, and the first to delete it would cut the other off.
        """
        args = self._args
        asn = args.settings.asn
        plain = asn <= LARGEST_PLAIN_ASN
        return aws.ec2.CustomerGateway(
            f"{self._name}-device",
            type="ipsec.1",
            ip_address=args.settings.address,
            bgp_asn=str(asn) if plain else None,
            bgp_asn_extended=None if plain else str(asn),
            device_name=f"{args.environment}-{args.site}-{args.lab}",
            tags={"Name": self._name},
            opts=self._child,
        )

    def _alarm(self, topic: pulumi.Input[str]) -> None:
        """Raise an alarm when one of the two tunnels is down for ten minutes, or says nothing."""
        args = self._args
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-down",
            alarm_description=f"VPN of lab {args.lab} to {args.site} ({args.environment}): "
            "a tunnel is down",
            namespace="AWS/VPN",
            metric_name="TunnelState",
            dimensions={"VpnId": self.connection_id},
            # over both tunnels: below 1 as soon as one is down
            statistic="Minimum",
            comparison_operator="LessThanThreshold",
            threshold=1,
            period=300,
            evaluation_periods=2,
            treat_missing_data="breaching",
            alarm_actions=[topic],
            ok_actions=[topic],
            opts=self._child,
        )


def _tunnels(cidrs: tuple[str, str]) -> dict[str, Any]:
    """Return the options of both tunnels: IKEv2 alone, and no proposal that is not strong.

    The lab's gateway begins, and begins again (ADR 19); AWS answers. If both began, there would be
    more than the one pair of security associations that AWS allows a tunnel.
    """
    options: dict[str, Any] = {}
    for number, cidr in enumerate(cidrs, 1):
        options |= {
            f"tunnel{number}_inside_cidr": cidr,
            f"tunnel{number}_ike_versions": list(IKE_VERSIONS),
        }
        for phase in (1, 2):
            prefix = f"tunnel{number}_phase{phase}"
            options |= {
                f"{prefix}_encryption_algorithms": list(STRONG.aws_encryption()),
                f"{prefix}_integrity_algorithms": list(STRONG.aws_integrity()),
                f"{prefix}_dh_group_numbers": list(STRONG.aws_groups()),
            }
    return options
