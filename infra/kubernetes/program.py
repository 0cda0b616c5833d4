"""The clusters of an environment: settings and the environment's outputs in, workspaces out.

Knows which stack to read and what to publish. What is made in a cluster stands in `workspace.py`.
"""

from __future__ import annotations

from typing import Any

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
from infra.providers import home_of, providers_for
from infra.settings.reading import read
from infra.settings.types import Environment

PROJECT = "ems"
"""The environment's program, whose stack of the same name is read."""


def deploy() -> None:
    """Make what the clusters of this stack's environment hold, and publish where jobs run."""
    environment = pulumi.get_stack()
    try:
        _deploy(environment, read(_config(), environment))
    except EmsError as error:
        raise pulumi.RunError(str(error)) from None


def _config() -> dict[str, object]:
    values = pulumi.runtime.get_config_env()
    return {key: value for key, value in values.items() if key.startswith("ems:")}


def _deploy(environment: str, settings: Environment) -> None:
    with_cluster = {name: site for name, site in settings.sites.items() if site.kubernetes}
    if not with_cluster:
        pulumi.log.info(f"{environment} has no cluster (`kubernetes` of a site): nothing to do")
        pulumi.export(CLUSTER_OUTPUT, plain(ClusterOutputs(environment=environment, workspaces={})))
        return
    stack = pulumi.StackReference(f"{pulumi.get_organization()}/{PROJECT}/{environment}")
    said = pulumi.Output.all(
        stack.require_output(STACK_OUTPUT), stack.require_output(handover.OUTPUT)
    )
    workspaces: dict[str, pulumi.Output[Workspace]] = {}
    for site, each in with_cluster.items():
        assert each.kubernetes is not None
        given = said.apply(lambda both, site=site: _given(site, environment, *both))
        name = f"{environment}-{site}"
        args = WorkspaceArgs(
            settings=each.kubernetes,
            handover=given.apply(lambda pair: pair[1]),
            file_system=each.storage.file_system,
        )
        connected = provider(name, given.apply(lambda pair: pair[0]))
        made = ClusterWorkspace(name, args, pulumi.ResourceOptions(providers=[connected]))
        workspaces[site] = made.workspace
    published = pulumi.Output.all(**workspaces).apply(
        lambda all_: plain(ClusterOutputs(environment=environment, workspaces=all_))
    )
    pulumi.export(CLUSTER_OUTPUT, published)
    _publish(environment, settings, {site: each.apply(plain) for site, each in workspaces.items()})


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
    site: str, environment: str, outputs: object, inputs: object
) -> tuple[Connection, Handover]:
    """Return how a site's cluster is reached, and what its objects name."""
    try:
        stack: StackOutputs = parse(_whole(outputs), f"stack {PROJECT}/{environment}")
        handed = handover.read(inputs)
        at = stack.sites.get(site)
        if at is None or at.kubernetes is None or site not in handed:
            raise EmsError(
                f"site {site}",
                f"has a cluster in the settings, but none yet in the stack of {environment}",
                f"pulumi up --stack {environment} in the repository's root, and then this again",
            )
        return Connection(at.kubernetes, at.region), handed[site]
    except EmsError as error:
        raise pulumi.RunError(str(error)) from None


def _whole(value: Any) -> Any:
    """Return a value with whole numbers as such: the engine makes every number a float."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
