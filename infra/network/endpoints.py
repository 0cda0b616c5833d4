"""Ways from a site's network to AWS's own services that don't lead over the internet.

The gateway endpoint of S3 costs nothing and every site has it; interface endpoints are paid by hour
and zone, and are made by choice. Which ones jobs need is said in `infra.plan.routes`, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True)
class EndpointsArgs:
    """Which services get interface endpoints, and where."""

    services: tuple[str, ...]
    """Without the region: `ecr.api`, `logs`."""
    region: str
    vpc_id: pulumi.Input[str]
    cidr: str
    """The site's network, which alone may call."""
    subnets: Mapping[str, pulumi.Input[str]]


class Endpoints(pulumi.ComponentResource):
    """Interface endpoints in a site's private subnets; services answer under their usual names."""

    security_group: pulumi.Output[str]
    ids: Mapping[str, pulumi.Output[str]]

    def __init__(
        self, name: str, args: EndpointsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:network:Endpoints", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.security_group = self._group()
        self.ids = {service: self._endpoint(service) for service in args.services}
        self.register_outputs({"ids": self.ids, "securityGroup": self.security_group})

    def _group(self) -> pulumi.Output[str]:
        group = aws.ec2.SecurityGroup(
            f"{self._name}-group",
            vpc_id=self._args.vpc_id,
            description="EMS interface endpoints: HTTPS from the site",
            tags={"Name": self._name},
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-https",
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=self._args.cidr,
            description="HTTPS from the site",
            opts=self._child,
        )
        return group.id

    def _endpoint(self, service: str) -> pulumi.Output[str]:
        args = self._args
        return aws.ec2.VpcEndpoint(
            f"{self._name}-{service}",
            vpc_id=args.vpc_id,
            service_name=f"com.amazonaws.{args.region}.{service}",
            vpc_endpoint_type="Interface",
            # without it the usual name resolves to the public address, out of reach without NAT
            private_dns_enabled=True,
            subnet_ids=list(args.subnets.values()),
            security_group_ids=[self.security_group],
            tags={"Name": f"{self._name}-{service}"},
            opts=self._child,
        ).id


def s3_endpoint(
    name: str,
    region: str,
    vpc_id: pulumi.Input[str],
    route_tables: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Make the gateway endpoint of S3 in all route tables: it serves only tables that are listed.

    Buckets of other regions, and traffic that comes over VPN or peering, don't go through it.
    """
    return aws.ec2.VpcEndpoint(
        f"{name}-s3",
        vpc_id=vpc_id,
        service_name=f"com.amazonaws.{region}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=list(route_tables.values()),
        tags={"Name": f"{name}-s3"},
        opts=opts,
    ).id
