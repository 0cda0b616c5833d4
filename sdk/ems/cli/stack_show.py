"""`emsctl stack show`: what an environment offers, site by site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ems.cli import stack_source
from ems.cli.context import output_option, settings_of, warn
from ems.cli.tables import print_facts, print_json, print_section, print_table
from ems.cli.texts import plural

if TYPE_CHECKING:
    from ems.stack.outputs import Batch, Kubernetes, Lab, Ray, Site, Storage
    from ems.stack.sources import Read

Fact = tuple[str, str]


@click.command()
@click.argument("reference", metavar="[REF]", required=False)
@output_option
@click.pass_context
def show(ctx: click.Context, reference: str | None, output: str) -> None:
    """Say what an environment offers: this project's, or REF.

    REF is a Pulumi stack's name, `ssm:REGION/NAME`, or a path that ends in .json.

    \b
    JSON: the outputs themselves {schema, environment, account, sites, labs,
    submit_policies, submit_role}; in a file FILE.json they are a REF.
    """
    found = stack_source.read(stack_source.named(settings_of(ctx), reference))
    for note in found.notes:
        warn(note)
    if output == "json":
        from ems.stack.reading import plain

        print_json(plain(found.outputs))
    else:
        _print(found)


def _print(found: Read) -> None:
    outputs = found.outputs
    print_facts(
        [
            ("stack", found.where),
            ("environment", outputs.environment),
            ("account", outputs.account),
            ("sites", ", ".join(outputs.sites)),
            ("labs", ", ".join(outputs.labs) or "none"),
            ("submit role", outputs.submit_role),
        ]
    )
    for name, site in outputs.sites.items():
        print_section(f"{name}: {site.region}")
        print_facts(_site(site, outputs.submit_policies.get(name, "")))
        if site.batch is not None and site.batch.queues:
            print()
            _print_queues(site.batch)
    for name, lab in outputs.labs.items():
        _print_lab(name, lab)


def _site(site: Site, policy: str) -> Iterator[Fact]:
    jobs = site.network.jobs
    public = "with public addresses" if jobs.public else "without public addresses"
    zones = ", ".join(site.network.zones)
    yield "network", f"{site.network.cidr} in {zones} ({site.network.vpc}); jobs {public}"
    yield "bucket", f"s3://{site.storage.bucket}"
    yield "file system", _file_system(site.storage)
    yield "registry", f"{site.images.registry}: {', '.join(site.images.repositories) or 'empty'}"
    if site.batch is None:
        yield "Batch", "none"
    else:
        logs = f"logs in {site.batch.log_group}"
        yield "Batch", f"{plural(len(site.batch.queues), 'queue')}, {logs}"
    yield from _cluster(site.kubernetes)
    yield "SageMaker", f"output to {site.sagemaker.output}" if site.sagemaker else "none"
    yield "submit policy", policy


def _file_system(storage: Storage) -> str:
    there = storage.file_system
    if there is None:
        return "none"
    at = ", ".join(f"{address} in {zone}" for zone, address in there.addresses.items())
    return f"{there.id} ({', '.join(there.access_points)}) at {at}"


def _cluster(cluster: Kubernetes | None) -> Iterator[Fact]:
    if cluster is None:
        yield "Kubernetes", "none"
        return
    work = cluster.workspace
    if work is None:
        yield "Kubernetes", f"{cluster.cluster}, without a workspace yet"
        return
    pools = f", pools {', '.join(work.pools)}" if work.pools else ""
    yield "Kubernetes", f"{cluster.cluster}, namespace {work.namespace}{pools}"
    yield "Ray", _ray(work.ray)


def _ray(ray: Ray | None) -> str:
    if ray is None:
        return "none"
    return f"{ray.version} at {ray.address}" if ray.address else f"{ray.version}, a cluster a job"


def _print_queues(batch: Batch) -> None:
    columns = ("queue", "instances", "market", "CPU", "max vCPUs", "GPU", "fair share")
    rows = [
        (
            name,
            ", ".join(queue.instance_types) + (" (AWS picks)" if queue.kind == "general" else ""),
            queue.market,
            queue.architecture,
            str(queue.max_vcpus),
            "yes" if queue.gpu else "",
            "yes" if queue.fair_share else "",
        )
        for name, queue in batch.queues.items()
    ]
    print_table(columns, rows, right=("max vCPUs",))


def _print_lab(name: str, lab: Lab) -> None:
    print_section(f"lab {name}: {lab.address}")
    print_facts([("networks", ", ".join(lab.networks)), ("routing", _routing(lab))])
    if lab.sites:
        print()
        rows = [
            (site, vpn.site_cidr, vpn.connection, *(each.address for each in vpn.tunnels))
            for site, vpn in lab.sites.items()
        ]
        print_table(("site", "network", "VPN connection", "tunnel 1", "tunnel 2"), rows)


def _routing(lab: Lab) -> str:
    return f"BGP, AS {lab.asn}" if lab.routing == "bgp" else lab.routing
