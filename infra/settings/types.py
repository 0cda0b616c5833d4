"""What an environment can have: the types behind stacks/Pulumi.<env>.yaml.

Knows every key, its default and the form of its value. Does not know how values are read, nor the
rules between them (`rules.py`), nor what AWS offers (`infra/preflight`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Cidr = Annotated[
    str,
    Meta(
        pattern=r"^(\d{1,3}\.){3}\d{1,3}/\d{1,2}$",
        description="an IPv4 network such as 10.16.0.0/16",
        examples=["10.16.0.0/16"],
    ),
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]([a-z0-9-]{0,14}[a-z0-9])?$",
        description="lower-case letters, digits and hyphens, 16 at most, a letter first",
    ),
]
AccountId = Annotated[str, Meta(pattern=r"^\d{12}$", description="12 digits, in quotes")]
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an e-mail address")]
Region = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="a region such as us-west-2",
        examples=["us-west-2"],
    ),
]
ZoneId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{2,6}\d-az\d$",
        description="a zone's id such as usw2-az1, never its name: that differs by account",
        examples=["usw2-az1"],
    ),
]
RoleArn = Annotated[
    str,
    Meta(
        pattern=r"^arn:aws:iam::\d{12}:role/[\w+=,.@/-]+$",
        description="the ARN of an IAM role: `arn:aws:iam::ACCOUNT:role/NAME`",
    ),
]
PrincipalArn = Annotated[
    str,
    Meta(
        pattern=r"^arn:aws:iam::\d{12}:(user|role)/[\w+=,.@/-]+$",
        description="the ARN of an IAM user or role: `arn:aws:iam::ACCOUNT:role/NAME`",
    ),
]
VpcId = Annotated[str, Meta(pattern=r"^vpc-[0-9a-f]{8,17}$", description="a VPC's id: vpc-0123…")]
SubnetId = Annotated[
    str, Meta(pattern=r"^subnet-[0-9a-f]{8,17}$", description="a subnet's id: subnet-0123…")
]
RouteTableId = Annotated[
    str, Meta(pattern=r"^rtb-[0-9a-f]{8,17}$", description="a route table's id: rtb-0123…")
]
Family = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9-]*$",
        description="an instance family such as c7i, without a size",
        examples=["c7i"],
    ),
]
Families = Annotated[tuple[Family, ...], Meta(min_length=1)]
TagKey = Annotated[
    str,
    Meta(
        pattern=r"^[\w .:/=+@-]{1,128}$",
        description="1 to 128 letters, digits, spaces and _ . : / = + - @",
    ),
]
TagValue = Annotated[
    str,
    Meta(
        pattern=r"^[\w .:/=+@-]{0,256}$",
        description="up to 256 letters, digits, spaces and _ . : / = + - @",
    ),
]
Market = Literal["spot", "on-demand"]
Architecture = Literal["x86_64", "arm64"]
Asn = Annotated[int, Meta(ge=1, le=4294967294, description="a BGP autonomous system number")]
Days = Annotated[int, Meta(ge=1, le=3650)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all: frozen, by keyword, and no key that it does not know."""


class ExistingVpc(Settings, frozen=True):
    """A VPC that the lab has already: EMS makes no network there, only what runs in it."""

    id: VpcId
    """The VPC; its network is the site's `cidr`."""
    public_subnets: Mapping[ZoneId, SubnetId] = {}
    """Zone id → subnet id; subnets with a route to an internet gateway and public addresses."""
    private_subnets: Mapping[ZoneId, SubnetId] = {}
    """Zone id → subnet id; subnets that reach AWS's APIs by NAT or interface endpoints."""
    route_tables: tuple[RouteTableId, ...] = ()
    """All route tables that VPN, peering and the S3 gateway endpoint shall fill."""


class Storage(Settings, frozen=True):
    """Where a site keeps data."""

    file_system: bool = True
    """An EFS file system beside the bucket."""
    backup: bool = False
    """Daily backups of the file system by AWS Backup."""
    throughput: Literal["bursting", "elastic"] = "bursting"
    """Bursting grows with what is stored and costs nothing; elastic is paid by what is moved."""
    infrequent_access_after_days: Literal[1, 7, 14, 30, 60, 90, 180, 270, 365] = 30
    """After how many days without a read a file goes to the cheaper storage class."""
    old_versions_days: Days = 30
    """How long overwritten and deleted objects can be had back."""
    scratch_days: Days = 14
    """How long objects under `scratch/` are kept."""


class InstanceQueue(Settings, frozen=True):
    """Queues for one instance type: one for each market named."""

    type: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$",
            description="an instance type such as g5.2xlarge",
            examples=["g5.2xlarge"],
        ),
    ]
    """The instance type; vCPUs and GPUs are looked up at AWS before anything is made."""
    markets: Annotated[tuple[Market, ...], Meta(min_length=1)] = ("spot",)
    """A queue of its own for each."""
    max_vcpus: Annotated[int, Meta(ge=1, le=100_000)] = 64
    """The most vCPUs that each of them runs at once; one instance's at least."""


