"""A site's network in AWS: its VPC, subnets by zone id, ways out, and who may talk to its jobs.

Knows what lies inside one site. Does not know other sites (`peering.py`) nor labs (`vpn.py`); where
subnets lie is planned in `infra.plan.cidr`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

from infra.network.endpoints import Endpoints, EndpointsArgs, s3_endpoint
from infra.network.security import empty_default_group, job_group
from infra.plan.cidr import SubnetPlan
from infra.plan.routes import jobs_public

EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class SiteNetwork:
    """What a site's other parts need of its network; also made for a VPC that a lab has already."""

    vpc_id: pulumi.Input[str]
    cidr: str
    zones: tuple[str, ...]
    public_subnets: Mapping[str, pulumi.Input[str]]
    """Zone id → subnet id."""
    private_subnets: Mapping[str, pulumi.Input[str]]
    route_tables: Mapping[str, pulumi.Input[str]]
    """A name that stays (`public`, `private-usw2-az1`) → id: all that VPN and peering fill."""
    job_subnets: Mapping[str, pulumi.Input[str]]
    """Where jobs get their interfaces: private subnets if those reach AWS's APIs, else public."""
    jobs_public: bool
    job_security_group: pulumi.Input[str]
    """Lets jobs out to everywhere, and nothing in but from other jobs."""


@dataclass(frozen=True)
class SiteArgs:
    """What a site's network is made of."""

    plan: SubnetPlan
    region: str
    nat: Literal["none", "one", "zone"] = "none"
    endpoints: tuple[str, ...] = ()
    """Services with interface endpoints in the private subnets (`ecr.api`)."""
    flow_logs_bucket: pulumi.Input[str] | None = None
    """The ARN of the bucket for flow logs; None: no flow logs. Its policy lets
    `delivery.logs.amazonaws.com` write below `flow-logs/AWSLogs/`."""
    protect: bool = False
    """Refuse to delete or replace the VPC."""


