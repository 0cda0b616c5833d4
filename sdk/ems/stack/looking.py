"""What AWS has of an environment now: one look at each service of each site, and its quotas.

Asks with clients that are handed in, side by side, and changes nothing. Does not know what a
difference is (`drift.py`), nor which quotas matter (`quotas.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ems.errors import EmsError
from ems.stack import drift
from ems.stack.aws import Clients, Denied, Missing, asking
from ems.stack.drift import Difference
from ems.stack.outputs import Site, StackOutputs
from ems.stack.quotas import Key, service

_AT_ONCE = 8
_AT_A_TIME = 100
"""How many things by name AWS describes in one call: Batch's queues, EC2's instance types."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What differs from the outputs, and what could not be looked at, with the reason."""

    differences: tuple[Difference, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """One service of one site, to be looked at."""

    site_name: str
    site: Site
    service: str


def look(outputs: StackOutputs, clients: Clients) -> Seen:
    """Compare an environment with what AWS has.

    Raises EmsError where nothing can be asked (no credentials), or these belong to another account.
    """
    _same_account(outputs, clients)
    jobs = [_Job(name, site, each) for name, site in outputs.sites.items() for each in _used(site)]

    def looked(job: _Job) -> tuple[list[Difference], str]:
        return _looked(job, clients)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = list(pool.map(looked, jobs))
    return Seen(
        tuple(each for found, _ in results for each in found),
        tuple(text for _, text in results if text),
    )


def quota_values(keys: Iterable[Key], clients: Clients) -> dict[Key, float | None]:
    """Return the value of each quota; None for one that AWS does not tell."""
    wanted = list(keys)

    def value(key: Key) -> float | None:
        return _quota_value(key, clients)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(value, wanted), strict=True))


def portions(names: Sequence[str]) -> list[Sequence[str]]:
    """Return the names in portions that one call of AWS takes."""
    return [names[at : at + _AT_A_TIME] for at in range(0, len(names), _AT_A_TIME)]


def _quota_value(key: Key, clients: Clients) -> float | None:
    region, code = key
    client = clients("service-quotas", region)
    for ask in (client.get_service_quota, client.get_aws_default_service_quota):
        try:
            with asking(f"quota {code} in {region}"):
                return float(ask(ServiceCode=service(code), QuotaCode=code)["Quota"]["Value"])
        except Missing:
            continue
        except EmsError:
            return None
    return None


def _same_account(outputs: StackOutputs, clients: Clients) -> None:
    region = next((site.region for site in outputs.sites.values()), "us-east-1")
    with asking(f"AWS account {outputs.account}"):
        here = clients("sts", region).get_caller_identity()["Account"]
    if here != outputs.account:
        raise EmsError(
            f"environment {outputs.environment}",
            f"is in account {outputs.account}, these credentials are of {here}",
            "another AWS_PROFILE",
        )


# -- one service of one site --------------------------------------------------------------------

_Look = Callable[[Any, str, Site], list[Difference]]


def _used(site: Site) -> Sequence[str]:
    """Return the services that a site uses."""
    return [
        "s3",
        *(["efs"] if site.storage.file_system else []),
        *(["ecr"] if site.images.repositories else []),
        *(["batch", "logs"] if site.batch else []),
        *(["eks"] if site.kubernetes else []),
    ]


def _looked(job: _Job, clients: Clients) -> tuple[list[Difference], str]:
    """Return what differs, or why it could not be seen."""
    region = job.site.region
    try:
        with asking(f"{job.service} in {region}"):
            client = clients(job.service, region)
            return _LOOKS[job.service](client, job.site_name, job.site), ""
    except Denied:
        problem = "access denied"
    except EmsError as error:
        problem = error.problem
    return [], f"{job.site_name}: {job.service} was not looked at ({problem})"


def _batch(client: Any, name: str, site: Site) -> list[Difference]:
    assert site.batch is not None
    names = [queue.name for queue in site.batch.queues.values()]
    queues = [
        each
        for some in portions(names)
        for each in client.describe_job_queues(jobQueues=some)["jobQueues"]
    ]
    arns = [
        order["computeEnvironment"]
        for queue in queues
        for order in queue.get("computeEnvironmentOrder", [])
    ]
    environments = [
        each
        for some in portions(list(dict.fromkeys(arns)))
        for each in client.describe_compute_environments(computeEnvironments=some)[
            "computeEnvironments"
        ]
    ]
    return drift.batch(name, site.batch, queues, environments)


def _logs(client: Any, name: str, site: Site) -> list[Difference]:
    assert site.batch is not None
    group = site.batch.log_group
    found = client.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return drift.log_group(name, group, found)


def _s3(client: Any, name: str, site: Site) -> list[Difference]:
    bucket = site.storage.bucket
    try:
        with asking(bucket):
            client.head_bucket(Bucket=bucket)
    except Missing:
        return drift.bucket(name, bucket, False)
    return []


def _efs(client: Any, name: str, site: Site) -> list[Difference]:
    meant = site.storage.file_system
    assert meant is not None
    try:
        with asking(meant.id):
            (there,) = client.describe_file_systems(FileSystemId=meant.id)["FileSystems"]
    except Missing:
        return drift.file_system(name, meant, None, (), ())
    targets = client.describe_mount_targets(FileSystemId=meant.id)["MountTargets"]
    points = client.describe_access_points(FileSystemId=meant.id)["AccessPoints"]
    return drift.file_system(name, meant, there, targets, points)


def _ecr(client: Any, name: str, site: Site) -> list[Difference]:
    pages = client.get_paginator("describe_repositories").paginate()
    return drift.images(
        name, site.images, [each for page in pages for each in page["repositories"]]
    )


def _eks(client: Any, name: str, site: Site) -> list[Difference]:
    meant = site.kubernetes
    assert meant is not None
    try:
        with asking(meant.cluster):
            return drift.cluster(
                name, meant, client.describe_cluster(name=meant.cluster)["cluster"]
            )
    except Missing:
        return drift.cluster(name, meant, None)


_LOOKS: Mapping[str, _Look] = {
    "batch": _batch,
    "ecr": _ecr,
    "efs": _efs,
    "eks": _eks,
    "logs": _logs,
    "s3": _s3,
}
