"""The clusters of an environment: settings and the environment's outputs in, workspaces out.

Knows which stack to read and what to publish. What is made in a cluster stands in `workspace.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import pulumi

from ems.errors import EmsError
from ems.stack.outputs import ClusterOutputs, StackOutputs, Workspace
from ems.stack.parameters import split_clusters
from ems.stack.reading import CLUSTER_OUTPUT, STACK_OUTPUT, parse, plain
from infra.eks import handover
from infra.eks.handover import Handover
from infra.kubernetes.connection import Connection, provider
from infra.kubernetes.workspace import ClusterWorkspace, WorkspaceArgs
from infra.parameters import Parameters
from infra.plan.home import home_of
from infra.providers import providers_for
from infra.settings.types import Environment, Site
from infra.stack_config import settings_of

PROJECT = "ems"
"""The environment's program, whose stack of the same name is read."""
Given: TypeAlias = tuple[Connection, Handover]
"""How a cluster is reached, and what its objects name."""


def deploy() -> None:
    """Make what the clusters of this stack's environment hold, and publish where jobs run."""
    environment = pulumi.get_stack()
    try:
        _deploy(environment, settings_of(environment))
    except EmsError as error:
        raise pulumi.RunError(str(error)) from None


def _deploy(environment: str, settings: Environment) -> None:
    with_cluster = {name: site for name, site in settings.sites.items() if site.kubernetes}
    if not with_cluster:
        pulumi.log.info(f"{environment} has no cluster (`kubernetes` of a site): nothing to do")
        pulumi.export(CLUSTER_OUTPUT, plain(ClusterOutputs(environment=environment, workspaces={})))
        return
    stack = pulumi.StackReference(f"{pulumi.get_organization()}/{PROJECT}/{environment}")
    outputs = (stack.require_output(STACK_OUTPUT), stack.require_output(handover.OUTPUT))
    given = pulumi.Output.all(*outputs).apply(
        lambda both: _given(sorted(with_cluster), environment, *both)
    )
    workspaces = {
        name: _workspace(name, site, environment, given.apply(lambda all_, name=name: all_[name]))
        for name, site in with_cluster.items()
    }
    published = pulumi.Output.all(**workspaces).apply(
        lambda all_: plain(ClusterOutputs(environment=environment, workspaces=all_))
    )
    pulumi.export(CLUSTER_OUTPUT, published)
    _publish(environment, settings, {site: each.apply(plain) for site, each in workspaces.items()})


def _workspace(
    name: str, site: Site, environment: str, given: pulumi.Output[Given]
) -> pulumi.Output[Workspace]:
    """Make what one cluster holds."""
    assert site.kubernetes is not None
    args = WorkspaceArgs(
        settings=site.kubernetes,
        handover=given.apply(lambda pair: pair[1]),
        file_system=site.storage.file_system,
    )
    connected = provider(f"{environment}-{name}", given.apply(lambda pair: pair[0]))
    opts = pulumi.ResourceOptions(providers=[connected])
    return ClusterWorkspace(f"{environment}-{name}", args, opts).workspace


def _publish(
    environment: str, settings: Environment, workspaces: dict[str, pulumi.Output[dict[str, Any]]]
) -> None:
    """Write the workspaces beside the environment's own outputs, for researchers without Pulumi."""
    home = home_of(settings)
    Parameters(
        f"{environment}-workspaces",
        split_clusters({"environment": environment, "workspaces": workspaces}),
        pulumi.ResourceOptions(provider=providers_for([home], environment, settings)[home]),
    )


def _given(
    sites: Sequence[str], environment: str, outputs: object, inputs: object
) -> dict[str, Given]:
    """Return what the environment's program said of each site's cluster.

    One that its stack lacks ends the program, before anything is changed in any cluster. To leave
    such a site out would take away what is in a cluster whose outputs alone are missing, and
    everything that runs there.
    """
    try:
        stack: StackOutputs = parse(_whole(outputs), f"stack {PROJECT}/{environment}")
        handed = handover.read(inputs)
        found: dict[str, Given] = {}
        for site in sites:
            at = stack.sites.get(site)
            if at and at.kubernetes and site in handed:
                found[site] = Connection(at.kubernetes, at.region), handed[site]
        if missing := [site for site in sites if site not in found]:
            raise EmsError(
                f"cluster of {', '.join(missing)}",
                f"is in the settings, but not yet in the stack of {environment}; no cluster was "
                "changed",
                f"make up ENV={environment}, which makes clusters before what is in them",
            )
        return found
    except EmsError as error:
        raise pulumi.RunError(str(error)) from None


def _whole(value: Any) -> Any:
    """Return a value with whole numbers as such: the engine makes every number a float."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
