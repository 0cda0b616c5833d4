"""What an environment offers, as its programs export it and as everybody reads it.

Knows names, addresses and amounts, all plain data. Holds no secret: where one is needed its
reference stands. Does not know how outputs travel (`reading.py`), jobs, or any client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, dataclass_transform

from msgspec import Struct, field

SCHEMA = 1
"""The release of these types; raised when what is there changes its meaning."""
OLDEST = 1
"""The oldest release that is still read."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class Outputs(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of all. A key that is not known is left alone: it came with a later release."""


class JobNetwork(Outputs):
    """Where jobs get their network interfaces."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    public: bool
    """Whether jobs have public addresses (no NAT: nothing can be opened to them from outside)."""


class Network(Outputs):
    """A site's network."""

    vpc: str
    cidr: str
    zones: tuple[str, ...]
    jobs: JobNetwork


class FileSystem(Outputs):
    """An EFS file system."""

    id: str
    access_points: Mapping[str, str]
    """Purpose (`data`, `scratch`) → access point id."""
    addresses: Mapping[str, str]
    """Zone id → the mount target's address: labs and other sites mount by address, port 2049."""


class Storage(Outputs):
    """Where a site keeps data."""

    bucket: str
    file_system: FileSystem | None = None


class Images(Outputs):
    """A site's registry: repository name → address to push to and pull from."""

    registry: str
    repositories: Mapping[str, str]


class Queue(Outputs):
    """A Batch queue and what its compute environment starts."""

    name: str
    kind: Literal["type", "general"]
    instance_types: tuple[str, ...]
    """The one type of a `type` queue; the families of a `general` one."""
    market: Literal["spot", "on-demand"]
    architecture: Literal["x86_64", "arm64"]
    max_vcpus: int
    fair_share: bool
    """Whether a submission must name a share identifier (letters and digits) or must not.

    Where it must, each job needs a scheduling priority too: in its definition
    (`schedulingPriority`) or by its submission (`schedulingPriorityOverride`).
    """
    gpu: bool = False


class Batch(Outputs):
    """AWS Batch at a site; queues by a name that stays (`c7i-4xlarge-spot`, `general`)."""

    queues: Mapping[str, Queue]
    log_group: str
    job_role: str
    execution_role: str


class Ray(Outputs):
    """Ray at a site; without an address, jobs start their own clusters (RayJob)."""

    version: str
    image: str
    address: str = ""
    """`http://host:8265` of the standing cluster's Jobs API, reached from the VPC and the labs."""
    token: str = ""
    """Where the token lies: `kubernetes:<namespace>/<secret>/<key>`."""


class Workspace(Outputs):
    """What the cluster's own program made: where jobs run inside the cluster."""

    namespace: str
    service_account: str
    claim: str = ""
    """The PersistentVolumeClaim of the site's file system."""
    pools: tuple[str, ...] = ()
    ray: Ray | None = None


class Kubernetes(Outputs):
    """An EKS cluster."""

    cluster: str
    arn: str
    endpoint: str
    certificate: str
    """The cluster's certificate authority, base64; public."""
    job_role: str
    workspace: Workspace | None = None


class SageMaker(Outputs):
    """What SageMaker's training jobs and endpoints of a site need."""

    role: str
    output: str
    """`s3://bucket/prefix` for models and checkpoints."""


class Site(Outputs):
    """One place in the sky."""

    region: str
    network: Network
    storage: Storage
    images: Images
    batch: Batch | None = None
    kubernetes: Kubernetes | None = None
    sagemaker: SageMaker | None = None
    alarms: str = ""
    """The SNS topic of the region's alarms."""


class Tunnel(Outputs):
    """One of the two tunnels of a VPN connection, seen from the lab."""

    address: str
    """The public address of AWS's end."""
    inside_cidr: str
    """A /30: the first address is AWS's end, the second the lab's."""


class Vpn(Outputs):
    """A VPN connection from a lab to a site."""

    connection: str
    site_cidr: str
    site_asn: int
    tunnels: tuple[Tunnel, Tunnel]
    keys: str
    """The ARN of the secret (Secrets Manager) that holds both pre-shared keys."""


class Lab(Outputs):
    """A lab, and its VPN connections by site."""

    address: str
    networks: tuple[str, ...]
    routing: Literal["static", "bgp"]
    asn: int
    sites: Mapping[str, Vpn]


class StackOutputs(Outputs, omit_defaults=False):
    """An environment: sites by name, and the labs that are joined to them.

    Nothing is left out where it is written, `schema` least of all.
    """

    environment: str
    account: str
    sites: Mapping[str, Site]
    labs: Mapping[str, Lab] = {}
    submit_policies: Mapping[str, str] = {}
    """Site → the ARN of the policy that lets its holder submit jobs there."""
    submit_role: str = ""
    schema: int = SCHEMA


class ClusterOutputs(Outputs, omit_defaults=False):
    """What the clusters' own program publishes: the workspace of each site that has a cluster."""

    environment: str
    workspaces: Mapping[str, Workspace]
    schema: int = SCHEMA
