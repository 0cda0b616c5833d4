"""Ask AWS what an environment's settings rest on: regions, zones, instance types, quotas, VPCs.

Only asks (describe and get), all regions side by side. Knows the calls; does not know what is right
(`faults.py`). What the credentials may not ask is left unknown and said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from ems.errors import EmsError
from ems.stack.aws import Clients, Denied, Missing, asking
from ems.stack.looking import portions, quota_values
from ems.stack.quotas import ADDRESSES, Key, wanted
from infra.preflight import room, standing, vpcs
from infra.preflight.demands import demands
from infra.preflight.room import Used
from infra.preflight.standing import Standing
from infra.preflight.vpcs import Vpc
from infra.settings.fault import Fault
from infra.settings.types import Environment, Site

SPOT_ROLE = "AWSServiceRoleForEC2Spot"
_FIRST = "us-east-1"
"""Every account has this region, so what is asked once is asked there."""
_AT_ONCE = 8
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class InstanceType:
    """An instance type as a region has it."""

    vcpus: int
    gpus: int
    markets: tuple[str, ...]
    zones: tuple[str, ...]
    """Zone ids where it is offered."""


@dataclass(frozen=True)
class Region:
    """A region as the account sees it."""

    open: bool = True
    """Whether the account may use it: some must be opted into."""
    zones: tuple[str, ...] | None = None
    """Zone ids; None where they could not be asked for, as with all that follows."""
    types: Mapping[str, InstanceType] | None = None
    """Of the types and families that the settings name, those that the region has."""
    clusters: Mapping[str, str] | None = None
    """Kubernetes release → how it is supported (`STANDARD_SUPPORT`)."""
    standing: Standing = field(default_factory=Standing)
    """Which clusters are there already."""
    disk_key: str | None = None
    """The KMS key of new disks; AWS's own is `alias/aws/ebs`."""


@dataclass(frozen=True)
class Facts:
    """What AWS said."""

    regions: Mapping[str, Region]
    quotas: Mapping[Key, float | None] = field(default_factory=dict[Key, "float | None"])
    vpcs: Mapping[str, Vpc | None] = field(default_factory=dict[str, "Vpc | None"])
    """Site → its existing VPC, None where there is no such VPC."""
    used: Mapping[Key, Used] = field(default_factory=dict[Key, Used])
    """What the regions have of what the environment wants, by the quota that counts it."""
    spot: bool = True
    """Whether the account has the role that EC2 needs for spot instances."""
    unasked: tuple[Fault, ...] = ()
    """What these credentials may not ask."""


@dataclass(frozen=True)
class Caller:
    """Whose credentials they are."""

    account: str
    role: str
    """The role's name; empty for users."""


def caller(clients: Clients) -> Caller:
    """Return whose credentials they are; raises EmsError where there are none that hold."""
    with asking("AWS credentials"):
        said = _client(clients, "sts", _FIRST).get_caller_identity()
    # of a session the ARN ends in `assumed-role/ROLE/SESSION`, without the role's path
    kind, _, name = str(said["Arn"]).rpartition(":")[2].partition("/")
    return Caller(str(said["Account"]), name.split("/")[0] if kind == "assumed-role" else "")


def account(clients: Clients) -> str:
    """Return the account of the credentials; raises EmsError where there are none that hold."""
    return caller(clients).account


def ask(settings: Environment, clients: Clients, environment: str = "") -> Facts:
    """Return what AWS says of everything that the settings name.

    By `environment` it is known what that one has made already. Raises EmsError where AWS can't be
    asked at all.
    """
    unasked: list[Fault] = []
    sites = settings.sites.values()
    names = sorted({site.region for site in sites})
    status = _tried(unasked, partial(_opened, _client(clients, "ec2", _FIRST))) or {}
    closed = {name for name in names if status.get(name) == "not-opted-in"}
    regions = {name: Region(open=False) for name in closed}
    there = [name for name in names if name not in closed]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = pool.map(lambda name: _region(name, settings, clients, unasked, environment), there)
        regions |= dict(zip(there, asked, strict=True))
    found = {name: one.types or {} for name, one in regions.items()}
    least = {name: {t: each.vcpus for t, each in types.items()} for name, types in found.items()}
    needed = [each for each in demands(settings, least) if each.region not in closed]
    counted = [key for key in room.wanted(settings) if key[0] not in closed]
    return Facts(
        regions,
        quota_values((*wanted(needed), *counted), clients),
        _vpcs(settings, closed, clients, unasked, environment),
        _used(counted, clients, unasked, environment),
        _tried(unasked, partial(_spot, _client(clients, "iam", _FIRST))) is not False,
        tuple(unasked),
    )


def patterns(sites: Iterable[Site]) -> list[str]:
    """Return the instance types that sites name, with `c7i.*` for a family."""
    found: set[str] = set()
    for site in sites:
        if site.batch:
            found |= {queue.type for queue in site.batch.queues}
            if site.batch.general:
                found |= {f"{each}.*" for each in site.batch.general.families}
        if site.kubernetes:
            pools = site.kubernetes.pools.values()
            found |= {f"{each}.*" for pool in pools for each in pool.families}
    return sorted(found)


