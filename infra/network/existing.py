"""A VPC that a lab has already, in the form that EMS's own sites have.

Makes no network there: only the jobs' security group and, where route tables are named, the gateway
endpoint of S3. Does not check what the ids stand for (`infra/preflight`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.network.endpoints import Endpoints, EndpointsArgs, s3_endpoint
from infra.network.security import job_group
from infra.network.site import SiteNetwork
from infra.settings.types import ExistingVpc


@dataclass(frozen=True)
class ExistingArgs:
    """The lab's VPC by its ids, and the site's own settings that hold there too."""

    vpc: ExistingVpc
    region: str
    cidr: str
    zones: tuple[str, ...]
    endpoints: tuple[str, ...] = ()


class Existing(pulumi.ComponentResource):
    """A lab's own VPC as a site's network; `network` is what others use."""

    network: SiteNetwork

    def __init__(
        self, name: str, args: ExistingArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:network:Existing", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        private = {z: args.vpc.private_subnets[z] for z in args.vpc.private_subnets}
        public = {z: args.vpc.public_subnets[z] for z in args.vpc.public_subnets}
        tables = {table: table for table in args.vpc.route_tables}
        if tables:
            s3_endpoint(name, args.region, args.vpc.id, tables, child)
        if args.endpoints:
            asked = EndpointsArgs(args.endpoints, args.region, args.vpc.id, args.cidr, private)
            Endpoints(f"{name}-endpoints", asked, child)
        group = job_group(name, args.vpc.id, child)
        self.network = SiteNetwork(
            vpc_id=args.vpc.id,
            cidr=args.cidr,
            zones=args.zones,
            public_subnets=public,
            private_subnets=private,
            route_tables=tables,
            # the lab's private subnets reach AWS's APIs: that is what naming them says
            job_subnets=private or public,
            jobs_public=not private,
            job_security_group=group,
        )
        self.register_outputs({"jobSecurityGroup": group})