class GeneralQueue(Settings, frozen=True):
    """The queue where AWS picks an instance from families."""

    families: Families = ("c7i", "m7i", "r7i")
    """Instance families, all with GPUs or all without, all of the one architecture."""
    market: Market = "spot"
    """Where its instances are bought."""
    architecture: Architecture = "x86_64"
    """What its families are; images must be built for it."""
    max_vcpus: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """The most vCPUs that it runs at once."""


class Batch(Settings, frozen=True):
    """AWS Batch at a site: nothing runs, and nothing is paid for, until a job is submitted."""

    queues: tuple[InstanceQueue, ...] = ()
    """Instance types that jobs can ask for by name: what the optimizer chooses is what runs."""
    general: GeneralQueue | None = GeneralQueue()
    """The queue where AWS picks; `null` for none."""
    fair_share: bool = True
    """Queues share by submitter; every submission then names one. A change replaces the queues."""
    share_decay_minutes: Annotated[int, Meta(ge=0, le=10_080)] = 60
    """How long what a submitter has used counts against them."""
    disk_gib: Annotated[int, Meta(ge=30, le=16_384)] = 100
    """The disk of each instance, encrypted, shared by the jobs that run on it."""
    runnable_minutes: Annotated[int, Meta(ge=10, le=1440)] = 60
    """How long the job at a queue's head may wait for what can't come, before it is canceled."""
    image_version: Annotated[str, Meta(pattern=r"^(latest|ami-[0-9a-f]{8,17})$")] = "latest"
    """The AMI of new instances: AWS's recommended one of the day of `up`, or one by id."""


class Pool(Settings, frozen=True):
    """A node pool of the cluster: what it may start, and how much of it."""

    families: Families
    """Instance families from which Auto Mode picks."""
    market: Market = "spot"
    """Where its instances are bought."""
    architecture: Architecture = "x86_64"
    """What its families are; images must be built for it."""
    gpu: bool = False
    """Whether it is for pods that ask for GPUs, and for no others."""
    max_cpus: Annotated[int, Meta(ge=1)] = 128
    """The most vCPUs of all its nodes together."""
    max_gpus: Annotated[int, Meta(ge=0)] = 0
    """The most GPUs of all its nodes together; needed where `gpu` is true."""


class RayGroup(Settings, frozen=True):
    """A group of Ray workers, of one shape, that the autoscaler starts and ends."""

    cpus: Annotated[int, Meta(ge=1)] = 4
    """vCPUs of one worker."""
    memory_gib: Annotated[int, Meta(ge=1)] = 16
    """Memory of one worker."""
    gpus: Annotated[int, Meta(ge=0)] = 0
    """GPUs of one worker; a pool with GPUs must be there."""
    max_workers: Annotated[int, Meta(ge=1, le=1000)] = 8
    """How far the autoscaler goes."""


class Ray(Settings, frozen=True):
    """Ray on the cluster: KubeRay always, a standing RayCluster only by choice."""

    cluster: bool = False
    """A RayCluster that stands; otherwise RayJobs start their own."""
    version: Annotated[
        str,
        Meta(
            pattern=r"^\d{1,4}\.\d{1,4}\.\d{1,4}$",
            description="a release of Ray in quotes, such as 2.52.0",
        ),
    ] = "2.52.0"
    """Ray's release, in the image and for tokens: 2.52.0 or newer."""
    image: str = ""
    """The image of head and workers; `rayproject/ray:<version>` if empty."""
    groups: Annotated[Mapping[Name, RayGroup], Meta(min_length=1)] = field(
        default_factory=lambda: {"cpu": RayGroup()}
    )
    """The workers by group; a RayCluster's own, and what RayJobs may start."""


class Kubernetes(Settings, frozen=True):
    """An EKS cluster in Auto Mode: the control plane costs by the hour, jobs or no jobs.

    So does one node of Auto Mode's own, where a file system's driver or KubeRay runs on it.
    """

    version: Annotated[
        str,
        Meta(
            pattern=r"^1\.\d{2}$", description='a release of Kubernetes in quotes, such as "1.36"'
        ),
    ] = "1.36"
    """The release of Kubernetes; it can go up by one at a time and never down. AWS supports 1.36
    until 2027-08-02, and raises by itself what is older than it supports."""
    public_access_from: tuple[Cidr, ...] = ()
    """Networks that reach the API server over the internet; none: only the VPC, labs and peers."""
    admins: tuple[PrincipalArn, ...] = ()
    """ARNs of the IAM roles and users that administer the cluster: all of them, and everybody who
    deploys among them. With none, the one that deploys, which must then always be the same."""
    pools: Mapping[Name, Pool] = {}
    """Node pools by name, beside Auto Mode's own `general-purpose` and `system`, which have neither
    GPUs nor spot."""
    namespace: Name = "ems"
    """Where jobs run: a namespace of their own, never one of Kubernetes' or of KubeRay."""
    quota_cpus: Annotated[int, Meta(ge=1)] = 256
    """What all pods of the namespace may ask for together."""
    quota_memory_gib: Annotated[int, Meta(ge=1)] = 1024
    """As `quota_cpus`, for memory."""
    quota_gpus: Annotated[int, Meta(ge=0)] = 8
    """As `quota_cpus`, for GPUs."""
    ray: Ray | None = None
    """Ray on this cluster; `null` for none."""


