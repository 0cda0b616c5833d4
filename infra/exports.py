"""What the environment's program exports: the tree of `ems.stack.StackOutputs`, its values pending.

Knows which attribute of which component fills which field. The names in the tree are known before
anything is made; a value that does not fit its type ends the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from ems.errors import EmsError
from ems.stack.outputs import SCHEMA
from ems.stack.reading import STACK_OUTPUT, parse, plain
from infra.access.submit import Submit
from infra.compute.batch import Batch
from infra.eks.cluster import Cluster
from infra.joining import Links
from infra.place import Place, Setting

Tree = dict[str, Any]
"""Names, with plain values or pending ones as leaves."""


def tree_of(
    setting: Setting,
    places: Mapping[str, Place],
    clusters: Mapping[str, Cluster],
    links: Links,
    submit: Submit,
) -> Tree:
    """Return what the environment offers, in the form of StackOutputs."""
    return {
        "environment": setting.environment,
        "account": setting.account,
        "sites": {name: _site(place, clusters.get(name)) for name, place in places.items()},
        "labs": {name: _lab(name, setting, links) for name in setting.settings.labs},
        "submit_policies": dict(submit.policies),
        "submit_role": submit.role or "",
        "schema": SCHEMA,
    }


def export(tree: Tree) -> None:
    """Export the tree, once it is known to be exactly what its type means."""
    pulumi.export(STACK_OUTPUT, pulumi.Output.from_input(tree).apply(exact))


def exact(known: Tree) -> Tree:
    """Return the tree as it is; EmsError for a value or a key that StackOutputs does not know."""
    if plain(parse(known, STACK_OUTPUT)) != known:
        raise EmsError(STACK_OUTPUT, "what is exported is not what its type reads back")
    return known


def _site(place: Place, cluster: Cluster | None) -> Tree:
    images = place.region.images
    offered: Tree = {
        "region": place.region.name,
        "network": _network(place),
        "storage": _storage(place),
        "images": {
            "registry": images.registry,
            "repositories": {name: images.repositories[name] for name in place.settings.images},
        },
        "alarms": place.region.topic,
    }
    if place.batch:
        offered["batch"] = _batch(place.batch)
    if cluster:
        offered["kubernetes"] = _kubernetes(cluster)
    if place.sagemaker:
        offered["sagemaker"] = {"role": place.sagemaker.role, "output": place.sagemaker.output}
    return offered


def _network(place: Place) -> Tree:
    network = place.network
    return {
        "vpc": network.vpc_id,
        "cidr": network.cidr,
        "zones": list(network.zones),
        "jobs": {
            "subnets": list(network.job_subnets.values()),
            "security_groups": [network.job_security_group],
            "public": network.jobs_public,
        },
    }


def _storage(place: Place) -> Tree:
    files = place.file_system
    storage: Tree = {"bucket": place.bucket.name}
    if files:
        storage["file_system"] = {
            "id": files.id,
            "access_points": files.access_points,
            "addresses": files.addresses,
        }
    return storage


def _kubernetes(cluster: Cluster) -> Tree:
    return {
        "cluster": cluster.cluster_name,
        "arn": cluster.arn,
        "endpoint": cluster.endpoint,
        "certificate": cluster.certificate,
        "job_role": cluster.job_role,
    }


def _batch(batch: Batch) -> Tree:
    return {
        "queues": {
            key: {
                "name": queue.name,
                "kind": queue.plan.kind,
                "instance_types": list(queue.plan.instance_types),
                "market": queue.plan.market,
                "architecture": queue.plan.architecture,
                "max_vcpus": queue.plan.max_vcpus,
                "fair_share": queue.fair_share,
                **({"gpu": True} if queue.plan.gpu else {}),
            }
            for key, queue in batch.queues.items()
        },
        "log_group": batch.log_group,
        "job_role": batch.job_role,
        "execution_role": batch.execution_role,
    }


def _lab(name: str, setting: Setting, links: Links) -> Tree:
    lab = setting.settings.labs[name]
    return {
        "address": lab.address,
        "networks": list(lab.networks),
        "routing": lab.routing,
        "asn": lab.asn,
        "sites": {
            site: {
                "connection": links[name, site].connection_id,
                "site_cidr": setting.topology.sites[site],
                "site_asn": setting.asns[site],
                "tunnels": [
                    {"address": address, "inside_cidr": inside}
                    for address, inside in zip(
                        links[name, site].tunnel_addresses,
                        links[name, site].inside_cidrs,
                        strict=True,
                    )
                ],
                "keys": links[name, site].keys_arn,
            }
            for site in lab.sites
        },
    }