class Site(pulumi.ComponentResource):
    """A VPC with a public and a private subnet in each zone; `network` is what others use."""

    network: SiteNetwork
    vpc_id: pulumi.Output[str]

    def __init__(
        self, name: str, args: SiteArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:network:Site", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.vpc_id = self._vpc().id
        empty_default_group(name, self.vpc_id, self._child)
        in_public = jobs_public(args.nat, args.endpoints)
        public = self._subnets("public", args.plan.public, "elb", addresses=in_public)
        private = self._subnets("private", args.plan.private, "internal-elb", addresses=False)
        tables = {"public": self._public_routes(public)}
        tables |= self._private_routes(public, private, tables["public"])
        private_ids = {zone: subnet.id for zone, subnet in private.items()}
        public_ids = {zone: subnet.id for zone, subnet in public.items()}
        self.network = SiteNetwork(
            vpc_id=self.vpc_id,
            cidr=args.plan.cidr,
            zones=args.plan.zones,
            public_subnets=public_ids,
            private_subnets=private_ids,
            route_tables={key: table.id for key, table in tables.items()},
            job_subnets=public_ids if in_public else private_ids,
            jobs_public=in_public,
            job_security_group=job_group(name, self.vpc_id, self._child),
        )
        self._ways_to_aws()
        if args.flow_logs_bucket is not None:
            self._flow_logs(args.flow_logs_bucket)
        self.register_outputs({"vpcId": self.vpc_id})

    def _vpc(self) -> aws.ec2.Vpc:
        return aws.ec2.Vpc(
            f"{self._name}-vpc",
            cidr_block=self._args.plan.cidr,
            # names of EFS, endpoints and peers resolve only with both
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": self._name},
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
        )

    def _ways_to_aws(self) -> None:
        """Make the endpoints: S3's always, interface ones by choice."""
        name, args, network = self._name, self._args, self.network
        s3_endpoint(name, args.region, self.vpc_id, network.route_tables, self._child)
        if args.endpoints:
            asked = EndpointsArgs(
                args.endpoints, args.region, self.vpc_id, network.cidr, network.private_subnets
            )
            Endpoints(f"{name}-endpoints", asked, self._child)

    def _subnets(
        self, kind: str, cidrs: Mapping[str, str], balancer: str, *, addresses: bool
    ) -> dict[str, aws.ec2.Subnet]:
        """Make a subnet in each zone. The tag says which load balancers Kubernetes puts there."""
        return {
            zone: aws.ec2.Subnet(
                f"{self._name}-{kind}-{zone}",
                vpc_id=self.vpc_id,
                cidr_block=cidr,
                # an id means the same zone in every account; a name does not
                availability_zone_id=zone,
                # without NAT, an instance with no public address never registers with Batch
                map_public_ip_on_launch=addresses,
                tags={
                    "Name": f"{self._name}-{kind}-{zone}",
                    f"kubernetes.io/role/{balancer}": "1",
                },
                opts=self._child,
            )
            for zone, cidr in cidrs.items()
        }

    def _table(self, key: str) -> aws.ec2.RouteTable:
        # routes are resources of their own, and so is propagation: neither mixes with inline ones
        return aws.ec2.RouteTable(
            f"{self._name}-{key}",
            vpc_id=self.vpc_id,
            tags={"Name": f"{self._name}-{key}"},
            opts=self._child,
        )

    def _associate(self, key: str, subnet: aws.ec2.Subnet, table: aws.ec2.RouteTable) -> None:
        aws.ec2.RouteTableAssociation(
            f"{self._name}-{key}",
            subnet_id=subnet.id,
            route_table_id=table.id,
            # a subnet has one table at a time, so the old tie goes before the new one
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

    def _public_routes(self, subnets: Mapping[str, aws.ec2.Subnet]) -> aws.ec2.RouteTable:
        """Make the internet gateway, and the one table of all public subnets."""
        gateway = aws.ec2.InternetGateway(
            f"{self._name}-internet",
            vpc_id=self.vpc_id,
            tags={"Name": self._name},
            # moved in place it would have to leave a VPC that still has public addresses
            opts=pulumi.ResourceOptions(parent=self, replace_on_changes=["vpcId"]),
        )
        table = self._table("public")
        self._out = aws.ec2.Route(
            f"{self._name}-public-out",
            route_table_id=table.id,
            destination_cidr_block=EVERYWHERE,
            gateway_id=gateway.id,
            opts=self._child,
        )
        for zone, subnet in subnets.items():
            self._associate(f"public-{zone}", subnet, table)
        return table

    def _private_routes(
        self,
        public: Mapping[str, aws.ec2.Subnet],
        private: Mapping[str, aws.ec2.Subnet],
        internet: aws.ec2.RouteTable,
    ) -> dict[str, aws.ec2.RouteTable]:
        """Make a table for each private subnet, with a way out where the site has NAT."""
        nats = {zone: self._nat(zone, public[zone], internet) for zone in self._nat_zones()}
        tables: dict[str, aws.ec2.RouteTable] = {}
        for zone, subnet in private.items():
            key = f"private-{zone}"
            tables[key] = self._table(key)
            self._associate(key, subnet, tables[key])
            if nats:
                nat = nats.get(zone) or next(iter(nats.values()))
                aws.ec2.Route(
                    f"{self._name}-{key}-out",
                    route_table_id=tables[key].id,
                    destination_cidr_block=EVERYWHERE,
                    nat_gateway_id=nat.id,
                    opts=self._child,
                )
        return tables

    def _nat_zones(self) -> tuple[str, ...]:
        zones = self._args.plan.zones
        return {"none": (), "one": zones[:1], "zone": zones}[self._args.nat]

    def _nat(
        self, zone: str, subnet: aws.ec2.Subnet, internet: aws.ec2.RouteTable
    ) -> aws.ec2.NatGateway:
        name = f"{self._name}-nat-{zone}"
        address = aws.ec2.Eip(name, domain="vpc", tags={"Name": name}, opts=self._child)
        return aws.ec2.NatGateway(
            name,
            allocation_id=address.id,
            subnet_id=subnet.id,
            tags={"Name": name},
            opts=pulumi.ResourceOptions(
                parent=self,
                # it needs the way out that it leads to, and goes before that
                depends_on=[self._out, internet],
                # two gateways can't hold one address
                delete_before_replace=True,
            ),
        )

    def _flow_logs(self, bucket_arn: pulumi.Input[str]) -> None:
        aws.ec2.FlowLog(
            f"{self._name}-flow-logs",
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination_type="s3",
            log_destination=pulumi.Output.concat(bucket_arn, "/flow-logs/"),
            # Parquet by day in Hive's form: Athena reads it as it lies
            destination_options=aws.ec2.FlowLogDestinationOptionsArgs(
                file_format="parquet", hive_compatible_partitions=True, per_hour_partition=False
            ),
            max_aggregation_interval=600,
            opts=self._child,
        )