def _region(
    name: str, settings: Environment, clients: Clients, unasked: list[Fault], environment: str
) -> Region:
    here = [site for site in settings.sites.values() if site.region == name]
    ec2 = _client(clients, "ec2", name)
    clusters, there = None, None
    if wanting := standing.sites_with_clusters(settings, name):
        eks, logs = _client(clients, "eks", name), _client(clients, "logs", name)
        clusters = _tried(unasked, partial(_clusters, eks, name), optional=True)
        look = partial(standing.ask, eks, logs, environment, wanting)
        there = _tried(unasked, look, optional=True)
    return Region(
        zones=_tried(unasked, partial(_zones, ec2, name)),
        types=_tried(unasked, partial(_types, ec2, name, patterns(here))),
        clusters=clusters,
        standing=there or Standing(),
        disk_key=_tried(unasked, partial(_disk_key, ec2, name), optional=True),
    )


def _client(clients: Clients, service: str, region: str) -> Any:
    try:
        return clients(service, region)
    except ValueError as error:  # botocore's word for an address that is none
        raise EmsError("AWS", f"{error}", "unset AWS_ENDPOINT_URL, or mend it") from None


def _tried(
    unasked: list[Fault], ask_it: Callable[[], Answer], *, optional: bool = False
) -> Answer | None:
    """Return the answer; None, with a warning, where these credentials may not ask."""
    try:
        return ask_it()
    except Denied as error:
        said = f"was not checked: {error.problem}"
        unasked.append(Fault(error.subject, said, error.next_step, level="warning"))
    except EmsError:
        if not optional:
            raise
    return None


def _opened(ec2: Any) -> dict[str, str]:
    with asking("AWS regions"):
        found = ec2.describe_regions(AllRegions=True)["Regions"]
    return {each["RegionName"]: each.get("OptInStatus", "") for each in found}


def _spot(iam: Any) -> bool:
    try:
        with asking("the role for spot instances"):
            iam.get_role(RoleName=SPOT_ROLE)
    except Missing:
        return False
    return True


def _disk_key(ec2: Any, region: str) -> str:
    with asking(f"the key of disks in {region}"):
        return str(ec2.get_ebs_default_kms_key_id()["KmsKeyId"])


def _zones(ec2: Any, region: str) -> tuple[str, ...]:
    with asking(f"zones of {region}"):
        found = ec2.describe_availability_zones()["AvailabilityZones"]
    # local and wavelength zones must be opted into, and hold neither EFS nor NAT
    usual = (each for each in found if each.get("ZoneType") == "availability-zone")
    ids = {each["ZoneId"] for each in usual if each.get("OptInStatus") != "not-opted-in"}
    return tuple(sorted(ids))


def _types(ec2: Any, region: str, names: list[str]) -> dict[str, InstanceType]:
    found: dict[str, Any] = {}
    zones: dict[str, set[str]] = {}
    with asking(f"instance types of {region}"):
        for some in portions(names):
            pages = ec2.get_paginator("describe_instance_types").paginate(Filters=[_named(some)])
            found |= {
                each["InstanceType"]: each for page in pages for each in page["InstanceTypes"]
            }
        for some in portions(sorted(found)):
            pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
                LocationType="availability-zone-id", Filters=[_named(some)]
            )
            for page in pages:
                for each in page["InstanceTypeOfferings"]:
                    zones.setdefault(each["InstanceType"], set()).add(each["Location"])
    return {
        name: InstanceType(
            vcpus=each["VCpuInfo"]["DefaultVCpus"],
            gpus=sum(gpu["Count"] for gpu in each.get("GpuInfo", {}).get("Gpus", [])),
            markets=tuple(each.get("SupportedUsageClasses", ("on-demand", "spot"))),
            zones=tuple(sorted(zones[name])),
        )
        for name, each in found.items()
        if name in zones  # some calls list types that the region does not offer
    }


def _clusters(eks: Any, region: str) -> dict[str, str]:
    with asking(f"Kubernetes releases in {region}"):
        found = eks.describe_cluster_versions()["clusterVersions"]
    return {each["clusterVersion"]: str(each.get("versionStatus", "")) for each in found}


def _vpcs(
    settings: Environment,
    closed: set[str],
    clients: Clients,
    unasked: list[Fault],
    environment: str,
) -> dict[str, Vpc | None]:
    found: dict[str, Vpc | None] = {}
    for name, site in settings.sites.items():
        if site.vpc and site.region not in closed:
            ec2 = _client(clients, "ec2", site.region)
            before = len(unasked)
            vpc = _tried(unasked, partial(vpcs.ask, ec2, site.vpc.id, environment))
            if len(unasked) == before:  # denied is not the same as gone
                found[name] = vpc
    return found


def _used(
    keys: Sequence[Key], clients: Clients, unasked: list[Fault], environment: str
) -> dict[Key, Used]:
    def used(key: Key) -> Used | None:
        region, code = key
        ec2 = _client(clients, "ec2", region)
        return _tried(unasked, partial(_count, ec2, region, code, environment))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = dict(zip(keys, pool.map(used, keys), strict=True))
    return {key: each for key, each in asked.items() if each}


def _count(ec2: Any, region: str, code: str, environment: str) -> Used:
    if code == ADDRESSES:
        with asking(f"addresses in {region}"):
            there = ec2.describe_addresses()["Addresses"]  # all of them: the call has no pages
    else:
        with asking(f"VPCs in {region}"):
            pages = ec2.get_paginator("describe_vpcs").paginate()
            there = [each for page in pages for each in page["Vpcs"]]
    return Used(len(there), sum(vpcs.is_ours(each, environment) for each in there))


def _named(names: Sequence[str]) -> dict[str, Any]:
    return {"Name": "instance-type", "Values": list(names)}
