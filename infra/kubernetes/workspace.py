"""Where jobs run inside one cluster, put together in the order that taking it down needs.

Node pools and KubeRay stand first and go last; the namespace with all that is in it stands on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from ems.stack import outputs
from infra.eks.handover import SERVICE_ACCOUNT, Handover
from infra.kubernetes import kuberay, pools, ray
from infra.kubernetes.access import access
from infra.kubernetes.isolation import isolate
from infra.kubernetes.namespace import namespace
from infra.kubernetes.naming import CLAIM
from infra.kubernetes.volume import claim
from infra.settings.types import Kubernetes


@dataclass(frozen=True)
class WorkspaceArgs:
    """What a cluster's workspace is made from."""

    settings: Kubernetes
    handover: pulumi.Output[Handover]
    file_system: bool
    """Whether the site has one to mount."""


class ClusterWorkspace(pulumi.ComponentResource):
    """All that goes through one cluster's API; `name` is `<environment>-<site>`."""

    workspace: pulumi.Output[outputs.Workspace]

    def __init__(
        self, name: str, args: WorkspaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:kubernetes:Workspace", name, None, opts)
        settings, handover = args.settings, args.handover
        mine = pulumi.ResourceOptions(parent=self)
        below = pools.make(name, settings.pools, handover, mine)
        if settings.ray:
            below.append(kuberay.operator(name, settings.namespace, mine))
        space = namespace(name, settings, mine, below)
        inside = mine.merge(pulumi.ResourceOptions(depends_on=[space]))
        standing = settings.ray is not None and settings.ray.cluster
        isolate(name, settings.namespace, handover, inside, ray=standing)
        access(name, settings.namespace, inside, ray=settings.ray is not None)
        held: list[pulumi.Resource] = [space]
        if args.file_system:
            held.append(claim(name, settings.namespace, handover, mine, inside))
        address = pulumi.Output.from_input("")
        if settings.ray and settings.ray.cluster:
            upon = mine.merge(pulumi.ResourceOptions(depends_on=held))
            address = ray.stand(
                name, settings.namespace, settings.ray, handover, upon, claim=args.file_system
            )
        self.workspace = address.apply(lambda at: _workspace(args, at))
        self.register_outputs({"namespace": settings.namespace, "ray": address})


def _workspace(args: WorkspaceArgs, address: str) -> outputs.Workspace:
    settings = args.settings
    return outputs.Workspace(
        namespace=settings.namespace,
        service_account=SERVICE_ACCOUNT,
        claim=CLAIM if args.file_system else "",
        pools=tuple(sorted(settings.pools)),
        ray=_ray(settings, address) if settings.ray else None,
    )


def _ray(settings: Kubernetes, address: str) -> outputs.Ray | None:
    wanted = settings.ray
    if wanted is None:
        return None
    return outputs.Ray(
        version=wanted.version,
        image=ray.image(wanted, gpu=False),
        address=address,
        token=ray.token(settings.namespace) if wanted.cluster else "",
    )