class Site(Settings, frozen=True):
    """One place in the sky: a region with its network, and what runs there."""

    region: Region
    """The AWS region; a site never moves."""
    cidr: Cidr
    """The site's network, /16 to /20; the same for ever, so leave room."""
    zones: Annotated[tuple[ZoneId, ...], Meta(min_length=1, max_length=3)]
    """Zone ids (`usw2-az1`), which mean the same zone in every account. Add new ones at the end."""
    nat: Literal["none", "one", "zone"] = "none"
    """NAT gateways for private subnets: none, one for the site, or one in each zone. With none,
    jobs go into public subnets into which nothing can come; multi-node jobs need NAT."""
    endpoints: tuple[str, ...] = ()
    """Interface endpoints by service (`ecr.api`), each paid by hour and zone."""
    flow_logs: bool = False
    """A record of all connections of the network, in the site's bucket."""
    vpc: ExistingVpc | None = None
    """The lab's own VPC in place of a new one; `cidr` and `zones` then say what it has."""
    asn: Annotated[int, Meta(ge=64512, le=65534)] | None = None
    """The site's side of BGP. Chosen from the site's network if not set."""
    storage: Storage = Storage()
    """The site's bucket and file system."""
    images: tuple[Name, ...] = ("worker",)
    """Names of the ECR repositories."""
    batch: Batch | None = Batch()
    """AWS Batch; `null` for none."""
    kubernetes: Kubernetes | None = None
    """An EKS cluster ($73 a month and its nodes); none if not set."""
    sagemaker: bool = False
    """The role and the place that SageMaker's training jobs and endpoints need."""


class Lab(Settings, frozen=True):
    """A lab that is joined to sites by site-to-site VPN: its gateway and its networks."""

    address: Annotated[
        str,
        Meta(
            pattern=r"^(\d{1,3}\.){3}\d{1,3}$",
            description="a public IPv4 address such as 203.0.113.10",
            examples=["203.0.113.10"],
        ),
    ]
    """The public IPv4 address of the lab's gateway."""
    networks: Annotated[tuple[Cidr, ...], Meta(min_length=1)]
    """The lab's own networks that sites reach through it."""
    sites: Annotated[tuple[Name, ...], Meta(min_length=1)]
    """The sites that the lab uses; each has a VPN connection of two tunnels ($44 a month)."""
    routing: Literal["static", "bgp"] = "static"
    """Static names `networks` to AWS; with BGP the lab's router tells them."""
    asn: Asn = 65000
    """The lab's side of BGP."""


class Budget(Settings, frozen=True):
    """What the environment may cost, and who hears of it at 50, 80 and 100 percent, and ahead."""

    monthly_usd: Annotated[int, Meta(ge=1)]
    """US dollars a month, by the environment's tag."""
    emails: Annotated[tuple[Email, ...], Meta(max_length=10)] = ()
    """Who is written to, beside the subscribers of the home region's topic."""


class Access(Settings, frozen=True):
    """Who may submit jobs. The policy is made in any case; a role only where somebody is named."""

    researchers: tuple[PrincipalArn, ...] = ()
    """ARNs of users and roles that may take the submit role."""


class Environment(Settings, frozen=True):
    """An environment as a whole; the file's keys are `ems:<field>`."""

    accounts: Annotated[tuple[AccountId, ...], Meta(min_length=1)]
    """The accounts where this environment may be deployed; any other is refused."""
    sites: Annotated[Mapping[Name, Site], Meta(min_length=1)]
    """The sites by name; a name stays, as everything at the site is named by it."""
    labs: Mapping[Name, Lab] = {}
    """The labs by name, each joined to the sites that it names."""
    home: str = ""
    """The region that keeps what the environment has once: the outputs in SSM, the budget's topic.
    Needed where sites lie in several regions, as it must not move when one is added."""
    join_sites: bool = True
    """Peer every site with every other, so that jobs and data reach across."""
    protect: bool = False
    """`destroy` is refused until this is turned off; what holds data survives a removal."""
    budget: Budget | None = None
    """What it may cost; without one nobody hears of it."""
    alarm_emails: tuple[Email, ...] = ()
    """Who is told that a tunnel is down."""
    access: Access = Access()
    """Who may submit jobs."""
    boundary: Annotated[
        str,
        Meta(
            pattern=r"^(arn:aws:iam::\d{12}:policy/[\w+=,.@/-]+)?$",
            description="the ARN of an IAM policy: `arn:aws:iam::ACCOUNT:policy/NAME`",
        ),
    ] = ""
    """The ARN of the permissions boundary that every role gets. The account's program makes one,
    and who deploys with a role of it can make no role without."""
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 180, 365] = 30
    """How long logs of jobs and clusters are kept."""
    tags: Mapping[TagKey, TagValue] = {}
    """Tags on everything, beside `ems-project` and `ems-environment`."""
